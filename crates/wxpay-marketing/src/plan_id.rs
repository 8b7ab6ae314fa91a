//! Ids of delivery plans.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use wxpay_auth::internal::{Number, invisible};
use wxpay_auth::write_report;

/// The id of a delivery plan (投放计划ID, `plan_id`), as WeChat Pay returned it.
///
/// Which characters an id may have is not documented (the sample is `12000`), so the type is open:
/// letters of any script, digits and punctuation are accepted, and are percent-encoded once when the id
/// becomes a path segment. It refuses what no id contains and what a server might not read as a single
/// segment: white space, control characters, invisible characters, and `/ \ % ? #`. A wrong id
/// terminates another campaign.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184572>
///
/// ```
/// use wxpay_marketing::{PlanId, PlanIdError};
///
/// let plan_id = PlanId::new("12000")?;
/// assert_eq!(plan_id.as_str(), "12000");
///
/// let error = PlanId::new("12000/../12001").unwrap_err();
/// assert!(matches!(error, PlanIdError::Forbidden { character: '/', position: 5, .. }));
/// # Ok::<(), PlanIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanId(String);

impl PlanId {
    /// The documented maximum length of an id: `string(40)` in the notification, `string(32)` elsewhere.
    pub const MAX_CHARACTERS: usize = 40;

    /// Validates an id. It is neither trimmed nor decoded: it must be exactly what the API returned.
    ///
    /// # Errors
    /// [`PlanIdError`] if it is empty, longer than 40 characters, `.` or `..`, or has white space, a
    /// control character, an invisible character, or one of `/ \ % ? #`.
    pub fn new(plan_id: impl Into<String>) -> Result<Self, PlanIdError> {
        let plan_id = plan_id.into();
        if plan_id.is_empty() {
            return Err(PlanIdError::Empty);
        }
        if plan_id == "." || plan_id == ".." {
            return Err(PlanIdError::DotSegment);
        }
        if let Some(character) = invisible(&plan_id) {
            return Err(PlanIdError::Invisible { character });
        }
        let characters = plan_id.chars().count();
        if characters > Self::MAX_CHARACTERS {
            return Err(PlanIdError::TooLong { characters });
        }
        let forbidden = |c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '%' | '?' | '#')
        };
        match plan_id.chars().enumerate().find(|(_, c)| forbidden(*c)) {
            Some((position, character)) => Err(PlanIdError::Forbidden { character, position }),
            None => Ok(Self(plan_id)),
        }
    }

    /// Returns the id, unencoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanId {
    type Err = PlanIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanId({:?})", self.0)
    }
}

impl Serialize for PlanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Why the id of a delivery plan is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanIdError {
    /// It is empty.
    #[error("plan_id is empty")]
    Empty,
    /// It has more than 40 characters.
    #[error("plan_id has {characters} characters, at most {} are allowed", PlanId::MAX_CHARACTERS)]
    #[non_exhaustive]
    TooLong {
        /// Its length in characters.
        characters: usize,
    },
    /// It has a character that is not allowed.
    #[error("plan_id has {character:?} at position {position}")]
    #[non_exhaustive]
    Forbidden {
        /// The first such character.
        character: char,
        /// Its position in characters, from 0.
        position: usize,
    },
    /// It has an invisible character, so it is not the id it seems to be.
    #[error("plan_id has an invisible character in it ({})", Number(*character))]
    #[non_exhaustive]
    Invisible {
        /// The character, such as `U+FEFF`.
        character: char,
    },
    /// It is `.` or `..`, which means something else in a path.
    #[error("plan_id is . or ..")]
    DotSegment,
}

impl PlanIdError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Invisible { .. } => {
                "type it again: it was copied together with an invisible character"
            }
            Self::Forbidden { character: '%', .. } => {
                "give the id as the API returned it, not URL-encoded: it is encoded when it is sent"
            }
            Self::Forbidden { character, .. } if character.is_whitespace() => {
                "give the id as the API returned it, without spaces around it"
            }
            _ => "give the plan_id that creating or listing the plan returned, such as 12000",
        }
    }
}

/// Prints one line with the hint.
impl fmt::Debug for PlanIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_recognised_in_debug_output() {
        assert_eq!(format!("{:?}", PlanId::new("12000").unwrap()), "PlanId(\"12000\")");
    }

    #[test]
    fn an_error_says_how_to_give_the_id() {
        for (id, hint) in [
            ("12000\u{feff}", "copied together with an invisible character"),
            ("12%30", "not URL-encoded"),
            ("12000 ", "without spaces around it"),
            ("a/b", "such as 12000"),
            ("", "such as 12000"),
        ] {
            let error = PlanId::new(id).unwrap_err();
            assert!(error.hint().contains(hint), "{id:?}: {}", error.hint());
            assert!(format!("{error:?}").contains(hint), "{error:?}");
        }
    }

    #[test]
    fn ids_are_taken_as_they_are() {
        for id in ["12000", "0", "a.b", "...", "a+b", "A-z_~", "a:b@c", "计划", &"9".repeat(40)] {
            assert_eq!(PlanId::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        assert_eq!(PlanId::new(""), Err(PlanIdError::Empty));
        assert_eq!(PlanId::new("."), Err(PlanIdError::DotSegment));
        assert_eq!(PlanId::new(".."), Err(PlanIdError::DotSegment));
        for (id, character) in [
            ("\u{feff}12000", '\u{feff}'),
            ("12\u{200b}000", '\u{200b}'),
            ("\u{202e}12000", '\u{202e}'),
        ] {
            let error = PlanId::new(id).unwrap_err();
            assert_eq!(error, PlanIdError::Invisible { character });
            assert!(error.to_string().contains("U+"), "{error}");
        }
        let long = "9".repeat(41);
        assert_eq!(PlanId::new(long), Err(PlanIdError::TooLong { characters: 41 }));
        for (id, character, position) in [
            (" 12000", ' ', 0),
            ("12000\n", '\n', 5),
            ("12000\u{a0}", '\u{a0}', 5),
            ("12\u{3000}000", '\u{3000}', 2),
            ("12000/", '/', 5),
            ("..\\x", '\\', 2),
            ("%31", '%', 0),
            ("1?x", '?', 1),
            ("1#x", '#', 1),
            ("1\0", '\0', 1),
        ] {
            assert_eq!(PlanId::new(id), Err(PlanIdError::Forbidden { character, position }));
        }
        assert!(PlanId::new("12%30").unwrap_err().hint().contains("not URL-encoded"));
        assert!(PlanId::new("12000 ").unwrap_err().hint().contains("without spaces"));
    }
}
