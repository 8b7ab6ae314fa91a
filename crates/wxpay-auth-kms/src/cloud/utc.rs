//! Times in the formats of the services, in UTC.

use std::time::Duration;

use wxpay_auth_core::Timestamp;
use x509_cert::der::DateTime;

use super::error_codes::CLOCK_HINT;
use crate::error::KmsError;

/// Formats a day: `2019-02-25`.
#[cfg(feature = "tencent")]
pub(crate) fn date(at: Timestamp) -> Result<String, KmsError> {
    let at = date_time(at)?;
    Ok(format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day()))
}

/// Formats a second: `2023-10-26T10:22:32Z`.
#[cfg(feature = "alibaba")]
pub(crate) fn iso(at: Timestamp) -> Result<String, KmsError> {
    Ok(date_time(at)?.to_string())
}

/// Parses the format of [`iso`].
#[cfg(feature = "alibaba")]
pub(crate) fn parse_iso(text: &str) -> Option<Timestamp> {
    let at: DateTime = text.parse().ok()?;
    Some(Timestamp::from_unix_secs(at.unix_duration().as_secs()))
}

fn date_time(at: Timestamp) -> Result<DateTime, KmsError> {
    DateTime::from_unix_duration(Duration::from_secs(at.as_unix_secs()))
        .map_err(|_| KmsError::setting("the clock shows a year beyond 9999", CLOCK_HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "tencent")]
    #[test]
    fn days() {
        for (secs, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_551_113_065, "2019-02-25"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(Timestamp::from_unix_secs(secs)).unwrap(), day);
        }
        date(Timestamp::from_unix_secs(u64::MAX)).unwrap_err();
    }

    #[cfg(feature = "alibaba")]
    #[test]
    fn seconds() {
        for (secs, text) in [(1_698_315_752, "2023-10-26T10:22:32Z"), (5, "1970-01-01T00:00:05Z")] {
            assert_eq!(iso(Timestamp::from_unix_secs(secs)).unwrap(), text);
            assert_eq!(parse_iso(text).unwrap().as_unix_secs(), secs);
        }
        iso(Timestamp::from_unix_secs(u64::MAX)).unwrap_err();
        for other in ["", "2023-10-26", "2023-10-26 10:22:32", "1969-12-31T23:59:59Z"] {
            assert!(parse_iso(other).is_none(), "{other}");
        }
    }
}
