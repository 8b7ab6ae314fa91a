//! The documented rules for values of requests.

use http::Uri;
use wxpay_auth::{DateTime, Timestamp};

use crate::input_error::{InputError, InputFault};

pub(crate) type Checked = Result<(), InputError>;

/// Pages with rules.
pub(crate) mod page {
    pub(crate) const CREATE: &str = "4016184554";
    pub(crate) const UPDATE: &str = "4016184594";
    pub(crate) const LIST: &str = "4016184563";
    pub(crate) const NOTIFY_URL: &str = "4016184598";
    pub(crate) const INTRODUCTION: &str = "4016402231";
    pub(crate) const CONSOLE: &str = "4016111064";
}

/// The shortest duration of a plan, in seconds.
const FIVE_DAYS: i64 = 5 * 86_400;

/// Checks the number of a request: 6 to 40 characters of `[0-9A-Za-z_-]`.
pub(crate) fn out_request_no(text: &str, page: &'static str) -> Checked {
    const FIELD: &str = "out_request_no";
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let found = text.chars().count();
    let fault = match text.chars().position(|c| !is_allowed(c)) {
        Some(position) => InputFault::Character { position },
        None if found < 6 => InputFault::TooShort { found, least: 6 },
        None if found > 40 => InputFault::TooLong { found, most: 40, is_bytes: false },
        None => return Ok(()),
    };
    Err(InputError::new(FIELD, fault, page))
}

/// Checks an id that WeChat Pay issued: `string(40)`, if the pages give a length.
pub(crate) fn id(
    field: &'static str,
    text: &str,
    most: Option<usize>,
    page: &'static str,
) -> Checked {
    let found = text.chars().count();
    match most {
        _ if found == 0 => Err(InputError::new(field, InputFault::Empty, page)),
        Some(most) if found > most => {
            Err(InputError::new(field, InputFault::TooLong { found, most, is_bytes: false }, page))
        }
        _ => Ok(()),
    }
}

/// Checks a text that consumers see: its length is in bytes, 3 for a Chinese character.
pub(crate) fn text(
    field: &'static str,
    text: Option<&str>,
    most: usize,
    page: &'static str,
) -> Checked {
    match text {
        Some("") => Err(InputError::new(field, InputFault::Empty, page)),
        Some(text) if text.len() > most => {
            let fault = InputFault::TooLong { found: text.len(), most, is_bytes: true };
            Err(InputError::new(field, fault, page))
        }
        _ => Ok(()),
    }
}

/// Checks that a value is there.
pub(crate) fn required<T>(
    field: &'static str,
    value: Option<&T>,
    when: &'static str,
    page: &'static str,
) -> Checked {
    match value {
        Some(_) => Ok(()),
        None => Err(InputError::new(field, InputFault::Missing { when }, page)),
    }
}

/// Checks that a value is not there.
pub(crate) fn absent<T>(
    field: &'static str,
    value: Option<&T>,
    when: &'static str,
    page: &'static str,
) -> Checked {
    match value {
        None => Ok(()),
        Some(_) => Err(InputError::new(field, InputFault::Unexpected { when }, page)),
    }
}

/// Checks the smallest and the largest number.
pub(crate) fn range(
    field: &'static str,
    found: i64,
    least: i64,
    most: Option<i64>,
    page: &'static str,
) -> Checked {
    if found >= least && most.is_none_or(|most| found <= most) {
        return Ok(());
    }
    Err(InputError::new(field, InputFault::OutOfRange { found, least, most }, page))
}

/// Checks the times of a new plan: it begins later than now, and lasts at least five days. One without a start ends later
/// than now.
pub(crate) fn times(start: Option<&DateTime>, end: Option<&DateTime>, now: Timestamp) -> Checked {
    let late = |field, found: &DateTime, than: String, page| {
        let found = found.as_str().to_owned();
        Err(InputError::new(field, InputFault::NotLater { found, than }, page))
    };
    let now = i64::try_from(now.as_unix_secs()).unwrap_or(i64::MAX);
    // With a start, the end is compared with it.
    if let (None, Some(end)) = (start, end)
        && end.unix_secs() <= now
    {
        return late("delivery_end_time", end, "now".to_owned(), page::CREATE);
    }
    if let Some(start) = start
        && start.unix_secs() <= now
    {
        return late("delivery_start_time", start, "now".to_owned(), page::CREATE);
    }
    if let (Some(start), Some(end)) = (start, end) {
        let lasts = end.unix_secs().saturating_sub(start.unix_secs());
        let starts = start.as_str();
        if end <= start {
            let than = format!("delivery_start_time ({starts})");
            return late("delivery_end_time", end, than, page::CREATE);
        }
        if lasts < FIVE_DAYS {
            let than = format!("delivery_start_time ({starts}) by at least 5 days");
            return late("delivery_end_time", end, than, page::CONSOLE);
        }
    }
    Ok(())
}

