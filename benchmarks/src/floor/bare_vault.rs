//! A key in Transit: one request with bare hyper, on a connection of each caller.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::connection::{Connection, Connector};
use crate::Result;
use crate::vault::Vault;

pub(super) struct BareVault {
    connector: Connector,
    host: String,
    path: String,
    token: String,
    /// One per caller; these locks are never contended.
    connections: Vec<Mutex<Option<Connection>>>,
}

#[derive(Deserialize)]
struct Response {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    signature: String,
}

impl BareVault {
    pub(super) fn new(vault: Vault, callers: usize) -> Result<Self> {
        let host = vault.address.strip_prefix("http://").ok_or("OpenBao without TLS")?.to_owned();
        Ok(Self {
            connector: Connector::plain(vault.address.parse()?),
            host,
            path: format!("/v1/transit/sign/{}/sha2-256", Vault::KEY),
            token: vault.token,
            connections: (0..callers.max(1)).map(|_| Mutex::new(None)).collect(),
        })
    }

    /// Sends what the SDK sends.
    pub(super) async fn sign(&self, message: &str, caller: usize) -> Result<Vec<u8>> {
        let mut own = self.connections[caller].lock().await;
        let mut connection = match own.take() {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        let body = json!({
            "input": STANDARD.encode(digest(&SHA256, message.as_bytes())),
            "prehashed": true,
            "signature_algorithm": "pkcs1v15",
            "key_version": 1,
        });
        let request = Request::post(&self.path)
            .header(header::HOST, &self.host)
            .header("x-vault-request", "true")
            .header("x-vault-token", &self.token)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("OpenBao: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        *own = Some(connection);
        let response: Response = serde_json::from_slice(&body)?;
        let signature = response.data.signature.rsplit(':').next().unwrap_or_default().to_owned();
        Ok(STANDARD.decode(signature)?)
    }
}
