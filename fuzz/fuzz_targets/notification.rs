//! The headers and the body of a notification. The verifier accepts every signature, so that the envelope is reached.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{
    ApiV3Key, NotReady, SignedMessage, Timestamp, Verifier, VerifyError, WechatpaySerial,
    async_trait,
};
use wxpay_fuzz::{Response, assert_good_error, assert_one_line, run};
use wxpay_notification::{Bytes, NotificationReceiver, Receipt};

/// The key of the seeds: that of the test vector of wechatpay-java.
const API_V3_KEY: &str = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
const LONGEST: usize = 4096;

#[derive(Debug)]
struct Any;

#[async_trait]
impl Verifier for Any {
    fn preferred_serial(&self, _: Timestamp) -> Option<WechatpaySerial> {
        None
    }

    fn readiness(&self, _: Timestamp) -> Result<(), NotReady> {
        Ok(())
    }

    async fn verify(&self, _: SignedMessage<'_>) -> Result<(), VerifyError> {
        Ok(())
    }
}

static RECEIVER: LazyLock<NotificationReceiver<Any, ApiV3Key>> = LazyLock::new(|| {
    let key = ApiV3Key::new(API_V3_KEY).expect("a key");
    NotificationReceiver::new(Any, key).clock(|| NOW).body_limit(LONGEST)
});

fuzz_target!(|input: &[u8]| {
    let Some(request) = Response::read(input) else { return };
    let body = Bytes::copy_from_slice(request.body);
    match run(RECEIVER.receive(&request.headers, body)) {
        Err(error) => {
            assert_good_error(&error);
            assert_one_line(error.hint(), 1200);
        }
        Ok(notification) => {
            assert!(!notification.id().is_empty() && request.body.len() <= LONGEST);
            assert_eq!(notification.envelope().body(), request.body);
            assert_one_line(&format!("{notification:?}"), 1200);
            if let Err(error) = notification.event() {
                assert_good_error(&error);
            }
            // Whatever an application writes into its response.
            let text = notification.summary().unwrap_or_default().to_owned();
            let response = Receipt::try_again_later(text).into_response();
            assert!(response.body().len() < 2048, "{} bytes", response.body().len());
        }
    }
});
