//! Downloads of files that signed responses name.

use std::pin::pin;

use tokio::io::AsyncWrite;
use wxpay_auth::{Signer, Verifier};

use crate::client::{Client, Inner};
use crate::error::Error;
use crate::message::download::Download;
use crate::message::downloaded::Downloaded;
use crate::message::request_error::RequestError;
use crate::observe::audit::AuditOutcome;
use crate::observe::call_span::CallSpan;
use crate::observe::telemetry::CallCount;

impl<S: Signer, V: Verifier> Client<S, V> {
    /// Downloads a file, such as a bill, and writes it to `writer`.
    ///
    /// The request is signed; the file is not, and is trusted by its hash. It is written as it arrives, in bounded
    /// memory, so **what was written may be used only after this has returned `Ok`**: until then nobody knows whether
    /// it is the file. Write to a temporary file, and rename it afterwards. The writer is flushed, and not shut down.
    ///
    /// The URL's host must be the main or the standby domain of this client, or one that
    /// [`download_domain`](crate::ClientBuilder::download_domain) allows. Path and query are sent byte for byte.
    ///
    /// One attempt is made: what was written cannot be taken back. Rate limit, concurrency limit, connect and attempt
    /// timeout are those of calls; the attempt timeout ends when the response begins. After that, the timeouts of the
    /// [`Download`] apply.
    ///
    /// A panic in the writer passes on to the caller. Dropping the download closes its connection.
    ///
    /// ```
    /// use wxpay_testing::{Bill, Gateway};
    /// use wxpay_transport::{BaseUrl, Client, Download, ExpectedHash, Request, Target, Transport};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// gateway.add_bill(Bill::new("2026-11-27", "交易时间,公众账号ID\r\n"));
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    ///
    /// // A signed response names the file and its hash …
    /// let target = Target::new("/v3/bill/tradebill")?.query("bill_date", "2026-11-27")?;
    /// let named = client.send(Request::get("bills.trade", target)).await?;
    /// let named: serde_json::Value = named.json()?;
    /// let text = |name: &str| named[name].as_str().unwrap_or_default();
    /// let hash = ExpectedHash::of_type(text("hash_type"), text("hash_value"))?;
    ///
    /// // … by which it is checked.
    /// let mut bill = Vec::new();
    /// let download = Download::new("bills.download", text("download_url"), hash)?;
    /// let downloaded = client.download(download, &mut bill).await?;
    /// assert_eq!(downloaded.written(), bill.len() as u64);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Download`] if the file did not arrive whole, or has another hash: what was written must not be used.
    /// [`Error::Request`] if the URL leads elsewhere; nothing was sent. [`Error::Api`] if WeChat Pay refused it, for
    /// example after the five minutes for which a URL is valid. Otherwise the errors of
    /// [`send`](crate::Transport::send).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4013080597>
    pub async fn download<W>(&self, mut download: Download, writer: W) -> Result<Downloaded, Error>
    where
        W: AsyncWrite + Unpin,
    {
        let request = download.request();
        let span = CallSpan::begin(request.operation());
        let count = CallCount::begin(request.operation_name());
        let Inner { calls, attempts } = &*self.inner;
        let (is_https, port) = (download.url.is_https, download.url.port);
        let result = match calls.domains.of_origin(is_https, &download.url.host, port) {
            Some(domain) => {
                let call = calls.download(attempts, domain, &request, &mut download, &span, writer);
                let mut call = pin!(Some(call));
                span.around(call.as_mut()).await
            }
            None => Err(RequestError::DownloadOrigin { origin: download.url.origin() }.into()),
        };
        count.end(AuditOutcome::of_download(&result));
        span.downloaded(&result);
        result
    }
}
