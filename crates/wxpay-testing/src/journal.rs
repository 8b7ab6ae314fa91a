//! The journal of received requests.

use std::fmt;

use crate::refusal::Refusal;
use crate::request::RawRequest;

/// What the gateway decided on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The request was authentic.
    Accepted,
    /// The request was refused for this reason.
    Refused(Refusal),
}

/// A received request.
///
/// `Debug`, `Display` and [`headers`](Self::headers) omit the signature of its `Authorization`;
/// [`authorization`](Self::authorization) includes it.
#[derive(Clone)]
pub struct Entry {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    authorization: Option<String>,
    body: Vec<u8>,
    pub(crate) verdict: Verdict,
    pub(crate) executed: bool,
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
}

impl Entry {
    pub(crate) fn new(request: RawRequest<'_>) -> Self {
        let headers = request.headers.iter();
        Self {
            method: request.method.to_owned(),
            target: request.target.to_owned(),
            headers: headers.map(|(name, value)| shown(name.as_str(), value)).collect(),
            authorization: request.header("authorization").map(str::to_owned),
            body: request.body.to_vec(),
            verdict: Verdict::Accepted,
            executed: false,
            status: 0,
            request_id: None,
        }
    }

    /// Returns the method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns path and query, as received.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the headers without the signature. Names are in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Returns the whole `Authorization`, including its signature.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Returns the body, as received.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns what the gateway decided.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Returns whether it changed something: a plan, or the address for notifications.
    pub fn executed(&self) -> bool {
        self.executed
    }

    /// Returns the status of its response.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the `Request-ID` of its response.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

fn shown(name: &str, value: &http::HeaderValue) -> (String, String) {
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let value = match value.split_once("signature=\"") {
        Some((before, _)) if name == "authorization" => format!("{before}signature=\"(left out)\""),
        _ => value,
    };
    (name.to_owned(), value)
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &self.headers)
            .field("body", &format_args!("[{} bytes]", self.body.len()))
            .field("verdict", &self.verdict)
            .field("executed", &self.executed)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Shows one line: `POST /v3/… 401 refused: …`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.target, self.status)?;
        match &self.verdict {
            Verdict::Accepted if self.executed => f.write_str(" executed"),
            Verdict::Accepted => f.write_str(" accepted"),
            Verdict::Refused(reason) => write!(f, " refused: {reason}"),
        }
    }
}
