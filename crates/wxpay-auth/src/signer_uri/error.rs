//! Errors of signer addresses.

use thiserror::Error;
use wxpay_auth_core::internal::{Number, debug_as_report};
use wxpay_auth_core::{KeyError, SignErrorKind};

#[cfg(feature = "kms")]
use crate::kms::KmsError;
#[cfg(feature = "pkcs11")]
use crate::pkcs11::Pkcs11Error;

/// Why a signer address cannot be used. Of the values in the address, only paths of keys, certificates and
/// modules are quoted: any other may contain a misplaced secret.
#[derive(Error)]
#[non_exhaustive]
pub enum SignerUriError {
    /// It does not begin with a known scheme.
    #[error("the address of the signer does not begin with a known scheme")]
    Scheme,
    /// It is a path without a scheme.
    #[error("the address of the signer is a path without file: before it")]
    BarePath,
    /// It has an invisible character.
    #[error("the address of the signer has an invisible character in it ({})", Number(*character))]
    #[non_exhaustive]
    Invisible {
        /// The character, such as `U+FEFF`.
        character: char,
    },
    /// The scheme needs a feature that is not compiled in.
    #[error("{scheme}: needs the feature {feature} of wxpay-auth")]
    #[non_exhaustive]
    NotCompiledIn {
        /// The scheme.
        scheme: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The part before the question mark does not name a key.
    #[error("the address names no key: {problem}")]
    #[non_exhaustive]
    Key {
        /// What is wrong.
        problem: &'static str,
    },
    /// A parameter is not `name=value`.
    #[error("parameter {index} of the address is not name=value")]
    #[non_exhaustive]
    Malformed {
        /// Its number, from 1.
        index: usize,
    },
    /// A parameter is given twice.
    #[error("{parameter} is given twice")]
    #[non_exhaustive]
    Twice {
        /// Its name, or its number if that is not a name.
        parameter: String,
    },
    /// A parameter is not known for this scheme.
    #[error("the address has a parameter that is not known here: {parameter}")]
    #[non_exhaustive]
    Unsupported {
        /// Its name, or its number if that is not a name.
        parameter: String,
    },
    /// A parameter is missing.
    #[error("the address has no parameter {parameter}")]
    #[non_exhaustive]
    Missing {
        /// Its name.
        parameter: &'static str,
    },
    /// A parameter requires another one.
    #[error("{parameter} is given without {needed}")]
    #[non_exhaustive]
    Without {
        /// Its name.
        parameter: &'static str,
        /// The required parameter.
        needed: &'static str,
    },
    /// The value of a parameter is invalid.
    #[error("{parameter} {problem}")]
    #[non_exhaustive]
    Value {
        /// Its name.
        parameter: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Neither the merchant certificate nor its serial is named.
    #[error("the address names neither the merchant certificate nor its serial")]
    NoCertificate,
    /// The key or the certificate cannot be used.
    #[error(transparent)]
    Material(#[from] KeyError),
    /// The token cannot be used.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// The key service cannot be used.
    #[cfg(feature = "kms")]
    #[error(transparent)]
    Kms(#[from] KmsError),
}

impl SignerUriError {
    /// Returns the kind of error.
    pub fn kind(&self) -> SignErrorKind {
        match self {
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(e) => e.kind(),
            #[cfg(feature = "kms")]
            Self::Kms(e) => e.kind(),
            _ => SignErrorKind::Configuration,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Scheme => {
                "begin with file:, pkcs11:, vault:, tencent-kms:, alibaba-kms: or aws-kms:"
            }
            Self::BarePath => "write file: before the path: file:/etc/wxpay/apiclient_key.pem",
            Self::Invisible { .. } => {
                "type the address again: it was copied together with an invisible character"
            }
            Self::NotCompiledIn { feature, .. } => enable(feature),
            Self::Key { .. } => "name the key between the colon and the question mark",
            Self::Malformed { .. } => "write ?name=value&name=value",
            Self::Twice { .. } => "give it once",
            Self::Unsupported { .. } => {
                "see the documentation of SignerUri for the parameters of the scheme; a secret does not \
                 belong in an address"
            }
            Self::Missing { parameter: "address" } => {
                "add address=https://HOST:8200 after the question mark, or set VAULT_ADDR"
            }
            Self::Missing { .. } => "add it after the question mark: ?NAME=VALUE, or &NAME=VALUE",
            Self::Without { .. } => "add what it requires, or remove it",
            Self::Value { .. } => "correct the value; write % as %25, & as %26",
            Self::NoCertificate => {
                "add certificate=PATH, or serial_no=… (or, in the settings of a client, serial_no: WXPAY_SERIAL_NO)"
            }
            Self::Material(e) => e.hint(),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(e) => e.hint(),
            #[cfg(feature = "kms")]
            Self::Kms(e) => e.hint(),
        }
    }
}

/// Returns how a feature is enabled.
fn enable(feature: &str) -> &'static str {
    macro_rules! cargo_add {
        ($($feature:literal),+) => {
            match feature {
                $($feature => concat!("enable it: cargo add wxpay-auth --features ", $feature),)+
                _ => "enable it: cargo add wxpay-auth --features FEATURE",
            }
        };
    }
    cargo_add!(
        "file-key",
        "pkcs11",
        "kms-vault",
        "kms-tencent",
        "kms-alibaba",
        "kms-aws-config",
        "aws-lc-rs"
    )
}

debug_as_report!(SignerUriError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_named_where_it_is_enabled() {
        let features = super::super::SCHEMES.map(|(_, feature)| feature);
        for feature in features.into_iter().chain(["aws-lc-rs"]) {
            let error = SignerUriError::NotCompiledIn { scheme: "x", feature };
            assert!(error.hint().ends_with(&format!("--features {feature}")), "{}", error.hint());
        }
    }
}
