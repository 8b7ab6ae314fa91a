//! The `Retry-After` header.

use std::time::{Duration, UNIX_EPOCH};

use wxpay_auth_core::Timestamp;

/// Parses the value of a `Retry-After` header: seconds, or a date.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let seconds = if value.bytes().all(|b| b.is_ascii_digit()) {
        value.parse().ok()?
    } else {
        let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let left = Timestamp::from_unix_secs(date.as_secs()).seconds_after(now);
        // A date in the past means no wait.
        u64::try_from(left).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_seconds_or_a_date() {
        let now = Timestamp::from_unix_secs(784_111_777);
        let wait = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(wait("3"), Some(3));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(wait("Sunday, 06-Nov-94 08:49:47 GMT"), Some(10));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0), "in the past");
        for odd in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(wait(odd), None, "{odd}");
        }
    }
}
