//! The parsers of responses, for `fuzz/` only.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::SERVICE;
use super::codes::read;
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

/// Extracts a signature, as text, from the envelope of a response.
pub fn signature(
    status: StatusCode,
    headers: HeaderMap,
    body: &[u8],
    credentials: &Credentials,
) -> Result<String, KmsError> {
    let response = Response::new(SERVICE, status, headers, body);
    let signed: Result<Signed, RequestFailure> = read(&response, credentials);
    signed.map(|signed| signed.signature).map_err(KmsError::from)
}
