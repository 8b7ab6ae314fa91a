//! The OpenBao server that `scripts/with-kms` starts.

use std::env;

/// Where the server is, and how to log in. Its key `merchant` is the merchant's.
#[derive(Debug, Clone)]
pub struct Vault {
    /// `http://` and an address of this machine.
    pub address: String,
    /// A token that may sign.
    pub token: String,
}

impl Vault {
    /// The name of the key.
    pub const KEY: &str = "merchant";

    /// Reads the environment variables of `scripts/with-kms`; the error says why there is no server.
    pub fn from_env() -> Result<Self, String> {
        let variable = |name: &str| {
            let value = env::var(name).ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| {
                format!("{name} is not set; start it with scripts/with-kms benchmarks/run")
            })
        };
        Ok(Self {
            address: variable("WXPAY_TEST_VAULT_ADDR")?,
            token: variable("WXPAY_TEST_VAULT_TOKEN")?,
        })
    }
}
