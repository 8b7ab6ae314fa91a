//! A server that does almost nothing: it sends the same response, signed once, again and again.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;
use wxpay_auth::{Clock, PrivateKey, SystemClock, response_message};

use crate::server;

const WECHATPAY_KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
pub(crate) const WECHATPAY_PUBLIC_KEY: &str =
    include_str!("../../testdata/keys/wechat_pay_public_key.pem");
pub(crate) const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";

/// Starts the server on its own thread. It runs as long as the process.
pub(crate) fn start() -> SocketAddr {
    let (timestamp, nonce) = (SystemClock.now().to_string(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let key = PrivateKey::from_pem(WECHATPAY_KEY).expect("a key");
    let signature = key.sign(&response_message(&timestamp, nonce, b"")).expect("a signature");
    let response = format!(
        "HTTP/1.1 204 No Content\r\nRequest-ID: 08F5B8C2B506102C18FD-0\r\n\
         Keep-Alive: timeout=8\r\nWechatpay-Timestamp: {timestamp}\r\n\
         Wechatpay-Nonce: {nonce}\r\nWechatpay-Serial: {PUBLIC_KEY_ID}\r\n\
         Wechatpay-Signature: {}\r\n\r\n",
        STANDARD.encode(signature)
    );
    let (address, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            address.send(listener.local_addr().expect("an address")).expect("a receiver");
            server::serve(listener, response).await;
        });
    });
    listening.recv().expect("an address")
}
