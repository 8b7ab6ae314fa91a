//! One connection: requests come in, responses go out.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wxpay_benchmarks::Result;

use crate::request::Request;
use crate::{Server, SignedWith};

pub(crate) async fn answer_all(
    server: &Server,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    signed_with: SignedWith,
) -> Result<()> {
    let mut bytes = Vec::with_capacity(8 << 10);
    let mut is_first = true;
    loop {
        let Some(request) = Request::parse(&bytes)? else {
            // A client may close a connection without notice.
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => continue,
            }
        };
        let length = request.length;
        let checked = server.checks.lock().map_err(|e| e.to_string())?.check(&request, is_first);
        is_first = false;
        if let Err(wrong) = checked {
            stream.write_all(&refusal(&wrong)).await?;
        } else {
            let responses = Arc::clone(&*server.responses.read().map_err(|e| e.to_string())?);
            stream.write_all(responses.to(&request, signed_with)).await?;
        }
        stream.flush().await?;
        bytes.drain(..length);
    }
}

fn refusal(wrong: &str) -> Vec<u8> {
    let body = format!(r#"{{"code":"SIGN_ERROR","message":"{wrong}"}}"#);
    let length = body.len();
    let head = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: ";
    format!("{head}{length}\r\n\r\n{body}").into_bytes()
}
