//! A kept connection of bare hyper.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// One connection, driven by its own task.
pub(crate) struct Kept(Mutex<SendRequest<Full<Bytes>>>);

impl Kept {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        tcp.set_nodelay(true).expect("an option");
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.expect("http");
        tokio::spawn(connection);
        Self(Mutex::new(sender))
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let mut sender = self.0.lock().await;
        sender.ready().await.expect("a connection");
        sender.send_request(request).await.expect("a response")
    }
}
