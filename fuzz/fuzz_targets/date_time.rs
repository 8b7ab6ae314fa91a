//! Times in RFC 3339, and in Unix seconds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::DateTime;
use wxpay_fuzz::assert_good_error;

fuzz_target!(|text: &str| {
    match text.parse::<DateTime>() {
        Ok(time) => {
            assert_eq!((time.as_str(), time.to_string().as_str()), (text, text));
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            assert!(time.nanosecond() < 1_000_000_000 && time.offset_seconds().abs() < 86_400);
        }
        Err(error) => assert_good_error(&error),
    }
    let Ok(secs) = text.parse() else { return };
    match DateTime::from_unix_secs(secs) {
        Ok(time) => {
            assert_eq!((time.unix_secs(), time.offset_seconds()), (secs, 28_800));
            assert_eq!(time.as_str().parse::<DateTime>().as_ref(), Ok(&time));
        }
        Err(error) => assert_good_error(&error),
    }
});
