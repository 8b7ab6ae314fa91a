//! The fate of a request that did not succeed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happened to a request on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// A response arrived that is not a success: its status is not 2xx, whether it comes from WeChat Pay or from
    /// something in front of it, or it is a verified 2xx other than the documented one (`UnexpectedStatus` of
    /// `wxpay-marketing`). See [`Outcome`] for what that means.
    Answered,
    /// Not a byte of the request was written.
    NotSent,
    /// At least one byte was written, and no trustworthy response arrived.
    Unknown,
}

impl Delivery {
    /// Returns its name in logs, metrics and JSON: `answered`, `not_sent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of a call, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// WeChat Pay refused it: it was not carried out.
    Rejected,
    /// Nothing was sent: it was not carried out.
    NotSent,
    /// It may have been carried out. Query the state before sending anything again.
    Unknown,
}

impl Outcome {
    /// Returns its name in logs, metrics and JSON: `rejected`, `not_sent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_of_the_logs() {
        for outcome in [Outcome::Rejected, Outcome::NotSent, Outcome::Unknown] {
            let json = serde_json::to_value(outcome).unwrap();
            assert_eq!(json, outcome.as_str());
            assert_eq!(serde_json::from_value::<Outcome>(json).unwrap(), outcome);
        }
        for delivery in [Delivery::Answered, Delivery::NotSent, Delivery::Unknown] {
            let json = serde_json::to_value(delivery).unwrap();
            assert_eq!(json, delivery.as_str());
            assert_eq!(serde_json::from_value::<Delivery>(json).unwrap(), delivery);
        }
    }
}
