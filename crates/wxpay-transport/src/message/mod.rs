//! Requests and responses.

pub(crate) mod body_error;
pub(crate) mod download;
pub(crate) mod download_url;
pub(crate) mod downloaded;
pub(crate) mod expected_hash;
pub(crate) mod hash;
pub(crate) mod interface_limit;
pub(crate) mod multipart;
pub(crate) mod query_pairs;
pub(crate) mod replay;
pub(crate) mod request;
pub(crate) mod request_error;
pub(crate) mod response;
pub(crate) mod response_headers;
pub(crate) mod secrets;
#[cfg(test)]
pub(crate) mod signed_response;
pub(crate) mod target;
pub(crate) mod upload;
