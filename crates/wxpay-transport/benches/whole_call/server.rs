//! A server that gives one answer to everything.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves all connections, for ever.
pub(crate) async fn serve(listener: TcpListener, answer: String) {
    let answer = Arc::new(answer);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        tokio::spawn(answer_all(stream, Arc::clone(&answer)));
    }
}

/// Answers each request; one is over at its first empty line.
async fn answer_all(mut stream: TcpStream, answer: Arc<String>) {
    let mut request = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) if !request.ends_with(b"\r\n\r\n") => continue,
            Ok(_) => request.clear(),
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
