//! What the headers of an answer say, before anything in it is believed.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use wxpay_auth::Timestamp;

/// The longest wait that is believed, 100 years: no clock goes on for ever.
const LONGEST_WAIT: u64 = 100 * 365 * 86_400;

/// Reads `Request-ID`, so that it can stand in a log: a header may have tabs in it.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let id = text(headers, "request-id")?;
    let mut short = String::with_capacity(id.len().min(512));
    short.extend(id.chars().map(one_line).take(128));
    Some(short)
}

/// Returns by how many seconds the server's clock is ahead of the local one.
pub(crate) fn clock_offset(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    http_date(text(headers, "date")?).map(|date| date.seconds_after(now))
}

/// Reads `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, "retry-after")?.trim();
    let seconds = if value.bytes().all(|b| b.is_ascii_digit()) {
        value.parse().ok()?
    } else {
        u64::try_from(http_date(value)?.seconds_after(now)).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

fn http_date(value: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(value).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_secs(since.as_secs()))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    const NOW: Timestamp = Timestamp::from_unix_secs(784_111_777);

    #[test]
    fn the_clock_offset_is_read_from_the_date() {
        let offset = |value| clock_offset(&headers("date", value), NOW);
        assert_eq!(offset("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(offset("Sun, 06 Nov 1994 08:59:37 GMT"), Some(600));
        assert_eq!(offset("Sun, 06 Nov 1994 08:39:37 GMT"), Some(-600));
        assert_eq!(offset("yesterday"), None);
        assert_eq!(clock_offset(&HeaderMap::new(), NOW), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value| retry_after(&headers("retry-after", value), NOW).map(|d| d.as_secs());
        assert_eq!(wait("3"), Some(3));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0), "in the past");
        for odd in ["-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(wait(odd), None, "{odd}");
        }
        assert_eq!(wait(""), None);
    }

    #[test]
    fn a_wait_is_one_that_a_clock_can_count() {
        for value in
            ["18446744073709551615", "9223372036854775807", "Fri, 31 Dec 9999 23:59:59 GMT"]
        {
            let wait = retry_after(&headers("retry-after", value), NOW).unwrap();
            assert_eq!(wait, Duration::from_secs(LONGEST_WAIT), "{value}");
            assert!(std::time::Instant::now().checked_add(wait).is_some());
        }
    }

    #[test]
    fn a_request_id_is_one_line_of_some_length() {
        let id = |value: &str| request_id(&headers("request-id", value));
        assert_eq!(id("08F7").as_deref(), Some("08F7"));
        assert_eq!(id("08\tF7").as_deref(), Some("08 F7"));
        assert_eq!(id(&"8".repeat(1000)).unwrap().len(), 128);
    }
}
