//! The identity of the signer: a merchant or a brand account.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::text::{Number, debug_as_report, invisible, serde_as_text};

/// A merchant number (商户号, `mchid`): 1 to 32 decimal digits.
///
/// A service provider signs with its own `mchid`, never with that of a sub-merchant or a brand. The
/// `Authorization` header has no escaping rules, so a number is validated when it is created.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012365342>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::Mchid;
///
/// let mchid: Mchid = "1900007291".parse()?;
/// assert_eq!(mchid.as_str(), "1900007291");
/// # Ok::<(), wxpay_auth::MchidError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mchid(Arc<str>);

impl Mchid {
    /// Validates a merchant number.
    ///
    /// # Errors
    /// [`MchidError`] if it is empty, longer than 32 characters, or has anything but the digits `0` to
    /// `9`.
    pub fn new(mchid: impl AsRef<str>) -> Result<Self, MchidError> {
        let mchid = mchid.as_ref();
        if mchid.is_empty() {
            return Err(MchidError::Empty);
        }
        if mchid.len() > 32 {
            return Err(MchidError::TooLong { length: mchid.len() });
        }
        if let Some(character) = invisible(mchid) {
            return Err(MchidError::Invisible { character });
        }
        match mchid.chars().position(|c| !c.is_ascii_digit()) {
            Some(position) => Err(MchidError::NotADigit { position }),
            None => Ok(Self(mchid.into())),
        }
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Mchid {
    type Err = MchidError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for Mchid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Mchid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mchid({})", self.0)
    }
}

/// Why a merchant number is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MchidError {
    /// It is empty.
    #[error("mchid is empty")]
    Empty,
    /// It has more than 32 characters.
    #[error("mchid has {length} characters, at most 32 are allowed")]
    #[non_exhaustive]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It has an invisible character.
    #[error("mchid has an invisible character in it ({})", Number(*character))]
    #[non_exhaustive]
    Invisible {
        /// The character, such as `U+FEFF`.
        character: char,
    },
    /// It has a character other than a digit.
    #[error("mchid has a character other than a digit at position {position}")]
    #[non_exhaustive]
    NotADigit {
        /// The position of the first such character, from 0.
        position: usize,
    },
}

impl MchidError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        if let Self::Invisible { .. } = self {
            return "type it again: it was copied together with an invisible character";
        }
        "give the merchant number of the account that owns the key, as the merchant platform shows \
         it (商户号, digits only, often 10 of them); a service provider gives its own"
    }
}

/// The id of a brand account (品牌, `brand_id`): 1 to 32 characters of `[0-9A-Za-z_-]`.
///
/// Which characters a real id has is not documented; these are the ones that need no escaping.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrandId(Arc<str>);

impl BrandId {
    /// Validates the id of a brand.
    ///
    /// # Errors
    /// [`BrandIdError`] if it is empty, longer than 32 characters, or has a character outside of
    /// `[0-9A-Za-z_-]`.
    pub fn new(brand_id: impl AsRef<str>) -> Result<Self, BrandIdError> {
        let brand_id = brand_id.as_ref();
        if brand_id.is_empty() {
            return Err(BrandIdError::Empty);
        }
        if let Some(character) = invisible(brand_id) {
            return Err(BrandIdError::Invisible { character });
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if let Some(position) = brand_id.bytes().position(|b| !plain(b)) {
            return Err(BrandIdError::NotAllowed { position });
        }
        if brand_id.len() > 32 {
            return Err(BrandIdError::TooLong { length: brand_id.len() });
        }
        Ok(Self(brand_id.into()))
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BrandId {
    type Err = BrandIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for BrandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BrandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrandId({})", self.0)
    }
}

/// Why the id of a brand is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BrandIdError {
    /// It is empty.
    #[error("brand_id is empty")]
    Empty,
    /// It has more than 32 characters.
    #[error("brand_id has {length} characters, at most 32 are allowed")]
    #[non_exhaustive]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It has an invisible character.
    #[error("brand_id has an invisible character in it ({})", Number(*character))]
    #[non_exhaustive]
    Invisible {
        /// The character, such as `U+FEFF`.
        character: char,
    },
    /// It has a character outside of `[0-9A-Za-z_-]`.
    #[error("brand_id has a character other than letters, digits, _ and - at position {position}")]
    #[non_exhaustive]
    NotAllowed {
        /// The position of the first such character, in bytes, from 0.
        position: usize,
    },
}

impl BrandIdError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        if let Self::Invisible { .. } = self {
            return "type it again: it was copied together with an invisible character";
        }
        "give the id of the brand as WeChat Pay gave it (品牌ID); it is not the mchid"
    }
}

/// The party that signs, as a parameter of the `Authorization` header. With the feature `serde` it is written as
/// `{"mchid": "…"}` or `{"brand_id": "…"}`.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012365342>
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Identity {
    /// A merchant or service provider: `mchid="…"`.
    #[cfg_attr(feature = "serde", serde(rename = "mchid"))]
    Merchant(Mchid),
    /// A brand account: `brand_id="…"`.
    #[cfg_attr(feature = "serde", serde(rename = "brand_id"))]
    Brand(BrandId),
}

impl Identity {
    /// Returns the name of the header parameter: `mchid` or `brand_id`.
    pub fn parameter(&self) -> &'static str {
        match self {
            Self::Merchant(_) => "mchid",
            Self::Brand(_) => "brand_id",
        }
    }

    /// Returns the value of the header parameter.
    pub fn value(&self) -> &str {
        match self {
            Self::Merchant(mchid) => mchid.as_str(),
            Self::Brand(brand_id) => brand_id.as_str(),
        }
    }
}

impl From<Mchid> for Identity {
    fn from(mchid: Mchid) -> Self {
        Self::Merchant(mchid)
    }
}

impl From<BrandId> for Identity {
    fn from(brand_id: BrandId) -> Self {
        Self::Brand(brand_id)
    }
}

debug_as_report!(BrandIdError, MchidError);
serde_as_text!(BrandId, Mchid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_number_is_digits() {
        assert_eq!(Mchid::new("1900007291").unwrap().to_string(), "1900007291");
        assert_eq!(Mchid::new(""), Err(MchidError::Empty));
        assert_eq!(Mchid::new("1".repeat(33)), Err(MchidError::TooLong { length: 33 }));
        let error = Mchid::new("\u{feff}1900007291").unwrap_err();
        assert_eq!(error.to_string(), "mchid has an invisible character in it (U+FEFF)");
        for (given, position) in
            [("19000072 91", 8), ("1900\"", 4), (" 1", 0), ("1,", 1), ("１", 0), ("1\n", 1)]
        {
            assert_eq!(Mchid::new(given), Err(MchidError::NotADigit { position }), "{given:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_brand_id_is_named() {
        assert_eq!("1004_a-B".parse::<BrandId>().unwrap().to_string(), "1004_a-B");
        assert_eq!(BrandId::new(""), Err(BrandIdError::Empty));
        assert_eq!(BrandId::new("1".repeat(33)), Err(BrandIdError::TooLong { length: 33 }));
        assert_eq!(
            BrandId::new("10\u{200b}04"),
            Err(BrandIdError::Invisible { character: '\u{200b}' })
        );
        for (given, position) in [("10 4", 2), ("\"", 0), ("1004\n", 4), ("１", 0)] {
            assert_eq!(
                BrandId::new(given),
                Err(BrandIdError::NotAllowed { position }),
                "{given:?}"
            );
        }
    }
}
