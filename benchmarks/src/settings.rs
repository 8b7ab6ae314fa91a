//! The settings of a program, from its environment; see `peers/README.md`.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Result;

/// Where to call, with which keys, and how often.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's origin.
    pub base_url: String,
    /// The same, parsed.
    pub origin: Origin,
    /// The root of the server's certificate; the platform's roots if unset.
    pub ca_file: Option<PathBuf>,
    /// The merchant.
    pub mchid: String,
    /// The serial of the merchant's certificate.
    pub serial_no: String,
    /// The merchant's private key.
    pub merchant_key: PathBuf,
    /// The id of WeChat Pay's key.
    pub public_key_id: String,
    /// WeChat Pay's key.
    pub public_key: PathBuf,
    /// The path to `POST` to.
    pub target: String,
    /// Number of measured calls.
    pub calls: usize,
    /// Number of concurrent callers.
    pub concurrency: usize,
    /// Number of warm-up calls.
    pub warmup: usize,
    /// Whether a call is a signature, and nothing is sent.
    pub only_signs: bool,
}

/// A parsed origin.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The name of the host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Settings {
    /// Reads the environment.
    pub fn from_env() -> Result<Self> {
        let base_url = text("BASE_URL")?;
        Ok(Self {
            origin: base_url.parse()?,
            base_url,
            ca_file: env::var_os("CA_FILE").map(PathBuf::from),
            mchid: text("MCHID")?,
            serial_no: text("SERIAL_NO")?,
            merchant_key: text("MERCHANT_KEY")?.into(),
            public_key_id: text("PUBLIC_KEY_ID")?,
            public_key: text("PUBLIC_KEY")?.into(),
            target: text("TARGET")?,
            calls: number("CALLS")?,
            concurrency: number("CONCURRENCY")?,
            warmup: number("WARMUP")?,
            only_signs: env::var_os("ONLY_SIGNS").is_some(),
        })
    }
}

impl FromStr for Origin {
    type Err = crate::Error;

    fn from_str(url: &str) -> Result<Self> {
        let uri: http::Uri = url.parse()?;
        let is_tls = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or("BASE_URL has no host")?.to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { is_tls, host, port })
    }
}

fn text(name: &str) -> Result<String> {
    env::var(name).map_err(|_| format!("{name} is not set; see peers/README.md").into())
}

fn number(name: &str) -> Result<usize> {
    text(name)?.parse().map_err(|_| format!("{name} is no number").into())
}
