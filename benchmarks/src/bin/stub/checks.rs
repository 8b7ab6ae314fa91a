//! Checks a sample of the requests, so that no client can skip work.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use wxpay_auth::{Backend, Clock, PrivateKey, PublicKey, SystemClock};

use crate::request::Request;

/// One request in this many is checked.
const ONE_IN: u64 = 50;

/// The first request is checked on this many connections since the last report, not on all: a check takes half
/// as long as the rest of a call, and clients that open a connection for each call would all wait for it.
const CONNECTIONS: u64 = 64;

/// The counts since the last report.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    connections: u64,
    /// Connections on which a TLS session was resumed.
    resumed: u64,
    requests: u64,
    checked: u64,
    refused: u64,
    first_refusal: Option<String>,
}

pub(crate) struct Checks {
    merchant_key: PublicKey,
    counts: Counts,
}

impl Checks {
    pub(crate) fn new(merchant_key: &str) -> wxpay_benchmarks::Result<Self> {
        let merchant_key = PrivateKey::from_pem_with(Backend::AwsLcRs, merchant_key)?;
        let merchant_key = merchant_key.public_key().clone();
        Ok(Self { merchant_key, counts: Counts::default() })
    }

    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Counts a resumed session.
    pub(crate) fn count_resumed(&mut self) {
        self.counts.resumed += 1;
    }

    /// Counts a request, and checks it.
    pub(crate) fn check(&mut self, request: &Request<'_>, is_first: bool) -> Result<(), String> {
        self.counts.connections += u64::from(is_first);
        self.counts.requests += 1;
        let is_new = is_first && self.counts.connections <= CONNECTIONS;
        if !is_new && !self.counts.requests.is_multiple_of(ONE_IN) {
            return Ok(());
        }
        self.counts.checked += 1;
        let checked = is_signed(request, &self.merchant_key);
        if let Err(wrong) = &checked {
            self.counts.refused += 1;
            self.counts.first_refusal.get_or_insert_with(|| wrong.clone());
        }
        checked
    }
}

fn is_signed(request: &Request<'_>, key: &PublicKey) -> Result<(), String> {
    let authorization = request.authorization.ok_or("there is no Authorization")?;
    let scheme = "WECHATPAY2-SHA256-RSA2048 ";
    let fields = authorization.strip_prefix(scheme).ok_or("it has another scheme")?;
    let field = |name: &str| {
        let mut fields = fields.split(',').map(str::trim);
        let value = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix("=\""));
        let value = value.and_then(|value| value.strip_suffix('"')).filter(|v| !v.is_empty());
        value.ok_or_else(|| format!("Authorization has no {name}"))
    };
    field("mchid")?;
    field("serial_no")?;
    let (timestamp, nonce) = (field("timestamp")?, field("nonce_str")?);
    let seconds: u64 = timestamp.parse().map_err(|_| "the timestamp is no number")?;
    if SystemClock.now().as_unix_secs().abs_diff(seconds) > 300 {
        return Err("the timestamp is not of today".to_owned());
    }
    let (method, target) = (request.method, request.target);
    let mut message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n").into_bytes();
    message.extend_from_slice(&request.body);
    message.push(b'\n');
    let signature = STANDARD.decode(field("signature")?).map_err(|e| e.to_string())?;
    if key.verifies(&message, &signature) { Ok(()) } else { Err("the signature is wrong".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        include_str!("../../../../crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem");

    fn authorization(message: &[u8]) -> String {
        let signature = PrivateKey::from_pem(KEY).unwrap().sign(message).unwrap();
        let signature = STANDARD.encode(signature);
        let now = SystemClock.now();
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"1\",nonce_str=\"n\",timestamp=\"{now}\",\
             serial_no=\"5F\",signature=\"{signature}\""
        )
    }

    fn request<'b>(authorization: Option<&'b str>, body: &[u8]) -> Request<'b> {
        let (method, target) = ("POST", "/v3/x");
        Request { method, target, authorization, serial: None, body: body.to_vec(), length: 0 }
    }

    #[test]
    fn what_is_signed_passes_and_everything_else_does_not() {
        let mut checks = Checks::new(KEY).unwrap();
        let message = format!("POST\n/v3/x\n{}\nn\n\n", SystemClock.now());
        let good = authorization(message.as_bytes());
        checks.check(&request(Some(&good), b""), true).unwrap();
        assert_eq!(
            checks.check(&request(Some(&good), b"{}"), true).unwrap_err(),
            "the signature is wrong"
        );
        checks.check(&request(None, b""), true).unwrap_err();
        let counts = checks.take_counts();
        assert_eq!((counts.connections, counts.checked, counts.refused), (3, 3, 2));
        assert_eq!(counts.first_refusal.as_deref(), Some("the signature is wrong"));
    }

    #[test]
    fn one_in_fifty_of_the_others_is_checked() {
        let mut checks = Checks::new(KEY).unwrap();
        let refused = (0..100).filter(|_| checks.check(&request(None, b""), false).is_err());
        assert_eq!(refused.count(), 2);
    }
}
