//! Response headers, read before the response is verified.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use wxpay_auth::{Nonce, Timestamp};

use crate::message::secrets::Secrets;

/// The longest accepted wait, 100 years: no clock goes on for ever.
const LONGEST_WAIT: u64 = 100 * 365 * 86_400;

/// Maximum number of characters kept of a `Request-ID`, and of a coding.
const MAX_ID: usize = 128;
const MAX_CODING: usize = 40;

/// Reads the `Request-ID` for logs, with request contents removed.
///
/// WeChat Pay's own consists of hexadecimal digits and `-`. Such an id cannot contain a signature, so nothing
/// but the nonce is searched for when a call succeeds.
pub(crate) fn request_id(
    headers: &HeaderMap,
    nonce: &Nonce,
    secrets: impl FnOnce() -> Secrets,
) -> Option<String> {
    let id = text(headers, "request-id")?;
    let is_usual = id.len() <= MAX_ID
        && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        && !shares_piece(id, nonce.as_str());
    Some(if is_usual { id.to_owned() } else { secrets().shown_within(id, MAX_ID) })
}

/// Returns whether a text may contain a piece of a nonce, whatever is in between: every half is searched
/// for by its own halves.
fn shares_piece(text: &str, nonce: &str) -> bool {
    let mut pieces = nonce.as_bytes().chunks_exact(8);
    pieces.any(|piece| text.as_bytes().windows(8).any(|w| w.eq_ignore_ascii_case(piece)))
}

/// Reads the coding of a body that should be plain.
pub(crate) fn coding(headers: &HeaderMap, secrets: impl FnOnce() -> Secrets) -> Option<String> {
    let is_plain = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let values = headers.get_all(CONTENT_ENCODING);
    let codings: Vec<_> = values.iter().map(|v| v.to_str().unwrap_or("unreadable")).collect();
    let is_coded = codings.iter().flat_map(|v| v.split(',')).any(|c| !is_plain(c.trim()));
    is_coded.then(|| secrets().shown_within(&codings.join(", "), MAX_CODING))
}

/// Returns how many seconds the server's clock is ahead of the local one.
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

    const NONCE: &str = "593BEC0C930BF1AFEB40B4A08C8FB242";

    fn id(value: &str) -> String {
        let nonce = Nonce::new(NONCE).unwrap();
        request_id(&headers("request-id", value), &nonce, || Secrets::of(&[NONCE])).unwrap()
    }

    #[test]
    fn a_request_id_is_one_line_of_some_length() {
        assert_eq!(id("08F7"), "08F7");
        assert_eq!(id("08\tF7"), "08 F7");
        assert_eq!(id(&"8".repeat(1000)).len(), 128);
    }

    #[test]
    fn a_request_id_shows_nothing_of_what_was_sent() {
        for (value, shown) in [
            (NONCE.to_owned(), "[…]"),
            (NONCE.to_lowercase(), "[…]"),
            (format!("id {NONCE}"), "id […]"),
            (format!("08-{}-0", &NONCE[5..21]), "08-[…]-0"),
            (NONCE[..8].to_owned(), "593BEC0C"),
        ] {
            assert_eq!(id(&value), shown);
        }
    }

    /// Nothing is collected for ids of WeChat Pay: a successful call has no cost.
    #[test]
    fn a_usual_request_id_is_not_searched() {
        let headers = headers("request-id", "08F5B8C206102C18FDDFEEA30620BE821E28DEC405-0");
        let nonce = Nonce::new(NONCE).unwrap();
        let id = request_id(&headers, &nonce, || panic!("it is searched"));
        assert_eq!(id.as_deref(), Some("08F5B8C206102C18FDDFEEA30620BE821E28DEC405-0"));
    }

    #[test]
    fn a_coding_is_named_unless_there_is_none() {
        let coding = |value| coding(&headers("content-encoding", value), || Secrets::of(&[NONCE]));
        for plain in ["identity", "Identity", "", " identity , identity"] {
            assert_eq!(coding(plain), None, "{plain:?}");
        }
        for coded in ["gzip", "br", "identity, gzip", "aes128gcm"] {
            assert_eq!(coding(coded).as_deref(), Some(coded));
        }
        assert_eq!(coding(NONCE).as_deref(), Some("[…]"));
        assert_eq!(coding(&"x".repeat(1000)).unwrap().len(), 40);
        assert_eq!(super::coding(&HeaderMap::new(), || panic!("it is searched")), None);
    }
}
