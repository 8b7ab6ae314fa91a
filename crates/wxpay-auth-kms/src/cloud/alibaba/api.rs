//! Requests to Alibaba Cloud KMS, and its responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Method, Request, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wxpay_auth_core::{PublicKey, SignErrorKind};
use zeroize::Zeroizing;

use super::acs3::{Acs3, query};
use super::{AlibabaCloud, SERVICE, codes};
use crate::backend::KmsKey;
use crate::cloud::builder::{header_value, name};
use crate::cloud::digest::sha256_hex;
use crate::cloud::kms::{answered_for, decode};
use crate::cloud::utc::iso;
use crate::cloud::vendor::{ApiRequest, RequestContext, Vendor};
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;

const VERSION: &str = "2016-01-20";

/// The key of a response, and the rest of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct About<T> {
    key_id: String,
    key_version_id: String,
    #[serde(flatten)]
    result: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublicKeyResponse {
    /// PEM.
    public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SignatureResponse {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PlaintextResponse {
    plaintext: Zeroizing<String>,
}

impl AlibabaCloud {
    /// Builds the request of an action on this version of the key.
    fn call(&self, action: &'static str, key_id: &str, more: &[(&str, &str)]) -> ApiRequest {
        let mut parameters = vec![("KeyId", key_id), ("KeyVersionId", &self.key_version_id)];
        parameters.extend(more);
        let path_and_query = format!("/?{}", query(&parameters));
        ApiRequest { action, path_and_query, body: Vec::new() }
    }

    /// Returns the result, unless the response is about another key or version.
    fn check_about<T>(&self, asked: &str, about: About<T>) -> Result<T, KmsError> {
        // The response has the key id instead of an alias, and the id of an ARN.
        let asked = asked.rsplit_once(":key/").map_or(asked, |(_, id)| id);
        let is_alias = asked.starts_with("alias/") || asked.contains(":alias/");
        if !is_alias && asked != about.key_id {
            return Err(answered_for::<Self>("key", &about.key_id));
        }
        if self.key_version_id != about.key_version_id {
            return Err(answered_for::<Self>("key version", &about.key_version_id));
        }
        Ok(about.result)
    }
}

impl Vendor for AlibabaCloud {
    const SERVICE: &'static str = SERVICE;

    type PublicKey = About<PublicKeyResponse>;
    type Signature = About<SignatureResponse>;
    type Plaintext = About<PlaintextResponse>;

    fn default_endpoint(region: &str) -> String {
        format!("https://kms.{region}.aliyuncs.com")
    }

    fn check(&self) -> Result<(), KmsError> {
        name("id of the key version", &self.key_version_id)
    }

    fn get_public_key(&self, key_id: &str) -> Result<ApiRequest, KmsError> {
        Ok(self.call("GetPublicKey", key_id, &[]))
    }

    fn sign(&self, key_id: &str, digest: &[u8; 32]) -> Result<ApiRequest, KmsError> {
        let digest = BASE64.encode(digest);
        let more = [("Algorithm", "RSA_PKCS1_SHA_256"), ("Digest", digest.as_str())];
        Ok(self.call("AsymmetricSign", key_id, &more))
    }

    fn check_decrypts() -> Result<(), KmsError> {
        Ok(())
    }

    fn decrypt(&self, key_id: &str, ciphertext: &[u8]) -> Result<ApiRequest, KmsError> {
        let ciphertext = BASE64.encode(ciphertext);
        let more = [("Algorithm", "RSAES_OAEP_SHA_1"), ("CiphertextBlob", ciphertext.as_str())];
        Ok(self.call("AsymmetricDecrypt", key_id, &more))
    }

    fn signed(
        &self,
        request: &ApiRequest,
        context: &RequestContext<'_>,
        credentials: &Credentials,
    ) -> Result<Request<Vec<u8>>, KmsError> {
        let query = request.path_and_query.strip_prefix("/?").unwrap_or_default();
        let date = iso(context.now)?;
        let nonce = self.nonces.nonce().map_err(|e| {
            KmsError::new(SignErrorKind::Other, "there is no nonce for the request").with_source(e)
        })?;
        let payload = sha256_hex(&request.body);
        let mut headers = vec![
            ("host", context.endpoint.authority()),
            ("x-acs-action", request.action),
            ("x-acs-content-sha256", &payload),
            ("x-acs-date", &date),
        ];
        headers.extend(credentials.session_token().map(|token| ("x-acs-security-token", token)));
        headers.extend([("x-acs-signature-nonce", nonce.as_str()), ("x-acs-version", VERSION)]);
        let authorization = Acs3 { query, headers: &headers }.authorization(credentials);
        headers.push(("authorization", &authorization));
        let mut signed = Request::builder()
            .method(Method::POST)
            .uri(context.endpoint.join(&request.path_and_query)?)
            // Not signed: only `host`, `content-type` and `x-acs-…` are.
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            signed = match name {
                "authorization" | "x-acs-security-token" => {
                    signed.header(name, header_value(value)?)
                }
                _ => signed.header(name, value),
            };
        }
        signed.body(request.body.clone()).map_err(|e| {
            KmsError::setting("the request cannot be made", "report it").with_source(e)
        })
    }

    fn read<T: DeserializeOwned>(
        response: &Response,
        credentials: &Credentials,
    ) -> Result<T, RequestFailure> {
        codes::read(response, credentials)
    }

    fn public_key(
        &self,
        key_id: &str,
        response: About<PublicKeyResponse>,
    ) -> Result<KmsKey, KmsError> {
        let got = self.check_about(key_id, response)?;
        let key = KmsKey::new(PublicKey::from_pem(&got.public_key)?);
        Ok(key.with_version(&self.key_version_id))
    }

    fn signature(
        &self,
        key_id: &str,
        response: About<SignatureResponse>,
    ) -> Result<Vec<u8>, KmsError> {
        decode::<Self>(&self.check_about(key_id, response)?.value)
    }

    fn plaintext(
        &self,
        key_id: &str,
        response: About<PlaintextResponse>,
    ) -> Result<Vec<u8>, KmsError> {
        decode::<Self>(&self.check_about(key_id, response)?.plaintext)
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::Timestamp;

    use super::*;
    use crate::cloud::alibaba::AlibabaKms;
    use crate::http::endpoint::Endpoint;

    #[test]
    fn json_is_asked_for_and_secrets_are_marked() {
        let access_key = Credentials::new("LTAI", "hunter2").with_session_token("hunter3");
        let kms = AlibabaKms::builder("cn-hangzhou", "id", "version");
        let endpoint = Endpoint::new("https://kms.cn-hangzhou.aliyuncs.com").unwrap();
        let now = Timestamp::from_unix_secs(1_698_315_752);
        let sign = |credentials: &Credentials| {
            let context = RequestContext { endpoint: &endpoint, region: "cn-hangzhou", now };
            kms.cloud.signed(&kms.cloud.get_public_key("id").unwrap(), &context, credentials)
        };
        let request = sign(&access_key).unwrap();
        assert_eq!(request.headers()["accept"], "application/json");
        let signed = request.headers()["authorization"].to_str().unwrap();
        assert!(!signed.contains("accept"), "{signed}");
        let sensitive = request.headers().iter().filter(|(_, value)| value.is_sensitive());
        let mut sensitive: Vec<_> = sensitive.map(|(name, _)| name.as_str()).collect();
        sensitive.sort_unstable();
        assert_eq!(sensitive, ["authorization", "x-acs-security-token"]);
        let broken = Credentials::new("LTAI", "hunter2").with_session_token("hunter3\n");
        let error = sign(&broken).unwrap_err();
        assert!(error.to_string().contains("session token"), "{error}");
    }
}
