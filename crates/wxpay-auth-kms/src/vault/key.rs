//! The key and signature in responses of Transit.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use wxpay_auth_core::{PublicKey, SignErrorKind};

use crate::backend::KmsKey;
use crate::error::KmsError;

#[derive(Deserialize)]
pub(super) struct KeyResponse {
    pub(super) data: Option<Key>,
}

/// A key with all its versions.
#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u32,
    #[serde(default)]
    supports_signing: bool,
    #[serde(default)]
    soft_deleted: bool,
    /// Symmetric keys have numbers here; HMAC keys have no versions.
    #[serde(default)]
    keys: BTreeMap<u32, serde_json::Value>,
}

impl Key {
    /// Returns the given version, or the latest.
    pub(super) fn version(&self, version: Option<u32>) -> Result<KmsKey, KmsError> {
        if !self.kind.starts_with("rsa-") || !self.supports_signing {
            let message = format!("a key of type {} cannot be used", self.kind);
            return Err(KmsError::new(SignErrorKind::Unsupported, message)
                .with_hint("make or import a key of type rsa-2048"));
        }
        if self.soft_deleted {
            return Err(KmsError::new(SignErrorKind::KeyNotFound, "the key is deleted")
                .with_hint("restore it, or use another one"));
        }
        let version = version.unwrap_or(self.latest_version);
        let Some(found) = self.keys.get(&version) else { return Err(self.no_version(version)) };
        let Some(pem) = found.get("public_key").and_then(serde_json::Value::as_str) else {
            return Err(KmsError::new(
                SignErrorKind::Unsupported,
                format!("vault does not return the public key of version {version}"),
            ));
        };
        Ok(KmsKey::new(PublicKey::from_pem(pem)?).with_version(version.to_string()))
    }

    fn no_version(&self, version: u32) -> KmsError {
        let message = match (self.keys.keys().next(), self.keys.keys().next_back()) {
            (Some(first), Some(last)) => {
                format!("the key has no version {version}, it has {first} to {last}")
            }
            _ => format!("the key has no version {version}"),
        };
        KmsError::new(SignErrorKind::KeyNotFound, message).with_hint(
            "give a version that the key has: older ones may be archived (min_decryption_version) or \
             trimmed",
        )
    }
}

#[derive(Deserialize)]
pub(super) struct SignResponse {
    pub(super) data: Option<Signed>,
}

/// A signature: `vault:v3:` and Base64.
#[derive(Deserialize)]
pub(super) struct Signed {
    signature: String,
}

impl Signed {
    /// Returns the bytes of the signature, if it was made with this version of the key.
    pub(super) fn bytes(&self, version: &str) -> Result<Vec<u8>, KmsError> {
        let parts = self.signature.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
        let Some((found, bytes)) = parts else {
            return Err(wrong(
                "the signature in the response of vault does not begin with vault:v",
            ));
        };
        if found != version {
            return Err(wrong(format!(
                "vault signed with version {found} of the key instead of version {version}"
            )));
        }
        STANDARD
            .decode(bytes)
            .map_err(|_| wrong("the signature in the response of vault is not Base64"))
    }
}

fn wrong(message: impl AsRef<str>) -> KmsError {
    KmsError::new(SignErrorKind::InvalidSignature, message)
        .with_hint("check what lies between this program and vault: vault itself answers otherwise")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PEM: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");

    fn key(key_type: &str, keys: &serde_json::Value) -> Key {
        let fields = json!({
            "type": key_type, "latest_version": 3, "supports_signing": true, "keys": keys,
        });
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn a_version_is_taken_or_the_latest() {
        let key =
            key("rsa-2048", &json!({ "2": { "public_key": PEM }, "3": { "public_key": PEM } }));
        assert_eq!(key.version(None).unwrap().version(), Some("3"));
        assert_eq!(key.version(Some(2)).unwrap().version(), Some("2"));
        for missing in [1, 4] {
            let error = key.version(Some(missing)).unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::KeyNotFound);
            assert_eq!(
                error.to_string(),
                format!("the key has no version {missing}, it has 2 to 3")
            );
            assert!(error.hint().contains("archived") && error.hint().contains("trimmed"));
        }
        assert_eq!(
            self::key("rsa-2048", &json!({})).version(None).unwrap_err().to_string(),
            "the key has no version 3"
        );
    }

    #[test]
    fn keys_of_other_kinds_do_not_do() {
        let unsupported = |key: Key| {
            let error = key.version(None).unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Unsupported, "{error}");
        };
        unsupported(key("aes256-gcm96", &json!({ "3": 1_795_580_765 })));
        unsupported(key("ed25519", &json!({ "3": { "public_key": "GNLOVhDE" } })));
        unsupported(key("rsa-2048", &json!({ "3": 1_795_580_765 })));
        let mut no_signing = key("rsa-2048", &json!({ "3": { "public_key": PEM } }));
        no_signing.supports_signing = false;
        unsupported(no_signing);
        let mut deleted = key("rsa-2048", &json!({ "3": { "public_key": PEM } }));
        deleted.soft_deleted = true;
        assert_eq!(deleted.version(None).unwrap_err().kind(), SignErrorKind::KeyNotFound);
    }

    #[test]
    fn a_signature_is_of_the_version_that_was_asked_for() {
        let bytes = |signature: &str| Signed { signature: signature.to_owned() }.bytes("2");
        assert_eq!(bytes("vault:v2:AQID").unwrap(), [1, 2, 3]);
        for wrong in ["vault:v3:AQID", "vault:v2:AQI", "vault:v22:AQID", "v2:AQID", "", "vault:v2"]
        {
            let error = bytes(wrong).unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::InvalidSignature, "{wrong}");
        }
        assert!(bytes("vault:v3:AQID").unwrap_err().to_string().contains("version 3"));
    }
}
