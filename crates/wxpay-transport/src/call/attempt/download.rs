//! One attempt of a download: connect and sign, send, and pass the content on.

use http::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout, timeout_at};
use wxpay_auth::{Signer, Verifier};

use super::{SignedAttempts, in_time};
use crate::call::attempt_plan::AttemptPlan;
use crate::call::clock_after::ClockAfter;
use crate::call::download::content::{Checked, Content, Failure};
use crate::call::next_attempt::health;
use crate::call::progress::Progress;
use crate::call::record::AttemptRecord;
use crate::connection::http1::Connection;
use crate::domains::domain::Domain;
use crate::domains::router::Route;
use crate::error::{CallContext, DownloadError, DownloadFault, Error};
use crate::message::download::{Download, DownloadProgress};
use crate::message::downloaded::Downloaded;
use crate::message::request::Request;
use crate::message::response_headers::request_id;
use crate::panics::Panic;

/// A response with the status 200, whose body has not been read.
struct Begun {
    connection: Connection,
    body: Incoming,
    request_id: Option<String>,
}

impl<S: Signer, V: Verifier> SignedAttempts<S, V> {
    /// Makes the attempt; `whole` is when the download ends. Returns its result, or the panic of application code
    /// before anything was sent.
    pub(crate) async fn download<W: AsyncWrite + Unpin>(
        &self,
        route: Route<'_>,
        plan: &AttemptPlan,
        request: &Request,
        download: &mut Download,
        writer: W,
        whole: Instant,
    ) -> Result<Result<Downloaded, Error>, Panic> {
        let (call, progress) = (&plan.call, Progress::new(plan.end));
        // Declared before the connection, so dropped after it.
        let record =
            AttemptRecord::begin(&self.identity, self.audit.as_deref(), call, request, &progress);
        let beginning = Box::pin(self.begin(route.domain, call, request, &progress));
        let begun = in_time(plan, &progress, beginning).await?;
        route.report(health(&begun));
        let ended = match begun {
            Ok(begun) => pass_on(call, begun, download, writer, whole).await,
            Err(error) => Err(error),
        };
        record.end_download(&ended);
        Ok(ended)
    }

    /// Sends the request, and returns the response once it has begun.
    async fn begin(
        &self,
        domain: &Domain,
        call: &CallContext,
        request: &Request,
        progress: &Progress,
    ) -> Result<Begun, Error> {
        // A refusal is verified.
        let now = self.require_keys(call, request)?;
        // On a connection of its own, as nothing in a file says which request it belongs to, and not one that was
        // opened earlier: there is no other attempt if the server has closed it meanwhile.
        let (connection, mut signed) = tokio::try_join!(
            biased;
            self.open(domain, call, progress),
            self.sign(domain, call, request, progress),
        )?;
        self.require_keys_still(call, request, &mut signed, progress, now)?;
        if Instant::now() >= progress.deadline() {
            drop(connection);
            return std::future::pending().await;
        }
        let (connection, response) = self.send(call, connection, signed.request, progress).await?;
        let status = response.status();
        if !status.is_success() {
            let received = self.receive(connection, response, progress).await;
            let clock = ClockAfter { clock: &*self.clock, signed: progress.signed_by() };
            return Err(self.refusal(call, request, received, &signed.sent, &clock, false).await);
        }
        let secrets = || self.secrets(request, &signed.sent);
        let request_id = request_id(response.headers(), &signed.sent.nonce, secrets);
        if status != StatusCode::OK {
            let fault = DownloadFault::UnexpectedStatus;
            let error = DownloadError::new(call.clone(), status, request_id, fault, 0);
            return Err(Error::Download(error));
        }
        Ok(Begun { connection, body: response.into_body(), request_id })
    }
}

/// Passes the content on to the writer, and checks its hash.
async fn pass_on<W: AsyncWrite + Unpin>(
    call: &CallContext,
    begun: Begun,
    download: &mut Download,
    writer: W,
    whole: Instant,
) -> Result<Downloaded, Error> {
    let Begun { connection, body, request_id } = begun;
    let mut content = Content::new(writer, download);
    let passed = timeout_at(whole, read(connection, body, download, &mut content)).await;
    let passed = passed.unwrap_or_else(|_| {
        Err(Failure::from(DownloadFault::TimedOut { after: download.timeout }))
    });
    match passed {
        Ok(Checked { hash }) => Ok(Downloaded {
            received: content.received(),
            written: content.written(),
            was_gzip: content.was_gzip(),
            hash,
            request_id,
            host: call.host.clone(),
        }),
        Err(Failure { fault, source }) => {
            let (call, written) = (call.clone(), content.written());
            let error = DownloadError::new(call, StatusCode::OK, request_id, fault, written);
            let error = error.with_source(source).with_kept_gzip(content.is_kept_gzip());
            Err(Error::Download(error))
        }
    }
}

/// Reads a body to its end. Takes the connection, so that it is closed in any case: it is never kept, as the response
/// was not verified.
async fn read<W: AsyncWrite + Unpin>(
    mut connection: Connection,
    mut body: Incoming,
    download: &mut Download,
    content: &mut Content<W>,
) -> Result<Checked, Failure> {
    let hint = body.size_hint();
    content.announced(hint.lower())?;
    loop {
        let next = timeout(download.read_timeout, connection.next(&mut body)).await;
        let after = download.read_timeout;
        match next.map_err(|_| DownloadFault::Stalled { after })? {
            None => return content.end().await,
            Some(Err(error)) => return Err(Failure::new(DownloadFault::Truncated, error)),
            Some(Ok(chunk)) => content.take(chunk).await?,
        }
        let (received, written) = (content.received(), content.written());
        download.progress(DownloadProgress { received, written, expected: hint.exact() });
    }
}
