//! Verified bodies of an unexpected form.

use std::error::Error as StdError;
use std::fmt;

use serde::de::IgnoredAny;
use wxpay_auth::write_report;

/// The body of a verified response does not have the expected form. The call succeeded: it was carried out.
#[derive(Clone, PartialEq, Eq)]
pub struct BodyError {
    is_json: bool,
    line: usize,
    column: usize,
    length: usize,
    request_id: Option<String>,
}

impl BodyError {
    /// Does not quote the parser's message, which contains values.
    pub(crate) fn new(error: &serde_json::Error, body: &[u8], request_id: Option<String>) -> Self {
        let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
        let (line, column) = (error.line(), error.column());
        Self { is_json, line, column, length: body.len(), request_id }
    }

    /// Returns whether the body is JSON, but of another form.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Returns where parsing stopped: the line, from 1, and the number of bytes of it that were read.
    pub fn position(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// Returns the `Request-ID` of the response, which WeChat Pay's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "the call was carried out: do not send it again for this; compare the type with the \
         documentation of the call, and treat what is not documented as optional"
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_json, line, column, length, request_id } = self;
        match (length, is_json) {
            (0, _) => f.write_str("the body of the response is empty")?,
            (_, true) => write!(
                f,
                "the body of the response is not of the expected form, at line {line}, column {column}"
            )?,
            (_, false) => write!(
                f,
                "the body of the response is not json, at line {line}, column {column} of {length} bytes"
            )?,
        }
        match request_id {
            Some(id) => write!(f, " [request-id {id}]"),
            None => Ok(()),
        }
    }
}

impl StdError for BodyError {}

/// Prints one line with the hint, so that a `main` that returns the error shows it.
impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
