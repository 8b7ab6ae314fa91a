//! Requests and responses.

pub(crate) mod body_error;
pub(crate) mod interface_limit;
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
