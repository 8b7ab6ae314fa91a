//! A response, before it is sent.

use std::time::Duration;

use serde_json::{Value, json};

/// A response of a server.
#[derive(Debug, Clone)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// How long the server waits before sending the first byte.
    pub(crate) delay: Duration,
    /// Whether the request changed something.
    pub(crate) executed: bool,
}

impl RawResponse {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (body, delay) = (body.into(), Duration::ZERO);
        Self { status, headers: Vec::new(), body, delay, executed: false }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::new(status, Vec::new())
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::json_text(status, body.to_string())
    }

    pub(crate) fn json_text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, body).with_header("Content-Type", "application/json; charset=utf-8")
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "code": code, "message": message }))
    }

    /// Builds the page that a server in front of WeChat Pay responds with.
    pub(crate) fn html(status: u16) -> Self {
        let page =
            format!("<html><head><title>{status}</title></head><body>{status}</body></html>");
        Self::new(status, page).with_header("Content-Type", "text/html")
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set_header(name, value);
        self
    }

    pub(crate) fn set_header(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.push((name, value.into()));
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Replaces the body, which is JSON or empty.
    pub(crate) fn replace_body(&mut self, body: impl Into<Vec<u8>>) {
        if self.body.is_empty() {
            self.set_header("Content-Type", "application/json; charset=utf-8");
        }
        self.body = body.into();
    }
}
