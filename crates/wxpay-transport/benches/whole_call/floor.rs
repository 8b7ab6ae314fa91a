//! The lower bound of a call: bare hyper and bare RSA, without checks, timeouts or logs.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use wxpay_auth::{Backend, Clock, PrivateKey, PublicKey, SystemClock};

use crate::kept::Kept;
use crate::sdk::{MERCHANT_KEY, SERIAL_NO, TARGET};
use crate::stub::WECHATPAY_PUBLIC_KEY;

/// One kept connection, and the keys.
pub(crate) struct Floor {
    connection: Kept,
    host: String,
    key: PrivateKey,
    public_key: PublicKey,
}

impl Floor {
    pub(crate) async fn connect(address: SocketAddr, backend: Backend) -> Self {
        let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
        Self {
            connection: Kept::connect(address).await,
            host: address.to_string(),
            key: PrivateKey::from_pem_with(backend, MERCHANT_KEY).expect("a key"),
            public_key: public_key.with_backend(backend).expect("a key"),
        }
    }

    pub(crate) async fn call(&self) {
        let timestamp = SystemClock.now();
        let nonce = "593BEC0C930BF1AFEB40B4A08C8FB242";
        let message = format!("POST\n{TARGET}\n{timestamp}\n{nonce}\n\n");
        let signature = STANDARD.encode(self.key.sign(message.as_bytes()).expect("a signature"));
        let request = http::Request::post(TARGET)
            .header("host", &self.host)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("content-length", "0")
            .header("user-agent", "bare")
            .header(
                "authorization",
                format!(
                    "WECHATPAY2-SHA256-RSA2048 mchid=\"1900007291\",nonce_str=\"{nonce}\",\
                     timestamp=\"{timestamp}\",serial_no=\"{SERIAL_NO}\",signature=\"{signature}\""
                ),
            )
            .body(Full::default())
            .expect("a request");
        let response = self.connection.send(request).await;
        let header = |name: &str| response.headers()[name].to_str().expect("text");
        let (timestamp, nonce) = (header("wechatpay-timestamp"), header("wechatpay-nonce"));
        let signature = STANDARD.decode(header("wechatpay-signature")).expect("base64");
        let message = format!("{timestamp}\n{nonce}\n\n");
        assert!(self.public_key.verifies(message.as_bytes(), &signature));
    }
}
