//! Where signatures are computed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::token::Token;
use crate::vault::Vault;

/// What computes the signatures. With a token or a key service, `ring` verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signing {
    /// A key file, on `ring`.
    #[serde(rename = "ring")]
    Ring,
    /// A key file, on `aws-lc-rs`.
    #[serde(rename = "aws-lc-rs")]
    AwsLcRs,
    /// A token of `SoftHSM`, over PKCS#11.
    #[serde(rename = "softhsm")]
    SoftHsm,
    /// A key in Transit, of `OpenBao`.
    #[serde(rename = "vault")]
    Vault,
}

impl Signing {
    /// Lists all of them.
    pub const ALL: [Self; 4] = [Self::Ring, Self::AwsLcRs, Self::SoftHsm, Self::Vault];

    /// Returns the library with which the SDK verifies, and signs if the key is in a file.
    pub fn backend(self) -> wxpay_auth::Backend {
        match self {
            Self::Ring | Self::SoftHsm | Self::Vault => wxpay_auth::Backend::Ring,
            Self::AwsLcRs => wxpay_auth::Backend::AwsLcRs,
        }
    }
}

impl Signing {
    /// Checks that its token or server is there; the error says what is missing.
    pub fn is_here(self) -> Result<(), String> {
        match self {
            Self::Ring | Self::AwsLcRs => Ok(()),
            Self::SoftHsm => Token::from_env().map(drop),
            Self::Vault => Vault::from_env().map(drop),
        }
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ring => "ring",
            Self::AwsLcRs => "aws-lc-rs",
            Self::SoftHsm => "softhsm",
            Self::Vault => "vault",
        })
    }
}

impl FromStr for Signing {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|signing| signing.to_string() == name);
        found.ok_or_else(|| {
            format!("nothing signs with {name}: ring, aws-lc-rs, softhsm and vault do")
        })
    }
}
