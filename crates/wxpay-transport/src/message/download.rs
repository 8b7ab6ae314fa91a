//! Files to download.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::message::download_url::DownloadUrl;
use crate::message::expected_hash::ExpectedHash;
use crate::message::interface_limit::RateLimit;
use crate::message::request::Request;
use crate::message::request_error::RequestError;

/// A file to download, for [`Client::download`](crate::Client::download): its URL and its hash, both from a
/// verified response.
///
/// WeChat Pay does not sign files. What makes a file trustworthy is that its hash is the one which a signed response
/// named, so there is no download without one.
///
/// ```
/// use std::time::Duration;
/// use wxpay_transport::{Download, ExpectedHash};
///
/// # let (download_url, hash_value) = (
/// #     "https://api.mch.weixin.qq.com/v3/billdownload/file?token=x",
/// #     "79bb0f45fc4c42234a918000b2668d689e2bde04",
/// # );
/// let hash = ExpectedHash::sha1(hash_value)?;
/// let download = Download::new("bills.download", download_url, hash)?
///     .max_bytes(200 << 20)
///     .timeout(Duration::from_secs(120));
/// # let _ = download;
/// # Ok::<(), wxpay_transport::RequestError>(())
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4013080597>
pub struct Download {
    operation: Cow<'static, str>,
    pub(crate) url: DownloadUrl,
    pub(crate) hash: ExpectedHash,
    pub(crate) gunzip: Gunzip,
    pub(crate) max_bytes: u64,
    pub(crate) read_timeout: Duration,
    pub(crate) timeout: Duration,
    rate_limit: Option<RateLimit>,
    on_progress: Option<Box<OnProgress>>,
}

type OnProgress = dyn FnMut(DownloadProgress) + Send;

/// What is done with content that is gzip (begins with the bytes `1f 8b`). Other content is taken as it is.
///
/// Whether content is gzip follows from its first bytes and not from a header: what WeChat Pay calls `GZIP` is the
/// file itself, and no coding of the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Gunzip {
    /// Nothing: hashes and writes the bytes as they arrive. This is the default.
    #[default]
    Never,
    /// Unzips first: the hash is that of the original file, and the original file is written. So it is with bills
    /// that were asked for with `tar_type=GZIP`.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012761131>
    #[cfg(feature = "gzip")]
    BeforeHash,
    /// Hashes first: the hash is that of the bytes as they arrive, and the original file is written.
    #[cfg(feature = "gzip")]
    AfterHash,
}

/// How far a download has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownloadProgress {
    /// Number of bytes received.
    pub received: u64,
    /// Number of bytes written. More than those received if the content is unzipped.
    pub written: u64,
    /// Number of bytes that will be received, if the response says so (`Content-Length`).
    pub expected: Option<u64>,
}

/// Default for the size of a file, received and written.
const MAX_BYTES: u64 = 1 << 30;

impl Download {
    /// Creates a download of the file that a verified response named: its `download_url`, byte for byte, and its hash.
    /// The operation is its name in logs, such as `bills.download`.
    ///
    /// # Errors
    /// [`RequestError::DownloadUrl`] if the URL cannot be read. The error does not repeat it.
    pub fn new(
        operation: impl Into<Cow<'static, str>>,
        download_url: &str,
        hash: ExpectedHash,
    ) -> Result<Self, RequestError> {
        Ok(Self {
            operation: operation.into(),
            url: DownloadUrl::parse(download_url)?,
            hash,
            gunzip: Gunzip::default(),
            max_bytes: MAX_BYTES,
            read_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(600),
            rate_limit: None,
            on_progress: None,
        })
    }

    /// Sets what is done with content that is gzip.
    #[must_use]
    pub fn gunzip(mut self, gunzip: Gunzip) -> Self {
        self.gunzip = gunzip;
        self
    }

    /// Sets the maximum size of the file, in bytes: both as received and as written. The default is 1 GiB.
    #[must_use]
    pub fn max_bytes(mut self, limit: u64) -> Self {
        self.max_bytes = limit;
        self
    }

    /// Sets how long to wait for the next bytes of the file. The default is 15 s.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets how long the whole download may take, including waiting for its turn and writing the file. The default
    /// is 10 minutes. The call timeout of the client does not apply; its attempt timeout does, until the response
    /// begins.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many such requests WeChat Pay accepts for an `mchid`. The default is no limit.
    #[must_use]
    pub fn with_rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Sets a function that is called whenever bytes have been written.
    ///
    /// What it tells is no success: the hash is not known before the end. A panic in it passes on to the caller.
    #[must_use]
    pub fn on_progress(
        mut self,
        on_progress: impl FnMut(DownloadProgress) + Send + 'static,
    ) -> Self {
        self.on_progress = Some(Box::new(on_progress));
        self
    }

    /// Builds the request.
    pub(crate) fn request(&self) -> Request {
        let request = Request::get(self.operation.clone(), self.url.target.clone());
        let request = request.with_secret_query();
        match self.rate_limit {
            Some(limit) => request.with_rate_limit(limit),
            None => request,
        }
    }

    /// Tells how far it has come.
    pub(crate) fn progress(&mut self, progress: DownloadProgress) {
        if let Some(on_progress) = &mut self.on_progress {
            on_progress(progress);
        }
    }
}

/// Omits the query of the URL, which contains a token.
impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("operation", &self.operation)
            .field("url", &self.url)
            .field("hash", &self.hash)
            .field("gunzip", &self.gunzip)
            .field("max_bytes", &self.max_bytes)
            .field("read_timeout", &self.read_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::replay::Replay;

    #[test]
    fn a_download_is_a_query_with_the_target_of_the_url() {
        let hash = ExpectedHash::sha1(&"0".repeat(40)).unwrap();
        let url = "https://h/v3/billdownload/file?token=t0ken%2F";
        let download = Download::new("bills.download", url, hash).unwrap();
        let request = download.with_rate_limit(RateLimit::per_second(7)).request();
        assert_eq!(request.target().as_str(), "/v3/billdownload/file?token=t0ken%2F");
        assert_eq!((request.replay(), request.operation()), (Replay::Safe, "bills.download"));
        assert_eq!(request.rate_limit(), Some(RateLimit::per_second(7)));
        assert!(request.body().is_empty());
    }

    #[test]
    fn debug_output_holds_no_token() {
        let hash = ExpectedHash::sha1(&"0".repeat(40)).unwrap();
        let download = Download::new("bills.download", "https://h/file?token=t0ken", hash).unwrap();
        let shown = format!("{download:?} {download:#?} {:?}", download.request());
        assert!(!shown.contains("t0ken") && shown.contains("/file?…"), "{shown}");
    }
}
