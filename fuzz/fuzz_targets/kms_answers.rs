//! Answers of key services: Vault, Tencent Cloud, Alibaba Cloud. No error repeats a secret that the
//! service was sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::kms::fuzzing::{alibaba, tencent, vault};
use wxpay_auth::kms::{Credentials, KmsError};
use wxpay_fuzz::{Answer, assert_good_error};

const SECRET: &str = "hunter2";

fuzz_target!(|input: &[u8]| {
    let Some(Answer { status, headers, body }) = Answer::read(input) else { return };
    let credentials = Credentials::new("AKID", SECRET).with_session_token(SECRET);

    check(vault::key(status, headers.clone(), body, SECRET));
    let signature = check(vault::signature(status, headers.clone(), body, SECRET));
    assert!(signature.is_none() || status.is_success());
    let signature = check(tencent::signature(status, headers.clone(), body, &credentials));
    assert!(signature.is_none() || status.is_success());
    let signature = check(alibaba::signature(status, headers, body, &credentials));
    assert!(signature.is_none() || status.is_success());

    let time = str::from_utf8(body).ok().and_then(alibaba::time);
    if let Some(read) = time {
        let (seconds, written) = read.expect("what is read can be written");
        let (again, _) = alibaba::time(&written).expect("it was written by us").expect("so");
        assert_eq!(again, seconds);
    }
});

fn check<T>(result: Result<T, KmsError>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    assert_good_error(&error);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(SECRET), "a secret is shown: {shown}");
    None
}
