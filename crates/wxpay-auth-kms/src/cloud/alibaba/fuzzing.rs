//! The parsers of responses, for `fuzz/` only.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::SERVICE;
use super::codes::read;
use crate::cloud::utc::{iso, parse_iso};
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    value: String,
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
    signed.map(|signed| signed.value).map_err(KmsError::from)
}

/// Parses the expiry time of an access key, and formats it again.
pub fn time(text: &str) -> Option<Result<(u64, String), KmsError>> {
    let time = parse_iso(text)?;
    Some(iso(time).map(|written| (time.as_unix_secs(), written)))
}
