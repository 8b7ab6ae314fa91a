//! Requests that break a documented rule.

use std::fmt;

use thiserror::Error;
use wxpay_auth::write_report;

/// A request breaks a documented rule. Nothing was sent.
///
/// ```
/// use wxpay_auth::{BrandId, Timestamp};
/// use wxpay_marketing::{CreatePlan, InputFault};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plan = CreatePlan::new("req-0001", BrandId::new("70001")?, "7000000001", true);
/// let error = plan.check(Timestamp::from_unix_secs(1_798_732_800)).unwrap_err();
/// assert_eq!(error.field(), "stock_id");
/// assert!(matches!(error.fault(), InputFault::Missing { .. }));
/// assert_eq!(error.to_string(), "stock_id is missing: it is required with usage_mode SINGLE");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{field} {fault}")]
pub struct InputError {
    field: &'static str,
    fault: InputFault,
    page: &'static str,
}

impl InputError {
    /// `page` is the number of the official page with the rule.
    pub(crate) fn new(field: &'static str, fault: InputFault, page: &'static str) -> Self {
        Self { field, fault, page }
    }

    /// Returns the official name of the field. Fields of `modify_content` are named `modify_content.total_count`.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns what is wrong with it.
    pub fn fault(&self) -> &InputFault {
        &self.fault
    }

    /// Returns the address of the official page with the rule.
    pub fn page(&self) -> String {
        format!("https://pay.weixin.qq.com/doc/v3/partner/{}", self.page)
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match &self.fault {
            InputFault::Missing { .. } => "set it",
            InputFault::Unexpected { .. } => "leave it out",
            InputFault::Empty => "set it, or leave it out if it is optional",
            InputFault::TooShort { .. } | InputFault::Character { .. } => {
                "use 6 to 40 characters of 0-9, A-Z, a-z, _ and -, and a new number for each request of the brand"
            }
            InputFault::TooLong { is_bytes: true, .. } => {
                "shorten it: a Chinese character takes 3 bytes"
            }
            InputFault::TooLong { is_bytes: false, .. } => "shorten it",
            InputFault::OutOfRange { .. } => "use a number of this range",
            InputFault::NotLater { .. } => "move it",
            InputFault::NotGrown { .. } => "leave it out if it stays as it is: it can only grow",
            InputFault::NotAUrl { .. } => {
                "give the whole public address, such as https://notify.example.com/plans"
            }
            InputFault::NotChangeable { .. } => "create another plan, or check the plan_id",
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputFault {
    /// It is not set, although it is required.
    #[non_exhaustive]
    Missing {
        /// When it is required.
        when: &'static str,
    },
    /// It is set, although it must not be.
    #[non_exhaustive]
    Unexpected {
        /// When it must not be set.
        when: &'static str,
    },
    /// It is empty.
    Empty,
    /// It is too short.
    #[non_exhaustive]
    TooShort {
        /// Its length in characters.
        found: usize,
        /// The shortest length.
        least: usize,
    },
    /// It is too long.
    #[non_exhaustive]
    TooLong {
        /// Its length.
        found: usize,
        /// The longest length.
        most: usize,
        /// Whether the lengths are in bytes of UTF-8; otherwise in characters.
        is_bytes: bool,
    },
    /// It has a character that is not allowed.
    #[non_exhaustive]
    Character {
        /// The position of the first such character, in characters, from 0.
        position: usize,
    },
    /// The number is out of range.
    #[non_exhaustive]
    OutOfRange {
        /// The number.
        found: i64,
        /// The smallest number.
        least: i64,
        /// The largest number, if there is one.
        most: Option<i64>,
    },
    /// The time is not late enough.
    #[non_exhaustive]
    NotLater {
        /// The time, in RFC 3339.
        found: String,
        /// What it must be later than, such as `now` or `delivery_start_time by at least 5 days`.
        than: String,
    },
    /// The value is not larger than that of the plan.
    #[non_exhaustive]
    NotGrown {
        /// The value.
        found: i64,
        /// The value of the plan.
        current: i64,
    },
    /// It is not an address that WeChat Pay calls.
    #[non_exhaustive]
    NotAUrl {
        /// Why not.
        because: &'static str,
    },
    /// The plan cannot be changed.
    #[non_exhaustive]
    NotChangeable {
        /// Why not.
        because: &'static str,
    },
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { when } => write!(f, "is missing: it is required {when}"),
            Self::Unexpected { when } => write!(f, "is set: it is not allowed {when}"),
            Self::Empty => f.write_str("is empty"),
            Self::TooShort { found, least } => {
                write!(f, "has {found} characters, at least {least} are required")
            }
            Self::TooLong { found, most, is_bytes } => {
                let unit = if *is_bytes { "bytes" } else { "characters" };
                write!(f, "has {found} {unit}, at most {most} are allowed")
            }
            Self::Character { position } => {
                write!(f, "has a character that is not allowed, at position {position}")
            }
            Self::OutOfRange { found, least, most: Some(most) } => {
                write!(f, "is {found}, from {least} to {most} is allowed")
            }
            Self::OutOfRange { found, least, most: None } => {
                write!(f, "is {found}, at least {least} is required")
            }
            Self::NotLater { found, than } => write!(f, "is {found}, it must be later than {than}"),
            Self::NotGrown { found, current } => {
                write!(f, "is {found}, the plan has {current}: it must be larger")
            }
            Self::NotAUrl { because } => write!(f, "is not a public https address: {because}"),
            Self::NotChangeable { because } => write!(f, "cannot be changed: {because}"),
        }
    }
}

/// Prints one line with the hint.
impl fmt::Debug for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_field_rule_and_hint() {
        let faults = [
            InputFault::Missing { when: "x" },
            InputFault::Unexpected { when: "x" },
            InputFault::Empty,
            InputFault::TooShort { found: 1, least: 6 },
            InputFault::TooLong { found: 37, most: 36, is_bytes: true },
            InputFault::TooLong { found: 41, most: 40, is_bytes: false },
            InputFault::Character { position: 3 },
            InputFault::OutOfRange { found: 0, least: 1, most: Some(50) },
            InputFault::OutOfRange { found: 0, least: 10_000, most: None },
            InputFault::NotLater { found: "t".into(), than: "now".into() },
            InputFault::NotGrown { found: 1, current: 2 },
            InputFault::NotAUrl { because: "x" },
            InputFault::NotChangeable { because: "x" },
        ];
        for fault in faults {
            let error = InputError::new("total_count", fault, "4016184554");
            let line = format!("{error:?}");
            assert_eq!(line, format!("{error}; {}", error.hint()));
            assert!(line.starts_with("total_count ") && line.lines().count() == 1, "{line}");
            assert!(error.page().ends_with("/4016184554"));
        }
    }
}
