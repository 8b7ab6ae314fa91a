//! The parsers of responses, for `fuzz/` only.

use http::{HeaderMap, StatusCode};

use super::client::read;
use super::key::{KeyResponse, SignResponse};
use super::refusal::Doing;
use crate::backend::KmsKey;
use crate::error::KmsError;
use crate::http::client::Response;

/// Parses the latest version of a key, as `public_key` does.
pub fn key(
    status: StatusCode,
    headers: HeaderMap,
    body: &[u8],
    token: &str,
) -> Result<KmsKey, KmsError> {
    let response = Response::new("vault", status, headers, body).after_sending(token);
    read(&response, Doing::Read, |part: KeyResponse| part.data)?.version(None)
}

/// Parses a signature, as `sign_sha256` does.
pub fn signature(
    status: StatusCode,
    headers: HeaderMap,
    body: &[u8],
    token: &str,
) -> Result<Vec<u8>, KmsError> {
    let response = Response::new("vault", status, headers, body).after_sending(token);
    read(&response, Doing::Sign, |part: SignResponse| part.data)?.bytes("1")
}
