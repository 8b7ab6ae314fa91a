//! Private parsers, exported only for `fuzz/`.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode, Uri};
use wxpay_auth::{Nonce, Timestamp};

use crate::connection::base_url::{self, BaseUrl};
use crate::error::{ApiError, ApiResponse, CallContext, ConfigError, Error, ResponseSignature};
use crate::message::download_url::DownloadUrl;
use crate::message::replay::Replay;
use crate::message::request_error::RequestError;
use crate::message::response_headers;
use crate::message::secrets::Secrets;
use crate::message::target::Target;

/// Builds the error of a response as a client does that signed this message.
pub fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
    signed_message: &[u8],
    now: Timestamp,
) -> Error {
    let call = CallContext::first("fuzz", "localhost", Replay::Keyed);
    let response = ApiResponse {
        status,
        request_id: request_id(headers),
        retry_after: response_headers::retry_after(headers, now),
        clock_offset: response_headers::clock_offset(headers, now),
        signature: ResponseSignature::Missing,
        was_kept: false,
        body: Ok(body),
    };
    Error::Api(ApiError::new(call, response, signed_message, &Secrets::default()))
}

/// Reads `Request-ID`.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let nonce = Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").ok()?;
    response_headers::request_id(headers, &nonce, Secrets::default)
}

/// Reads `Retry-After`.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    response_headers::retry_after(headers, now)
}

/// Reads `Date`.
pub fn clock_offset(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    response_headers::clock_offset(headers, now)
}

/// Writes an origin with its port, as in a request for a tunnel.
///
/// # Errors
/// The error of the connector.
pub fn origin(base: &BaseUrl) -> Result<Uri, ConfigError> {
    let scheme = if base.is_https() { "https" } else { "http" };
    let authority = base_url::authority(base.host(), base.port());
    format!("{scheme}://{authority}/").parse().map_err(|_| ConfigError::MalformedUrl)
}

/// Reads a download URL; returns its origin, its host, and its target as it is sent.
///
/// # Errors
/// The error of a download.
pub fn download_url(url: &str) -> Result<(String, String, PathAndQuery), RequestError> {
    let url = DownloadUrl::parse(url)?;
    let target = url.target.to_path_and_query()?;
    Ok((url.origin(), url.host, target))
}

/// Converts a target to hyper's type.
///
/// # Errors
/// The error of a call.
pub fn path_and_query(target: &Target) -> Result<PathAndQuery, RequestError> {
    target.to_path_and_query()
}
