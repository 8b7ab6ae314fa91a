//! Times as WeChat Pay writes them in JSON.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::clock::Timestamp;
use crate::text::{debug_as_report, foreign_text};

/// A time with its offset from UTC, in RFC 3339 (`2027-01-01T00:00:00+08:00`).
///
/// It keeps the text it was read from, and is written as that again. Any offset and a fraction of a second are read; so
/// are times without seconds, which some official samples have. Two times are equal if they are the same instant.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012081726>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::DateTime;
///
/// let start: DateTime = "2027-01-01T00:00:00+08:00".parse()?;
/// assert_eq!(start.unix_secs(), 1_798_732_800);
/// assert_eq!(start, "2026-12-31T16:00Z".parse()?);
/// # Ok::<(), wxpay_auth::DateTimeError>(())
/// ```
#[derive(Clone)]
pub struct DateTime {
    text: Box<str>,
    at: OffsetDateTime,
}

impl DateTime {
    /// Creates a time from Unix seconds, written with the offset of China (`+08:00`).
    ///
    /// # Errors
    /// [`DateTimeError`] for a year outside 0 to 9999.
    pub fn from_unix_secs(secs: i64) -> Result<Self, DateTimeError> {
        const CHINA: UtcOffset = match UtcOffset::from_hms(8, 0, 0) {
            Ok(offset) => offset,
            Err(_) => UtcOffset::UTC,
        };
        let wrong = || DateTimeError::new(&secs.to_string());
        let at = OffsetDateTime::from_unix_timestamp(secs).map_err(|_| wrong())?;
        let at = at.checked_to_offset(CHINA).ok_or_else(wrong)?;
        let text = at.format(&Rfc3339).map_err(|_| wrong())?.into_boxed_str();
        Ok(Self { text, at })
    }

    /// Returns the Unix seconds, without the fraction. They are negative before 1970.
    pub fn unix_secs(&self) -> i64 {
        self.at.unix_timestamp()
    }

    /// Returns the nanoseconds within the second.
    pub fn nanosecond(&self) -> u32 {
        self.at.nanosecond()
    }

    /// Returns its offset from UTC in seconds; 28800 in China.
    pub fn offset_seconds(&self) -> i32 {
        self.at.offset().whole_seconds()
    }

    /// Returns the instant in whole Unix seconds; a time before 1970 is 0.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_unix_secs(u64::try_from(self.unix_secs()).unwrap_or_default())
    }

    /// Returns the text as it was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        // `time` takes any byte between date and time.
        let is_separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| without_seconds(text));
        let at = parsed.filter(|_| is_separated).ok_or_else(|| DateTimeError::new(text))?;
        Ok(Self { text: text.into(), at })
    }
}

/// Parses `2025-01-01T00:00+08:00`, by adding the seconds.
fn without_seconds(text: &str) -> Option<OffsetDateTime> {
    const MINUTES: usize = "2025-01-01T00:00".len();
    let (minutes, offset) = text.split_at_checked(MINUTES)?;
    if !offset.starts_with(['Z', 'z', '+', '-']) {
        return None;
    }
    OffsetDateTime::parse(&format!("{minutes}:00{offset}"), &Rfc3339).ok()
}

impl PartialEq for DateTime {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for DateTime {}

impl PartialOrd for DateTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DateTime {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl std::hash::Hash for DateTime {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.at.hash(state);
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DateTime({})", self.text)
    }
}

/// A text is not a time in RFC 3339.
#[derive(Error, Clone, PartialEq, Eq)]
#[error("{text:?} is no time in RFC 3339")]
pub struct DateTimeError {
    text: String,
}

impl DateTimeError {
    fn new(text: &str) -> Self {
        const LONGEST: usize = 40;
        Self { text: foreign_text(text, LONGEST, &[]) }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "write it as 2027-01-01T00:00:00+08:00, with the offset from UTC"
    }
}

debug_as_report!(DateTimeError);

#[cfg(feature = "serde")]
mod json {
    use serde::de::Visitor;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{DateTime, fmt};

    impl Serialize for DateTime {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(&self.text)
        }
    }

    impl<'de> Deserialize<'de> for DateTime {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Text;

            impl Visitor<'_> for Text {
                type Value = DateTime;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a time in RFC 3339")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DateTime, E> {
                    text.parse().map_err(E::custom)
                }
            }

            deserializer.deserialize_str(Text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    #[test]
    fn what_the_pages_show_is_read_and_written_as_it_was() {
        for (text, secs, offset) in [
            ("2027-01-01T00:00:00+08:00", 1_798_732_800, 28_800),
            ("2027-01-02T03:04:05.120+08:00", 1_798_830_245, 28_800),
            ("2025-01-01T00:00+08:00", 1_735_660_800, 28_800),
            ("2026-12-31T16:00:00Z", 1_798_732_800, 0),
            ("2026-12-31T10:30:00-05:30", 1_798_732_800, -19_800),
            ("2026-12-31T16:00Z", 1_798_732_800, 0),
        ] {
            let time = at(text);
            assert_eq!((time.unix_secs(), time.offset_seconds()), (secs, offset), "{text}");
            assert_eq!((time.to_string().as_str(), time.as_str()), (text, text));
        }
        assert_eq!(at("2027-01-02T03:04:05.120+08:00").nanosecond(), 120_000_000);
    }

    #[test]
    fn the_same_instant_is_equal_and_order_is_that_of_time() {
        assert_eq!(at("2027-01-01T00:00:00+08:00"), at("2026-12-31T16:00:00Z"));
        assert!(at("2027-01-01T00:00:00+08:00") < at("2026-12-31T16:00:01Z"));
        assert!(at("2027-01-01T00:00:00.001Z") > at("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_named() {
        for text in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "1798732800",
            "2027-13-01T00:00:00Z",
            "2027-01-01\n00:00:00Z",
            "2027-01-01\u{0}00:00:00Z",
            "2025-01-01T00:00.5Z",
            "时间",
        ] {
            let error = text.parse::<DateTime>().unwrap_err();
            assert!(error.to_string().ends_with("is no time in RFC 3339"), "{error}");
            assert!(error.hint().contains("+08:00"));
        }
    }

    #[test]
    fn seconds_become_a_time_of_china() {
        assert_eq!(
            DateTime::from_unix_secs(1_798_732_800).unwrap().as_str(),
            "2027-01-01T00:00:00+08:00"
        );
        // The end of 9999 in UTC is in the year 10000 of China.
        for late in [253_402_300_799, 253_402_272_000, i64::MAX, i64::MIN] {
            assert!(DateTime::from_unix_secs(late).is_err(), "{late}");
        }
        assert!(DateTime::from_unix_secs(253_402_271_999).is_ok());
        assert_eq!(at("1960-01-01T00:00:00Z").timestamp(), Timestamp::from_unix_secs(0));
        assert_eq!(at("2026-12-31T16:00Z").timestamp().as_unix_secs(), 1_798_732_800);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_is_a_string_in_json() {
        let json = r#""2025-01-01T00:00+08:00""#;
        let time: DateTime = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), json);
        let error = serde_json::from_str::<DateTime>(r#""tomorrow""#).unwrap_err();
        assert!(error.to_string().starts_with(r#""tomorrow" is no time in RFC 3339"#), "{error}");
    }
}
