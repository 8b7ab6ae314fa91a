//! Sends notifications over HTTP.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::notification::{NotificationSchedule, OutgoingNotification};

/// How long WeChat Pay waits for a response.
const PATIENCE: Duration = Duration::from_secs(5);

/// One sending of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotificationAttempt {
    /// The status of the response; `None` if there was none within 5 seconds.
    pub status: Option<u16>,
    /// The body of the response.
    pub body: Bytes,
    /// Why there was no response.
    pub failure: Option<String>,
}

impl NotificationAttempt {
    /// Returns whether the notification was acknowledged, so that it is not sent again.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.status, Some(200 | 204))
    }
}

impl OutgoingNotification {
    /// Sends the notification to a URL, and again until it is acknowledged or the schedule ends. Each sending is signed
    /// anew.
    pub async fn deliver(
        &self,
        url: &str,
        schedule: &NotificationSchedule,
    ) -> Vec<NotificationAttempt> {
        let mut attempts = vec![self.send_once(url).await];
        for pause in schedule.pauses() {
            if attempts.last().is_some_and(NotificationAttempt::is_acknowledged) {
                break;
            }
            tokio::time::sleep(*pause).await;
            attempts.push(self.send_once(url).await);
        }
        attempts
    }

    /// Sends the notification to a URL once.
    pub async fn send_once(&self, url: &str) -> NotificationAttempt {
        match send_notification(url, self.request()).await {
            Ok(response) => {
                let status = Some(response.status().as_u16());
                NotificationAttempt { status, body: response.into_body(), failure: None }
            }
            Err(error) => {
                let failure = Some(error.to_string());
                NotificationAttempt { status: None, body: Bytes::new(), failure }
            }
        }
    }
}

/// Sends a request to a URL (`http://HOST:PORT/PATH`) on a connection of its own, and waits for the response for 5
/// seconds, as WeChat Pay does. A clone of a request is a replay: bytes that somebody has recorded.
///
/// # Errors
/// An [`io::Error`] if the URL is malformed, or if there is no response in time.
pub async fn send_notification(url: &str, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
    let sent = timeout(PATIENCE, send(url, request)).await;
    sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn send(url: &str, mut request: Request<Bytes>) -> io::Result<Response<Bytes>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let authority = uri.authority().ok_or_else(invalid)?.clone();
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = target.parse().map_err(|_| invalid())?;
    let host = authority.as_str().parse().map_err(|_| invalid())?;
    request.headers_mut().insert(http::header::HOST, host);
    let response = sender.send_request(request.map(Full::new)).await.map_err(io::Error::other)?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(parts, body))
}
