//! The headers of a response: `Retry-After`, `Date`, `Request-ID`.
#![no_main]

use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use wxpay_auth::Timestamp;
use wxpay_fuzz::assert_one_line;
use wxpay_transport::fuzzing::{clock_offset, request_id, retry_after};

const NOW: u64 = 784_111_777;
/// 100 years: longer waits are capped.
const LONGEST: u64 = 3_153_600_000;

fuzz_target!(|input: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let now = Timestamp::from_unix_secs(NOW);
    let headers = |name: &'static str| {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.clone())])
    };

    let wait = retry_after(&headers("retry-after"), now);
    let offset = clock_offset(&headers("date"), now);
    if let Some(wait) = wait {
        assert!(Instant::now().checked_add(wait).is_some(), "nobody can wait for {wait:?}");
    }
    // Both parse the same date, except that a wait may have blanks around it.
    if let Some(offset) = offset {
        assert_eq!(
            wait.map(|w| w.as_secs()),
            Some(u64::try_from(offset).unwrap_or(0).min(LONGEST))
        );
        assert!((-784_111_777..=253_402_300_799).contains(&offset), "{offset}");
    }
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if let (Ok(seconds), true) = (text.parse::<u32>(), text.bytes().all(|b| b.is_ascii_digit())) {
        assert_eq!(wait.map(|w| w.as_secs()), Some(u64::from(seconds).min(LONGEST)));
    }
    if let Some(id) = request_id(&headers("request-id")) {
        assert_one_line(&id, 128);
    }
});
