//! A tunnel through a proxy: `CONNECT` (RFC 9110, section 9.3.6).

use std::io;

use http::{HeaderValue, StatusCode};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Maximum size of a proxy's response, in bytes, interim responses (1xx) included.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// Why the tunnel failed. Quotes no text of the proxy.
#[derive(Debug, Error)]
pub(crate) enum TunnelError {
    #[error("the proxy answered CONNECT with status {}", status.as_u16())]
    Refused { status: StatusCode },
    #[error("the response of the proxy to CONNECT is not http")]
    NotHttp,
    #[error("the response of the proxy to CONNECT has a head of more than {MAX_HEAD_BYTES} bytes")]
    TooLong,
    #[error("the proxy closed the connection before responding to CONNECT")]
    Closed,
    #[error("the proxy sent {bytes} unexpected bytes into the tunnel")]
    NotEmpty { bytes: usize },
    #[error("the connection to the proxy broke")]
    Io(#[source] io::Error),
}

impl TunnelError {
    /// Returns the status of the proxy's refusal.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status } => Some(*status),
            _ => None,
        }
    }

    /// Returns whether the proxy responded: it would respond the same at another address.
    pub(crate) fn is_response(&self) -> bool {
        !matches!(self, Self::Closed | Self::Io(_))
    }
}

/// Opens a tunnel to `authority` through the proxy at the other end of a stream.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    authority: &str,
    credentials: Option<&HeaderValue>,
) -> Result<(), TunnelError> {
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(credentials) = credentials {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(credentials.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(TunnelError::Io)?;
    stream.flush().await.map_err(TunnelError::Io)?;

    let mut received = Vec::with_capacity(512);
    let mut begin = 0;
    loop {
        let rest = received.get(begin..).unwrap_or_default();
        let Some(length) = head_length(rest) else {
            read_more(stream, &mut received).await?;
            continue;
        };
        let status = status(rest).ok_or(TunnelError::NotHttp)?;
        begin += length;
        match status {
            // Read on. Another protocol (101) was not requested.
            _ if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS => {}
            // Everything from here on comes from the server, and the client speaks first.
            _ if status.is_success() => {
                return match received.len() - begin {
                    0 => Ok(()),
                    bytes => Err(TunnelError::NotEmpty { bytes }),
                };
            }
            _ => return Err(TunnelError::Refused { status }),
        }
    }
}

async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    received: &mut Vec<u8>,
) -> Result<(), TunnelError> {
    let left = MAX_HEAD_BYTES.saturating_sub(received.len());
    if left == 0 {
        return Err(TunnelError::TooLong);
    }
    let read = stream.take(left as u64).read_buf(received).await.map_err(TunnelError::Io)?;
    if read == 0 { Err(TunnelError::Closed) } else { Ok(()) }
}

/// Returns the length of the head, its empty line included; `None` while it is incomplete. A bare line
/// feed ends a line, too (RFC 9112, section 2.2).
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut line_is_empty = false;
    for (n, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if line_is_empty => return Some(n + 1),
            b'\n' => line_is_empty = true,
            b'\r' => {}
            _ => line_is_empty = false,
        }
    }
    None
}

/// Parses the status of `HTTP/1.1 200 Connection established`.
fn status(head: &[u8]) -> Option<StatusCode> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut parts = line.trim_ascii_end().splitn(3, |byte| *byte == b' ');
    parts.next().filter(|version| matches!(*version, b"HTTP/1.0" | b"HTTP/1.1"))?;
    StatusCode::from_bytes(parts.next()?).ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// Returns the request to the proxy, and the result of its response.
    async fn asked(response: &[&[u8]]) -> (String, Result<(), TunnelError>) {
        let (mut ours, mut proxy) = duplex(64 << 10);
        let (credentials, response) = (HeaderValue::from_static("Basic dTpw"), response.concat());
        let mut request = vec![0; 1024];
        let serve = async {
            let read = proxy.read(&mut request).await.unwrap();
            request.truncate(read);
            // In small pieces, then end of file.
            for piece in response.chunks(7) {
                let _ = proxy.write_all(piece).await;
            }
            drop(proxy);
        };
        let (opened, ()) =
            tokio::join!(open(&mut ours, "a.example:443", Some(&credentials)), serve);
        (String::from_utf8(request).unwrap(), opened)
    }

    #[tokio::test]
    async fn the_request_names_the_destination_and_the_user() {
        let (request, opened) = asked(&[b"HTTP/1.1 200 OK\r\n\r\n"]).await;
        opened.unwrap();
        assert_eq!(
            request,
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\
             Proxy-Authorization: Basic dTpw\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn every_2xx_opens_the_tunnel_whatever_its_head_says() {
        for response in [
            &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
            b"HTTP/1.0 200\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
            b"HTTP/1.1 299 \r\n\r\n",
            b"HTTP/1.0 200 OK\nProxy-agent: x\n\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let (_, opened) = asked(&[response]).await;
            assert!(opened.is_ok(), "{opened:?}: {}", String::from_utf8_lossy(response));
        }
    }

    #[tokio::test]
    async fn every_other_status_is_named() {
        for status in [101, 302, 304, 400, 401, 403, 407, 429, 500, 502, 503, 999] {
            let response = format!("HTTP/1.1 {status} marker\r\nX: marker\r\n\r\nmarker");
            let (_, refused) = asked(&[response.as_bytes()]).await;
            let error = refused.unwrap_err();
            assert_eq!(error.status().map(|s| s.as_u16()), Some(status));
            assert!(error.to_string().contains(&status.to_string()), "{error}");
            assert!(error.is_response() && !format!("{error} {error:?}").contains("marker"));
        }
    }

    #[tokio::test]
    async fn what_is_no_response_is_told_apart() {
        let long = [b'x'; MAX_HEAD_BYTES];
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        for (response, expected) in [
            (&[&b""[..]][..], "closed"),
            (&[b"HTTP/1.1 200 OK\r\n"], "closed"),
            (&[b"HTTP/1.1 200 OK\r\nX: y\r\n"], "closed"),
            (&[b"HTTP/1.1 200 OK\r\n\r\n<html>"], "sent"),
            (&[b"\r\n\r\n"], "not http"),
            (&[b"SSH-2.0-x\r\n\r\n"], "not http"),
            (&[b"HTTP/2 200 OK\r\n\r\n"], "not http"),
            (&[b"HTTP/1.1 2000 OK\r\n\r\n"], "not http"),
            (&[b"HTTP/1.1 20\r\n\r\n"], "not http"),
            (&[b"HTTP/1.1  200 OK\r\n\r\n"], "not http"),
            (&[b"HTTP/1.1 200 OK\r\nX: ", &long, b"\r\n\r\n"], "8192 bytes"),
            (&[&interim], "8192 bytes"),
        ] {
            let (_, refused) = asked(response).await;
            let error = refused.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}, not {expected}");
            assert_eq!(error.status(), None);
        }
    }
}
