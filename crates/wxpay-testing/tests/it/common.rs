//! A hand-made client, so that these tests depend on no other part of the workspace.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use wxpay_auth::{
    Algorithm, Clock, Identity, Nonce, NonceSource, PrivateKey, SerialNo, Signature, SystemClock,
    SystemNonce, Timestamp, authorization, request_message,
};
use wxpay_testing::WechatPay;

pub(crate) const PLANS: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

/// Returns the target of a termination.
pub(crate) fn terminate(segment: &str) -> String {
    format!("{PLANS}/{segment}/terminate")
}

/// The parts of an `Authorization`.
pub(crate) struct Credentials {
    pub(crate) identity: Identity,
    pub(crate) serial_no: SerialNo,
    pub(crate) key: PrivateKey,
    pub(crate) nonce: Nonce,
    pub(crate) timestamp: Timestamp,
}

impl Credentials {
    pub(crate) fn of(wechat_pay: &WechatPay) -> Self {
        Self {
            identity: wechat_pay.mchid().into(),
            serial_no: wechat_pay.serial_no(),
            key: PrivateKey::from_pem(wechat_pay.merchant_key_pem()).unwrap(),
            nonce: SystemNonce::new().nonce().unwrap(),
            timestamp: SystemClock.now(),
        }
    }

    pub(crate) fn sign(&self, method: &str, target: &str, body: &str) -> String {
        let nonce = self.nonce.as_str();
        let message = request_message(method, target, self.timestamp, nonce, body.as_bytes());
        let signature = Signature::new(self.serial_no.clone(), self.key.sign(&message).unwrap());
        let algorithm = Algorithm::Sha256Rsa2048;
        authorization(&self.identity, algorithm, &self.nonce, self.timestamp, &signature).unwrap()
    }
}

/// A request, ready to be spoiled and sent.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn new(method: &'static str, target: &str, body: &str) -> Self {
        let mut headers = vec![
            ("Host", "127.0.0.1".to_owned()),
            ("Accept", "application/json".to_owned()),
            ("User-Agent", "by-hand/1".to_owned()),
        ];
        if method != "GET" {
            headers.push(("Content-Type", "application/json".to_owned()));
            headers.push(("Content-Length", body.len().to_string()));
        }
        Self { method, target: target.to_owned(), headers, body: body.to_owned() }
    }

    pub(crate) fn post(wechat_pay: &WechatPay, target: &str) -> Self {
        Self::new("POST", target, "").signed(&Credentials::of(wechat_pay))
    }

    pub(crate) fn get(wechat_pay: &WechatPay, target: &str) -> Self {
        Self::new("GET", target, "").signed(&Credentials::of(wechat_pay))
    }

    pub(crate) fn signed(self, credentials: &Credentials) -> Self {
        let value = credentials.sign(self.method, &self.target, &self.body);
        self.with("Authorization", &value)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| *n != name);
        self
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        format!("{text}\r\n{}", self.body).into_bytes()
    }

    /// Sends it on a new connection.
    pub(crate) async fn send(&self, base_url: &str) -> Response {
        let mut stream = TcpStream::connect(address(base_url)).await.unwrap();
        self.send_on(&mut stream).await.unwrap()
    }

    pub(crate) async fn send_on<S>(&self, stream: &mut S) -> std::io::Result<Response>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.write_all(&self.to_bytes()).await?;
        stream.flush().await?;
        Response::read(stream).await
    }
}

/// Removes the scheme of a URL.
pub(crate) fn address(base_url: &str) -> &str {
    base_url.split_once("://").unwrap().1
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HeaderMap = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                let name: HeaderName = name.parse().unwrap();
                (name, value.parse::<HeaderValue>().unwrap())
            })
            .collect();
        let length = headers.get("content-length").map_or("0", |v| v.to_str().unwrap());
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await?;
        Ok(Self { status, headers, body })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
