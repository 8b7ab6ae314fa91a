//! The request signature of Tencent Cloud: TC3-HMAC-SHA256.
//!
//! <https://cloud.tencent.com/document/api/213/30654>

use wxpay_auth_core::Timestamp;
use zeroize::Zeroizing;

use crate::cloud::digest::{hex, hmac_sha256, sha256_hex};
use crate::cloud::utc::date;
use crate::credentials::provider::Credentials;
use crate::error::KmsError;

/// The parts of a `POST /` without a query that are signed.
pub(super) struct Tc3<'a> {
    pub(super) service: &'a str,
    pub(super) timestamp: Timestamp,
    /// Lower-case names, sorted.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) payload: &'a [u8],
}

impl Tc3<'_> {
    /// Returns the value of the `Authorization` header.
    pub(super) fn authorization(&self, credentials: &Credentials) -> Result<String, KmsError> {
        Ok(format!(
            "TC3-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
            credentials.id(),
            self.scope()?,
            self.signed_headers(),
            self.signature(credentials.secret())?,
        ))
    }

    fn signature(&self, secret_key: &str) -> Result<String, KmsError> {
        let key = Zeroizing::new(["TC3", secret_key].concat());
        let secret_date = hmac_sha256(key.as_bytes(), &self.date()?);
        let secret_service = hmac_sha256(secret_date.as_ref(), self.service);
        let secret_signing = hmac_sha256(secret_service.as_ref(), "tc3_request");
        Ok(hex(hmac_sha256(secret_signing.as_ref(), &self.string_to_sign()?).as_ref()))
    }

    fn string_to_sign(&self) -> Result<String, KmsError> {
        let (timestamp, scope) = (self.timestamp, self.scope()?);
        let request = sha256_hex(self.canonical_request().as_bytes());
        Ok(format!("TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{request}"))
    }

    fn canonical_request(&self) -> String {
        let mut headers = String::new();
        for (name, value) in self.headers {
            headers.extend([name, ":", &value.trim().to_lowercase(), "\n"]);
        }
        let payload = sha256_hex(self.payload);
        format!("POST\n/\n\n{headers}\n{}\n{payload}", self.signed_headers())
    }

    fn signed_headers(&self) -> String {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| *name).collect();
        names.join(";")
    }

    fn scope(&self) -> Result<String, KmsError> {
        Ok(format!("{}/{}/tc3_request", self.date()?, self.service))
    }

    fn date(&self) -> Result<String, KmsError> {
        date(self.timestamp)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The examples of the vendor's documentation, stage by stage.
    #[test]
    fn documented_examples() {
        let file = include_str!("../../../testdata/kms/tc3.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 2);
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let header = |name| match name {
                "content-type" => (name, text("content_type")),
                "host" => (name, text("host")),
                "x-tc-action" => (name, text("action")),
                _ => panic!("{name}"),
            };
            let headers: Vec<_> = text("signed_headers").split(';').map(header).collect();
            let request = Tc3 {
                service: text("service"),
                timestamp: Timestamp::from_unix_secs(case["timestamp"].as_u64().unwrap()),
                headers: &headers,
                payload: text("payload").as_bytes(),
            };
            assert_eq!(request.canonical_request(), text("canonical_request"));
            assert_eq!(
                sha256_hex(request.canonical_request().as_bytes()),
                text("hashed_canonical_request")
            );
            assert_eq!(request.scope().unwrap(), text("credential_scope"));
            assert_eq!(request.string_to_sign().unwrap(), text("string_to_sign"));
            assert_eq!(request.signature(text("secret_key")).unwrap(), text("signature"));
            let credentials = Credentials::new(text("secret_id"), text("secret_key"));
            assert_eq!(request.authorization(&credentials).unwrap(), text("authorization"));
        }
    }
}
