//! Hashes by which downloaded files are checked.

use std::fmt;

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use wxpay_auth::foreign_text;

use crate::message::hash::{from_hex, hex};
use crate::message::request_error::RequestError;

/// The type of a hash (`hash_type`).
///
/// WeChat Pay names SM3 as well, for electronic receipts; it is not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// `SHA1`, of bills.
    Sha1,
    /// `SHA256`, of electronic receipts.
    Sha256,
}

impl HashAlgorithm {
    /// Returns its name in responses: `SHA1` or `SHA256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn digest(self) -> &'static Algorithm {
        match self {
            // WeChat Pay uses it for bills. The value comes in a signed response, so an attacker cannot choose it
            // with a second file in hand.
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash that a verified response named for a file (`hash_type`, `hash_value`).
///
/// ```
/// use wxpay_transport::{ExpectedHash, HashAlgorithm};
///
/// let hash = ExpectedHash::sha1("79BB0F45FC4C42234A918000B2668D689E2BDE04")?;
/// assert_eq!(hash, ExpectedHash::of_type("SHA1", "79bb0f45fc4c42234a918000b2668d689e2bde04")?);
/// assert_eq!(hash.algorithm(), HashAlgorithm::Sha1);
/// # Ok::<(), wxpay_transport::RequestError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExpectedHash {
    algorithm: HashAlgorithm,
    value: Vec<u8>,
}

impl ExpectedHash {
    /// Parses a SHA-1: 40 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`RequestError::HashValue`] if it is anything else.
    pub fn sha1(value: &str) -> Result<Self, RequestError> {
        Self::parse(HashAlgorithm::Sha1, value)
    }

    /// Parses a SHA-256: 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`RequestError::HashValue`] if it is anything else.
    pub fn sha256(value: &str) -> Result<Self, RequestError> {
        Self::parse(HashAlgorithm::Sha256, value)
    }

    /// Parses type and value as a response names them: `hash_type` is `SHA1` or `SHA256`.
    ///
    /// # Errors
    /// [`RequestError::HashType`] for another type, such as `SM3`; [`RequestError::HashValue`] if the value does not
    /// fit the type.
    pub fn of_type(hash_type: &str, hash_value: &str) -> Result<Self, RequestError> {
        match hash_type {
            "SHA1" => Self::sha1(hash_value),
            "SHA256" => Self::sha256(hash_value),
            other => Err(RequestError::HashType { hash_type: foreign_text(other, 20, &[]) }),
        }
    }

    /// Returns the type.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    pub(crate) fn is(&self, value: &[u8]) -> bool {
        self.value == value
    }

    fn parse(algorithm: HashAlgorithm, text: &str) -> Result<Self, RequestError> {
        let length = algorithm.digest().output_len();
        let value = from_hex(text).filter(|value| value.len() == length);
        let value = value.ok_or(RequestError::HashValue { digits: 2 * length })?;
        Ok(Self { algorithm, value })
    }
}

/// Shows type and value: a hash tells nothing of its file.
impl fmt::Display for ExpectedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, hex(&self.value))
    }
}

impl fmt::Debug for ExpectedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpectedHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_as_many_digits_as_its_type() {
        let (sha1, sha256) = ("0f".repeat(20), "0F".repeat(32));
        assert_eq!(ExpectedHash::sha1(&sha1).unwrap().to_string(), format!("SHA1 {sha1}"));
        let read = ExpectedHash::of_type("SHA256", &sha256).unwrap();
        assert_eq!(read.to_string(), format!("SHA256 {}", "0f".repeat(32)));
        for wrong in ["", "0", &sha1[1..], &format!("{sha1}00"), &sha256, &"0g".repeat(20)] {
            assert_eq!(ExpectedHash::sha1(wrong), Err(RequestError::HashValue { digits: 40 }));
        }
        assert_eq!(ExpectedHash::sha256(&sha1), Err(RequestError::HashValue { digits: 64 }));
    }

    #[test]
    fn a_type_that_is_not_known_is_named() {
        for (hash_type, shown) in [("SM3", "SM3"), ("sha1", "sha1"), ("", ""), ("A\nB", "A B")] {
            let hash_type = ExpectedHash::of_type(hash_type, &"00".repeat(32));
            assert_eq!(hash_type, Err(RequestError::HashType { hash_type: shown.to_owned() }));
        }
    }
}
