//! The parsers of answers, for `fuzz/` alone.

use http::{HeaderMap, StatusCode};

use super::client::read;
use super::key::{KeyAnswer, SignAnswer};
use super::refusal::Doing;
use crate::backend::KmsKey;
use crate::error::KmsError;
use crate::http::Answer;

/// Reads the latest version of a key, as `public_key` does.
pub fn key(
    status: StatusCode,
    headers: HeaderMap,
    body: &[u8],
    token: &str,
) -> Result<KmsKey, KmsError> {
    let answer = Answer::new("vault", status, headers, body).after_sending(token);
    read(&answer, Doing::Read, |part: KeyAnswer| part.data)?.version(None)
}

/// Reads a signature, as `sign_sha256` does.
pub fn signature(
    status: StatusCode,
    headers: HeaderMap,
    body: &[u8],
    token: &str,
) -> Result<Vec<u8>, KmsError> {
    let answer = Answer::new("vault", status, headers, body).after_sending(token);
    read(&answer, Doing::Sign, |part: SignAnswer| part.data)?.bytes("1")
}
