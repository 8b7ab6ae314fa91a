//! Diagnosis of a 401 `SIGN_ERROR`.

use wxpay_auth::{Clock, FileKeySigner, Mchid, PrivateKey, SerialNo, SystemClock, Timestamp};
use wxpay_marketing::{DeliveryPlans, Error};
use wxpay_testing::{Gateway, WireServer};
use wxpay_tests::{builder, kind, plan_id, plans};
use wxpay_transport::{
    BaseUrl, Client, Delivery, Outcome, Proxy, ResponseSignature, SignDiagnosis,
};

/// Another merchant's key: a published test key.
const OTHER_KEY: &str =
    include_str!("../../crates/wxpay-auth-core/testdata/keys/apiclient_test_key.pem");

fn assert_sign_error(error: &Error) -> &SignDiagnosis {
    assert_eq!((kind(error), error.delivery()), ("api", Delivery::Answered), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Rejected);
    assert!(!error.may_retry());
    let api = error.api().unwrap();
    assert_eq!((api.status().as_u16(), api.code()), (401, Some("SIGN_ERROR")));
    assert!(matches!(api.signature(), ResponseSignature::Missing), "by design");
    api.sign_diagnosis().expect("the server says what it signed")
}

async fn terminate(client: Client<FileKeySigner, wxpay_auth::KeyRing>) -> Error {
    DeliveryPlans::new(client).terminate(&plan_id("12000")).await.expect_err("it is refused")
}

#[tokio::test]
async fn the_key_of_somebody_else() {
    let server = WireServer::start_plain().await;
    for nested in [false, true] {
        if nested {
            server.nest_detail();
        }
        let key = PrivateKey::from_pem(OTHER_KEY).unwrap();
        let client = Client::builder(
            server.mchid(),
            FileKeySigner::new(key, server.serial_no()),
            server.key_ring(),
        )
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
        let error = terminate(client).await;
        let diagnosis = assert_sign_error(&error);
        assert_eq!(diagnosis.differs(), None);
        assert_eq!(diagnosis.their_length(), Some(diagnosis.our_length()));
        assert!(error.hint().contains("does not belong to the serial_no"), "{}", error.hint());
        let detail = error.api().unwrap().detail().unwrap();
        assert_eq!(detail.issue.as_deref(), Some("sign not match"));
    }
}

#[tokio::test]
async fn a_serial_and_a_mchid_of_somebody_else() {
    let server = WireServer::start_plain().await;
    let other_serial: SerialNo = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse().unwrap();
    // Two digits were lost in copying: it is parsed as a serial that begins with a zero byte.
    let cut_serial: SerialNo = server.serial_no().as_str()[..38].parse().unwrap();
    let other_mchid = Mchid::new("1900000001").unwrap();
    for (mchid, serial_no, issue) in [
        (server.mchid(), other_serial, "serial_no not match"),
        (server.mchid(), cut_serial, "serial_no not match"),
        (other_mchid, server.serial_no(), "mchid not match"),
    ] {
        let key = PrivateKey::from_pem(server.merchant_key_pem()).unwrap();
        let client = Client::builder(mchid, FileKeySigner::new(key, serial_no), server.key_ring())
            .base_url(BaseUrl::new(server.base_url()).unwrap())
            .proxy(Proxy::none())
            .build()
            .unwrap();
        let error = terminate(client).await;
        assert_eq!(assert_sign_error(&error).differs(), None);
        assert!(error.hint().contains("serial_no, or not to the mchid"), "{}", error.hint());
        let detail = error.api().unwrap().detail().unwrap();
        assert_eq!(detail.issue.as_deref(), Some(issue));
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_how_much() {
    let gateway = Gateway::start().await;
    for (offset, words) in [(600, "s behind WeChat Pay's"), (-600, "s ahead of WeChat Pay's")] {
        gateway.set_clock_offset(offset);
        let error = terminate(builder(&gateway, &gateway.base_url()).build().unwrap()).await;
        assert_sign_error(&error);
        let measured = error.api().unwrap().clock_offset().expect("a Date");
        assert!((measured - offset).abs() <= 5, "{measured}");
        assert!(error.hint().contains(words), "{}", error.hint());
        assert!(error.hint().contains("set the local clock"), "{}", error.hint());
    }
    assert_eq!(gateway.executions(), 0);
}

#[tokio::test]
async fn a_local_clock_that_is_off_is_told_as_well() {
    let server = WireServer::start_plain().await;
    let slow = || Timestamp::from_unix_secs(SystemClock.now().as_unix_secs() - 1000);
    let client = builder(&server, &server.base_url()).clock(slow).build().unwrap();
    let error = terminate(client).await;
    assert_sign_error(&error);
    assert!(error.hint().contains("behind"), "{}", error.hint());
}

#[tokio::test]
async fn a_clock_within_the_window_is_good_enough() {
    let gateway = Gateway::start().await;
    gateway.set_clock_offset(250);
    plans(&gateway, &gateway.base_url()).terminate(&plan_id("12000")).await.unwrap();
}
