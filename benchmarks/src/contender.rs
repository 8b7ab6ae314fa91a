//! The two contenders that are compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::floor::Floor;
use crate::sdk::Sdk;
use crate::settings::Settings;
use crate::signing::Signing;

/// One of the two contenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Bare hyper, bare RSA.
    Floor,
    /// The SDK.
    Sdk,
}

/// A contender, ready to be called.
pub enum Contender {
    /// Bare hyper, bare RSA.
    Floor(Box<Floor>),
    /// The SDK.
    Sdk(Box<Sdk>),
}

impl Contender {
    /// Creates a contender, without a connection.
    pub async fn new(variant: Variant, settings: &Settings, signing: Signing) -> Result<Self> {
        Ok(match variant {
            Variant::Floor => Self::Floor(Box::new(Floor::new(settings, signing)?)),
            Variant::Sdk => Self::Sdk(Box::new(Sdk::new(settings, signing).await?)),
        })
    }

    /// Shuts it down before the process ends.
    pub async fn shut_down(&self) -> Result<()> {
        match self {
            Self::Floor(_) => Ok(()),
            Self::Sdk(sdk) => sdk.shut_down().await,
        }
    }

    /// Makes one call as the caller with this number.
    pub async fn call(&self, caller: usize) -> Result<()> {
        match self {
            Self::Floor(floor) => floor.call(caller).await,
            Self::Sdk(sdk) => sdk.call().await,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Floor => "floor",
            Self::Sdk => "sdk",
        })
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "floor" => Ok(Self::Floor),
            "sdk" => Ok(Self::Sdk),
            other => Err(format!("there is floor, and sdk, and no {other}")),
        }
    }
}
