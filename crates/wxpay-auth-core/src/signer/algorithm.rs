//! Signature algorithms, and the scheme tokens that identify them on the wire.

use std::fmt;
use std::ops::RangeInclusive;

use crate::identity::Identity;

/// A signature algorithm of WeChat Pay APIv3.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012365342>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a 2048-bit key: used by every merchant.
    Sha256Rsa2048,
    /// SM2 with SM3: a DER `SEQUENCE { r, s }`, made with the user id `1234567812345678`.
    Sm2WithSm3,
}

impl Algorithm {
    /// Returns the token in `Wechatpay-Signature-Type`, which is also the scheme of a merchant's
    /// `Authorization`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256Rsa2048 => "WECHATPAY2-SHA256-RSA2048",
            Self::Sm2WithSm3 => "WECHATPAY2-SM2-WITH-SM3",
        }
    }

    /// Returns the possible lengths of a signature in bytes, before base64: 256 for RSA-2048, a range for
    /// DER.
    pub fn signature_len(self) -> RangeInclusive<usize> {
        match self {
            Self::Sha256Rsa2048 => 256..=256,
            // Two integers of 1 to 33 bytes, and a header of two bytes for each and for the sequence.
            Self::Sm2WithSm3 => 8..=72,
        }
    }

    /// Parses the token of a `Wechatpay-Signature-Type` header; `None` if it is unknown.
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Sha256Rsa2048, Self::Sm2WithSm3].into_iter().find(|a| a.as_str() == token)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An `Authorization` scheme: the kind of identity, and the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `WECHATPAY2-SHA256-RSA2048`, with `mchid`.
    MerchantSha256Rsa2048,
    /// `WECHATPAY2-SM2-WITH-SM3`, with `mchid`.
    MerchantSm2WithSm3,
    /// `WECHATPAY-BRAND-SHA256-RSA2048`, with `brand_id`.
    BrandSha256Rsa2048,
}

impl Scheme {
    /// Returns the scheme for an identity and an algorithm; `None` if none is documented.
    pub fn of(identity: &Identity, algorithm: Algorithm) -> Option<Self> {
        match (identity, algorithm) {
            (Identity::Merchant(_), Algorithm::Sha256Rsa2048) => Some(Self::MerchantSha256Rsa2048),
            (Identity::Merchant(_), Algorithm::Sm2WithSm3) => Some(Self::MerchantSm2WithSm3),
            (Identity::Brand(_), Algorithm::Sha256Rsa2048) => Some(Self::BrandSha256Rsa2048),
            (Identity::Brand(_), Algorithm::Sm2WithSm3) => None,
        }
    }

    /// Returns the token that begins the `Authorization` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MerchantSha256Rsa2048 => "WECHATPAY2-SHA256-RSA2048",
            Self::MerchantSm2WithSm3 => "WECHATPAY2-SM2-WITH-SM3",
            Self::BrandSha256Rsa2048 => "WECHATPAY-BRAND-SHA256-RSA2048",
        }
    }

    /// Parses the token that begins an `Authorization` header; `None` if it is unknown.
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::MerchantSha256Rsa2048, Self::MerchantSm2WithSm3, Self::BrandSha256Rsa2048]
            .into_iter()
            .find(|s| s.as_str() == token)
    }

    /// Returns the signature algorithm of the scheme.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::MerchantSha256Rsa2048 | Self::BrandSha256Rsa2048 => Algorithm::Sha256Rsa2048,
            Self::MerchantSm2WithSm3 => Algorithm::Sm2WithSm3,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{BrandId, Mchid};

    #[test]
    fn tokens_read_back() {
        for algorithm in [Algorithm::Sha256Rsa2048, Algorithm::Sm2WithSm3] {
            assert_eq!(Algorithm::from_token(algorithm.as_str()), Some(algorithm));
            let merchant = Identity::Merchant(Mchid::new("1").unwrap());
            let scheme = Scheme::of(&merchant, algorithm).unwrap();
            assert_eq!(Scheme::from_token(scheme.as_str()), Some(scheme));
            assert_eq!(scheme.algorithm(), algorithm);
        }
        assert_eq!(Algorithm::from_token("wechatpay2-sha256-rsa2048"), None);
        let brand = Identity::Brand(BrandId::new("1").unwrap());
        assert_eq!(Scheme::of(&brand, Algorithm::Sm2WithSm3), None);
        assert_eq!(
            Scheme::of(&brand, Algorithm::Sha256Rsa2048).unwrap().as_str(),
            "WECHATPAY-BRAND-SHA256-RSA2048"
        );
    }
}
