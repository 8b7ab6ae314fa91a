//! The callback of the self-test.

use std::fmt;

use serde::Deserialize;

/// The self-test of the API (`POST /v3/security/echo`) was called with a `notify_url`. It carries no request id: match
/// it by its message.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4019605946>
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SecurityEcho {
    /// The text of the request.
    pub echo_message: String,
    /// The text that the request had encrypted, encrypted with the key of the merchant certificate. The request and its
    /// response spell the field `encrypted_echo_message`.
    #[serde(default)]
    pub encrypt_echo_message: Option<String>,
}

/// Shows the length of the encrypted text only.
impl fmt::Debug for SecurityEcho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.encrypt_echo_message.as_ref().map(String::len);
        f.debug_struct("SecurityEcho")
            .field("echo_message", &self.echo_message)
            .field("encrypt_echo_message", &length.map(|length| format!("{length} characters")))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encrypted_text_is_optional() {
        for (json, encrypted) in [
            (r#"{"echo_message":"self-test-0001"}"#, None),
            (r#"{"echo_message":"self-test-0001","encrypt_echo_message":null}"#, None),
            (
                r#"{"echo_message":"self-test-0001","encrypt_echo_message":"bG9uZw=="}"#,
                Some("bG9uZw=="),
            ),
        ] {
            let echo: SecurityEcho = serde_json::from_str(json).unwrap();
            assert_eq!(echo.encrypt_echo_message.as_deref(), encrypted, "{json}");
            assert!(!format!("{echo:?}").contains("bG9uZw"), "{echo:?}");
        }
    }
}