/// Checks that an end only moves to a later time.
pub(crate) fn extended(
    field: &'static str,
    end: Option<&DateTime>,
    current: &DateTime,
    page: &'static str,
) -> Checked {
    match end {
        Some(end) if end <= current => {
            let than = format!("that of the plan ({})", current.as_str());
            let fault = InputFault::NotLater { found: end.as_str().to_owned(), than };
            Err(InputError::new(field, fault, page))
        }
        _ => Ok(()),
    }
}

/// Checks that a count or a limit only grows. Whether an answer always has those of the plan is not documented: one that
/// is missing there is left to the server.
pub(crate) fn grown(
    field: &'static str,
    found: Option<i64>,
    current: Option<i64>,
    page: &'static str,
) -> Checked {
    match (found, current) {
        (Some(found), Some(current)) if found <= current => {
            Err(InputError::new(field, InputFault::NotGrown { found, current }, page))
        }
        _ => Ok(()),
    }
}

/// Checks the address for notifications: public, without a query, at most 256 characters. That it is `https` is a rule of
/// this SDK.
pub(crate) fn notify_url(url: &str) -> Checked {
    const FIELD: &str = "notify_url";
    let not =
        |because| Err(InputError::new(FIELD, InputFault::NotAUrl { because }, page::NOTIFY_URL));
    id(FIELD, url, Some(256), page::NOTIFY_URL)?;
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return not("it has white space, or characters that are not ASCII");
    }
    if url.contains('#') {
        return not("it has a fragment");
    }
    if !url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        return not("it does not begin with https://, which this SDK requires");
    }
    let Ok(uri) = url.parse::<Uri>() else { return not("it is not a URL") };
    if uri.query().is_some() {
        return not("it has a query");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return not("it has a user name");
    }
    match uri.host() {
        Some(host) if !host.is_empty() && !is_of_this_network(host) => Ok(()),
        Some(host) if !host.is_empty() => not("its host is not public"),
        _ => not("it has no host"),
    }
}

/// Returns whether a host is certainly not reachable from outside.
fn is_of_this_network(host: &str) -> bool {
    use std::net::IpAddr;
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notify_url_is_public_https_without_a_query() {
        let at = |path: &str| format!("https://notify.example.com/{path}");
        for url in [
            "https://notify.example.com",
            "https://notify.example.com/plans",
            "https://notify.example.com:8443/a/b",
            "https://203.0.113.7/plans",
            "HTTPS://notify.example.com/plans",
            &at(&"x".repeat(256 - at("").len())),
        ] {
            assert_eq!(notify_url(url), Ok(()), "{url}");
        }
        for (url, because) in [
            ("http://notify.example.com/", "with https://, which this SDK requires"),
            ("notify.example.com/plans", "does not begin with https://"),
            ("/plans", "does not begin with https://"),
            ("https://notify.example.com/?a=1", "has a query"),
            ("https://notify.example.com/?", "has a query"),
            ("https://notify.example.com/#a", "has a fragment"),
            ("https://notify.example.com/a b", "white space"),
            ("https://notify.example.com/计划", "not ASCII"),
            ("https://user@notify.example.com/", "has a user name"),
            ("https://localhost/plans", "is not public"),
            ("https://LOCALHOST./plans", "is not public"),
            ("https://127.0.0.1:8443/plans", "is not public"),
            ("https://10.1.2.3/plans", "is not public"),
            ("https://192.168.0.7/plans", "is not public"),
            ("https://169.254.1.1/plans", "is not public"),
            ("https://[::1]/plans", "is not public"),
            ("https://[fd00::1]/plans", "is not public"),
            ("https://[", "is not a URL"),
        ] {
            let error = notify_url(url).expect_err(url);
            assert_eq!(error.field(), "notify_url");
            assert!(error.to_string().contains(because), "{url}: {error}");
        }
        assert_eq!(*notify_url("").unwrap_err().fault(), InputFault::Empty);
        let long = notify_url(&at(&"x".repeat(257 - at("").len()))).unwrap_err();
        assert_eq!(*long.fault(), InputFault::TooLong { found: 257, most: 256, is_bytes: false });
    }

    #[test]
    fn a_request_number_has_6_to_40_plain_characters() {
        for text in ["req_01", "A-z_09", &"9".repeat(40)] {
            assert_eq!(out_request_no(text, page::CREATE), Ok(()), "{text}");
        }
        let fault = |text: &str| out_request_no(text, page::CREATE).unwrap_err().fault().clone();
        assert_eq!(fault("req01"), InputFault::TooShort { found: 5, least: 6 });
        assert_eq!(
            fault(&"9".repeat(41)),
            InputFault::TooLong { found: 41, most: 40, is_bytes: false }
        );
        for (text, position) in [("req 01", 3), ("请求0001", 0), ("req.0001", 3), ("req-001\n", 7)]
        {
            assert_eq!(fault(text), InputFault::Character { position }, "{text}");
        }
    }
}
