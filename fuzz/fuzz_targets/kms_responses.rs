//! Responses of key services: Vault, Tencent Cloud, Alibaba Cloud. No error repeats a secret that was sent
//! to the service.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::kms::fuzzing::{StatusCode, alibaba, tencent, vault};
use wxpay_auth::kms::{Credentials, KmsError};
use wxpay_fuzz::{Response, assert_good_error};

const SECRET: &str = "hunter2";

fuzz_target!(|input: &[u8]| {
    let Some(Response { status, headers, body }) = Response::read(input) else { return };
    // Services repeat secrets only in bodies, never in headers.
    if headers.values().any(|value| value.as_bytes().windows(7).any(|w| w == SECRET.as_bytes())) {
        return;
    }
    let credentials = Credentials::new("AKID", SECRET).with_session_token(SECRET);

    check(status, &vault::key(status, headers.clone(), body, SECRET));
    check(status, &vault::signature(status, headers.clone(), body, SECRET));
    check(status, &tencent::signature(status, headers.clone(), body, &credentials));
    check(status, &alibaba::signature(status, headers, body, &credentials));

    let time = str::from_utf8(body).ok().and_then(alibaba::time);
    if let Some(read) = time {
        let (seconds, written) = read.expect("what is read can be written");
        let (again, _) = alibaba::time(&written).expect("it was written by us").expect("so");
        assert_eq!(again, seconds);
    }
});

fn check<T>(status: StatusCode, result: &Result<T, KmsError>) {
    let error = match result {
        Ok(_) => return assert!(status.is_success(), "a refusal is taken for a success"),
        Err(error) => error,
    };
    assert_good_error(error);
    // Nor as the type of a key, as a code, or as a request id.
    let ids = [error.code(), error.request_id()];
    let in_words = !ids.into_iter().flatten().any(|id| id.contains(SECRET));
    if in_words && (!status.is_success() || error.code().is_some()) {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "a secret is shown: {shown}");
    }
}
