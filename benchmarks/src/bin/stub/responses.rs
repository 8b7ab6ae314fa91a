//! The responses, signed once per second for all requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use wxpay_auth::{Backend, Clock, PrivateKey, SystemClock, response_message};
use wxpay_benchmarks::Result;

use crate::SignedWith;
use crate::request::Request;

/// The bytes of the two responses: the same signature, with the two names of the key.
pub(crate) struct Responses {
    public_key: (String, Vec<u8>),
    certificate: (String, Vec<u8>),
}

/// Creates the responses.
pub(crate) struct ResponseMaker {
    key: PrivateKey,
    public_key_id: String,
    platform_serial: String,
}

impl Responses {
    /// Returns the response with the key name that the request selects, or else that of its port.
    pub(crate) fn to(&self, request: &Request<'_>, otherwise: SignedWith) -> &[u8] {
        let both = [&self.public_key, &self.certificate];
        let wanted = both.into_iter().find(|(name, _)| Some(name.as_str()) == request.serial);
        let (_, response) = wanted.unwrap_or(match otherwise {
            SignedWith::PublicKey => &self.public_key,
            SignedWith::Certificate => &self.certificate,
        });
        response
    }
}

impl ResponseMaker {
    pub(crate) fn new(pem: &str, public_key_id: String, platform_serial: String) -> Result<Self> {
        let key = PrivateKey::from_pem_with(Backend::AwsLcRs, pem)?;
        Ok(Self { key, public_key_id, platform_serial })
    }

    /// Signs with the current time.
    pub(crate) fn make(&self) -> Result<Responses> {
        let timestamp = SystemClock.now().to_string();
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|e| e.to_string())?;
        let nonce = format!("{:032X}", u128::from_be_bytes(random));
        let signature = STANDARD.encode(self.key.sign(&response_message(&timestamp, &nonce, b""))?);
        let response = |serial: &String| {
            let response = format!(
                "HTTP/1.1 204 No Content\r\nRequest-ID: 08F5B8C2B506102C18FD-0\r\n\
                 Keep-Alive: timeout=8\r\nWechatpay-Timestamp: {timestamp}\r\n\
                 Wechatpay-Nonce: {nonce}\r\nWechatpay-Serial: {serial}\r\n\
                 Wechatpay-Signature: {signature}\r\n\
                 Wechatpay-Signature-Type: WECHATPAY2-SHA256-RSA2048\r\n\r\n"
            );
            (serial.clone(), response.into_bytes())
        };
        Ok(Responses {
            public_key: response(&self.public_key_id),
            certificate: response(&self.platform_serial),
        })
    }
}
