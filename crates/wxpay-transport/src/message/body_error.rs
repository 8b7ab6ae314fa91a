//! Verified bodies that are not what was expected.

use std::error::Error as StdError;
use std::fmt;

use serde::de::IgnoredAny;
use wxpay_auth::write_report;

/// Says that the body of a verified response has another form than the one that was expected. The call was
/// answered with success: it was carried out.
#[derive(Clone, PartialEq, Eq)]
pub struct BodyError {
    is_json: bool,
    line: usize,
    column: usize,
    length: usize,
    request_id: Option<String>,
}

impl BodyError {
    /// What is wrong is not told in the words of the parser: they quote values.
    pub(crate) fn new(error: &serde_json::Error, body: &[u8], request_id: Option<String>) -> Self {
        let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
        let (line, column) = (error.line(), error.column());
        Self { is_json, line, column, length: body.len(), request_id }
    }

    /// Tells whether it is JSON, of another form.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Returns where the reading ended: the line, counted from 1, and how many bytes of it were read.
    pub fn position(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// Returns the `Request-ID` of the response: WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        "the call was carried out: do not send it again for this; compare the type that is read with the \
         documentation of the call, and keep what is not documented open"
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
                "the body of the response is no json, at line {line}, column {column} of {length} bytes"
            )?,
        }
        match request_id {
            Some(id) => write!(f, " [request-id {id}]"),
            None => Ok(()),
        }
    }
}

impl StdError for BodyError {}

/// It is one line, with what to do: `main` prints it so.
impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
