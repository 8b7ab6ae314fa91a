//! A server that sends the same response to every request.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves all connections, forever.
pub(crate) async fn serve(listener: TcpListener, response: String) {
    let response = Arc::new(response);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        tokio::spawn(answer_all(stream, Arc::clone(&response)));
    }
}

/// Responds to each request; a request ends at its first empty line.
async fn answer_all(mut stream: TcpStream, response: Arc<String>) {
    let mut request = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) if !request.ends_with(b"\r\n\r\n") => continue,
            Ok(_) => request.clear(),
        }
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}
