//! Responses about another plan or brand.

use std::fmt;

use thiserror::Error;
use wxpay_auth::{foreign_text, write_report};

/// A verified response is about another plan, or another brand, than the one that was asked for.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{operation} was answered for {field} {found}, {expected} was expected")]
pub struct ForeignResponseError {
    operation: &'static str,
    is_query: bool,
    field: &'static str,
    expected: String,
    found: String,
}

impl ForeignResponseError {
    pub(crate) fn new(
        operation: &'static str,
        is_query: bool,
        field: &'static str,
        expected: &str,
        found: &str,
    ) -> Self {
        let shown = |text| foreign_text(text, 64, &[]);
        Self { operation, is_query, field, expected: shown(expected), found: shown(found) }
    }

    /// Returns the official name of the field that differs: `brand_id` or `plan_id`.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the value that was asked for.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Returns the value of the response.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// Returns whether the call was a query, which changes nothing.
    pub fn is_query(&self) -> bool {
        self.is_query
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        if self.is_query {
            "check brand_id and plan_id; if they are right, ask again: the query changes nothing"
        } else {
            "list the brand's plans before sending it again: it may have been carried out"
        }
    }
}

/// Prints one line with the hint.
impl fmt::Debug for ForeignResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
