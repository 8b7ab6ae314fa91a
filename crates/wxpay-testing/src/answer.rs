//! An answer, before a server sends it.

use std::time::Duration;

/// Holds what a server sends back.
#[derive(Debug, Clone)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    /// Whether the request changed a plan.
    pub(crate) executed: bool,
}

impl RawAnswer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (body, delay) = (body.into(), Duration::ZERO);
        Self { status, headers: Vec::new(), body, delay, executed: false }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let mut answer = Self::new(status, body.to_string());
        answer.header("Content-Type", "application/json; charset=utf-8");
        answer
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "code": code, "message": message }))
    }

    pub(crate) fn html(status: u16) -> Self {
        let page =
            format!("<html><head><title>{status}</title></head><body>{status}</body></html>");
        let mut answer = Self::new(status, page);
        answer.header("Content-Type", "text/html");
        answer
    }

    pub(crate) fn header(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
    }
}
