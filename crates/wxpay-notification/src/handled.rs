//! What became of a notification.

use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};
use wxpay_auth::{VerifyError, foreign_text};

use crate::error::ReceiveError;
use crate::receipt::Receipt;
use crate::replay::ReplayStoreError;

/// An error of the application's handler.
pub type HandlerError = Box<dyn StdError + Send + Sync>;

/// What became of a notification.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler has processed it. It is acknowledged.
    #[non_exhaustive]
    HandedOver {
        /// Whether the store has recorded that. If it has not, recording goes on in the background; should it fail
        /// until the claim on the id has run out, a sending that WeChat Pay repeats in spite of the acknowledgement is
        /// handed over again.
        is_recorded: bool,
    },
    /// It was handed over before, and is acknowledged again.
    Duplicate,
    /// It is being handed over elsewhere. WeChat Pay is asked to send it again.
    InProgress,
    /// It is not authentic, or not a notification.
    Refused(ReceiveError),
    /// The store does not say whether it was handed over. WeChat Pay is asked to send it again.
    StoreFailed(ReplayStoreError),
    /// The handler failed. WeChat Pay is asked to send it again.
    HandlerFailed(HandlerError),
    /// It took too long: the handler was dropped, or never began. WeChat Pay is asked to send it again.
    Late,
    /// The handler, or what verifies or decrypts, panicked.
    Panicked,
}

/// A notification that was handled: its response, and what became of it.
pub struct Handled {
    pub(crate) id: Option<Box<str>>,
    pub(crate) outcome: Outcome,
}

impl Handled {
    /// Returns the id of the notification, if it was authentic.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns what became of it.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns what to respond. It contains nothing of the request, and nothing of an error of the application.
    pub fn receipt(&self) -> Receipt {
        match &self.outcome {
            Outcome::HandedOver { .. } | Outcome::Duplicate => Receipt::accepted(),
            Outcome::InProgress => Receipt::try_again_later("it is being processed"),
            Outcome::StoreFailed(_) | Outcome::HandlerFailed(_) | Outcome::Late => {
                Receipt::try_again_later("it cannot be processed now")
            }
            Outcome::Panicked => Receipt::failed(),
            Outcome::Refused(error) => refusal(error),
        }
    }

    /// Returns the response.
    pub fn into_response(self) -> Response<Bytes> {
        self.receipt().into_response()
    }
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        let id = self.id().map(|id| foreign_text(id, LONGEST, &[]));
        f.debug_struct("Handled").field("id", &id).field("outcome", &self.outcome).finish()
    }
}

/// Says why in words of its own: what a forger sent is not repeated.
fn refusal(error: &ReceiveError) -> Receipt {
    if error.is_temporary() {
        return Receipt::try_again_later("it cannot be processed now");
    }
    match error {
        ReceiveError::TooLarge { .. } => {
            Receipt::refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
        }
        ReceiveError::Unverified(error) => {
            let message = match error.cause() {
                VerifyError::MissingHeader { .. } => "it is not signed",
                VerifyError::ClockSkew { .. } => "it was signed at another time",
                _ => "the signature was not accepted",
            };
            Receipt::refused(StatusCode::UNAUTHORIZED, message)
        }
        _ => Receipt::refused(StatusCode::BAD_REQUEST, "it is not a notification"),
    }
}
