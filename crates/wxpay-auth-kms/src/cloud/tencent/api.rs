//! Requests to Tencent Cloud KMS, and its responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Method, Request, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use wxpay_auth_core::PublicKey;

use super::tc3::Tc3;
use super::{SERVICE, TencentCloud, codes};
use crate::backend::{KmsKey, does_not_decrypt};
use crate::cloud::builder::header_value;
use crate::cloud::kms::{answered_for, decode};
use crate::cloud::vendor::{ApiRequest, RequestContext, Vendor};
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;

const VERSION: &str = "2019-01-18";
const CONTENT_TYPE: &str = "application/json; charset=utf-8";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetPublicKey<'a> {
    key_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublicKeyResponse {
    key_id: String,
    /// DER. The field that the service calls PEM is not PEM: its Base64 is encoded twice.
    public_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SignByAsymmetricKey<'a> {
    key_id: &'a str,
    algorithm: &'static str,
    message: &'a str,
    message_type: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SignatureResponse {
    signature: String,
}

fn call(action: &'static str, parameters: &impl Serialize) -> Result<ApiRequest, KmsError> {
    let body = serde_json::to_vec(parameters).map_err(|e| {
        KmsError::setting("the request cannot be written", "report it").with_source(e)
    })?;
    Ok(ApiRequest { action, path_and_query: "/".to_owned(), body })
}

/// The service has `AsymmetricRsaDecrypt`, but its keys are generated there, for one usage.
fn no_certificate() -> KmsError {
    does_not_decrypt(
        "a key of Tencent Cloud KMS that decrypts cannot sign a certificate request, so it has no merchant \
         certificate",
    )
}

impl Vendor for TencentCloud {
    const SERVICE: &'static str = SERVICE;

    type PublicKey = PublicKeyResponse;
    type Signature = SignatureResponse;
    type Plaintext = IgnoredAny;

    fn default_endpoint(_: &str) -> String {
        "https://kms.tencentcloudapi.com".to_owned()
    }

    fn get_public_key(&self, key_id: &str) -> Result<ApiRequest, KmsError> {
        call("GetPublicKey", &GetPublicKey { key_id })
    }

    fn sign(&self, key_id: &str, digest: &[u8; 32]) -> Result<ApiRequest, KmsError> {
        let parameters = SignByAsymmetricKey {
            key_id,
            algorithm: "RSA_PKCS1_SHA_256",
            message: &BASE64.encode(digest),
            message_type: "DIGEST",
        };
        call("SignByAsymmetricKey", &parameters)
    }

    fn check_decrypts() -> Result<(), KmsError> {
        Err(no_certificate())
    }

    fn decrypt(&self, _: &str, _: &[u8]) -> Result<ApiRequest, KmsError> {
        Err(no_certificate())
    }

    fn signed(
        &self,
        request: &ApiRequest,
        context: &RequestContext<'_>,
        credentials: &Credentials,
    ) -> Result<Request<Vec<u8>>, KmsError> {
        let (host, timestamp) = (context.endpoint.authority(), context.now);
        let headers =
            [("content-type", CONTENT_TYPE), ("host", host), ("x-tc-action", request.action)];
        let tc3 = Tc3 { service: "kms", timestamp, headers: &headers, payload: &request.body };
        let authorization = header_value(&tc3.authorization(credentials)?)?;
        let mut signed = Request::builder()
            .method(Method::POST)
            .uri(context.endpoint.join(&request.path_and_query)?)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))
            .header(header::AUTHORIZATION, authorization)
            .header("x-tc-action", request.action)
            .header("x-tc-version", VERSION)
            .header("x-tc-region", context.region)
            .header("x-tc-timestamp", timestamp.as_unix_secs());
        if let Some(token) = credentials.session_token() {
            signed = signed.header("x-tc-token", header_value(token)?);
        }
        signed.body(request.body.clone()).map_err(|e| {
            KmsError::setting("the request cannot be made", "check region and endpoint")
                .with_source(e)
        })
    }

    fn read<T: DeserializeOwned>(
        response: &Response,
        credentials: &Credentials,
    ) -> Result<T, RequestFailure> {
        codes::read(response, credentials)
    }

    fn public_key(&self, key_id: &str, got: PublicKeyResponse) -> Result<KmsKey, KmsError> {
        if got.key_id != key_id {
            return Err(answered_for::<Self>("key", &got.key_id));
        }
        Ok(KmsKey::new(PublicKey::from_spki_der(&decode::<Self>(&got.public_key)?)?))
    }

    fn signature(&self, _: &str, signed: SignatureResponse) -> Result<Vec<u8>, KmsError> {
        decode::<Self>(&signed.signature)
    }

    fn plaintext(&self, _: &str, _: IgnoredAny) -> Result<Vec<u8>, KmsError> {
        Err(no_certificate())
    }
}
