//! Requests and responses, without the way between them.

pub(crate) mod replay;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_headers;
pub(crate) mod target;
