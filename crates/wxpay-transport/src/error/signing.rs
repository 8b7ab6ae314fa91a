//! Requests that could not be signed.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use wxpay_auth::{NonceError, SignError};

use super::call_context::CallContext;

/// The request could not be signed. Nothing of this attempt was sent.
#[derive(Debug)]
pub struct SigningError {
    pub(super) call: Box<CallContext>,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Signer(SignError),
    Nonce(NonceError),
}

impl SigningError {
    /// Creates an error from a failed signer, for custom transports.
    pub fn signer(call: CallContext, error: SignError) -> Self {
        Self { call: Box::new(call), cause: Cause::Signer(error) }
    }

    /// Creates an error from a failed nonce source, for custom transports.
    pub fn nonce(call: CallContext, error: NonceError) -> Self {
        Self { call: Box::new(call), cause: Cause::Nonce(error) }
    }

    /// Returns the error of the signer; `None` if the nonce source failed.
    pub fn sign_error(&self) -> Option<&SignError> {
        match &self.cause {
            Cause::Signer(error) => Some(error),
            Cause::Nonce(_) => None,
        }
    }

    /// Returns what to do. An earlier attempt of the call that may have been carried out comes first.
    pub fn hint(&self) -> Cow<'static, str> {
        self.call.hint(self.last_hint())
    }

    fn last_hint(&self) -> &'static str {
        match &self.cause {
            Cause::Signer(error) => error.hint(),
            Cause::Nonce(_) => "check that the process may use the system's random numbers",
        }
    }
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not signed{}", self.call.operation, self.call.again())
    }
}

impl StdError for SigningError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::Signer(error) => Some(error),
            Cause::Nonce(error) => Some(error),
        }
    }
}
