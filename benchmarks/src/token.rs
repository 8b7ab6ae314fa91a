//! The token of `SoftHSM` that `benchmarks/run` prepares.

use std::env;

/// Where the token is, and how to log in.
#[derive(Debug, Clone)]
pub struct Token {
    /// The path of the PKCS#11 module.
    pub module: String,
    /// The user PIN of a throw-away token.
    pub pin: String,
}

impl Token {
    /// The label of the token.
    pub const LABEL: &str = "main";
    /// The label of the key on it.
    pub const KEY: &str = "merchant";
    /// Number of sessions that the floor opens: the SDK's default.
    pub const SESSIONS: usize = 4;

    /// Reads the environment variables of `scripts/with-tokens`; the error says why there is no token.
    pub fn from_env() -> Result<Self, String> {
        let variable = |name: &str| {
            let value = env::var(name).ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("there is no SoftHSM here: {name} is not set"))
        };
        Ok(Self { module: variable("WXPAY_TEST_SOFTHSM")?, pin: variable("WXPAY_TEST_PIN")? })
    }
}
