//! Error responses: the body, the diagnosis of a `SIGN_ERROR`, and what is shown of them.
#![no_main]

use std::error::Error as _;

use libfuzzer_sys::fuzz_target;
use wxpay_auth::Timestamp;
use wxpay_fuzz::{Response, assert_good_error, assert_one_line};
use wxpay_transport::{Bytes, Error, ErrorBody, fuzzing};

const SIGNED: &[u8] =
    b"POST\n/v3/pay/transactions/native\n1554208460\nNONCE\n{\"secret\":\"hunter2\"}\n";

fuzz_target!(|input: &[u8]| {
    let Some(Response { status, headers, body }) = Response::read(input) else { return };
    let now = Timestamp::from_unix_secs(1_554_208_460);
    let body = Bytes::copy_from_slice(body);
    let error = fuzzing::refusal(status, &headers, body.clone(), SIGNED, now);

    assert_good_error(&error);
    assert!(error.source().is_none());
    // A diagnosis quotes two lines of 300 characters, each of which may be escaped.
    assert_one_line(&error.hint(), 2 * 300 * 10 + 100);

    let Error::Api(api) = &error else { panic!("{error:?}") };
    assert_eq!(api.status(), status);
    assert_eq!(api.raw_body(), &*body);
    for text in [api.code(), api.message(), api.request_id()].into_iter().flatten() {
        assert_one_line(text, 300);
    }
    let detail = api.detail();
    let detail = detail.map(|d| [&d.field, &d.issue, &d.location]).into_iter().flatten().flatten();
    detail.for_each(|text| assert_one_line(text, 300));
    let reads = api.code().is_some() || api.message().is_some() || api.detail().is_some();
    assert!(!reads || api.body_kind() == ErrorBody::Json);

    if let Some(diagnosis) = api.sign_diagnosis() {
        assert_eq!(diagnosis.our_length(), SIGNED.len());
        for text in [diagnosis.ours(), diagnosis.theirs()].into_iter().flatten() {
            assert_one_line(text, 300);
        }
        assert!(diagnosis.differs().is_some() || diagnosis.ours().is_none());
        assert!(!format!("{diagnosis} {diagnosis:?}").contains("hunter2") || says_hunter2(&body));
    }
});

/// Returns whether the response itself may contain the word, in any JSON encoding.
fn says_hunter2(body: &[u8]) -> bool {
    body.windows(7).any(|window| window == b"hunter2") || body.windows(2).any(|w| w == b"\\u")
}
