//! Files that were downloaded.

use std::sync::Arc;

use crate::message::expected_hash::ExpectedHash;

/// A file that was written whole, and whose hash is the expected one.
///
/// There is no other way to get this value than a download whose hash was right. It is not a
/// [`Verified`](wxpay_auth::Verified), because WeChat Pay does not sign files: it says of the file what the response
/// said that named the hash.
#[derive(Debug, Clone)]
pub struct Downloaded {
    pub(crate) received: u64,
    pub(crate) written: u64,
    pub(crate) was_gzip: bool,
    pub(crate) hash: ExpectedHash,
    pub(crate) request_id: Option<String>,
    pub(crate) host: Arc<str>,
}

impl Downloaded {
    /// Returns the number of bytes written: the size of the file.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns the number of bytes received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Returns whether the content was gzip, and was unzipped.
    pub fn was_gzip(&self) -> bool {
        self.was_gzip
    }

    /// Returns the hash that the file was checked with.
    pub fn hash(&self) -> &ExpectedHash {
        &self.hash
    }

    /// Returns the `Request-ID`, which WeChat Pay's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the host that responded, with its port unless it is the default.
    pub fn host(&self) -> &str {
        &self.host
    }
}
