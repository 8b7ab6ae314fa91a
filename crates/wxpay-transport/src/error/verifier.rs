//! Requests whose responses could not be verified.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use wxpay_auth::{NotReady, SerialNo};

use super::call_context::CallContext;

/// The response could not have been verified, so nothing of this attempt was sent.
#[derive(Debug)]
pub struct VerifierError {
    pub(super) call: Box<CallContext>,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    NotReady(NotReady),
    OwnSerial(SerialNo),
    FieldsForOwnSerial(SerialNo),
}

impl VerifierError {
    /// Creates an error from what the verifier lacks, for custom transports.
    pub fn not_ready(call: CallContext, cause: NotReady) -> Self {
        Self { call: Box::new(call), cause: Cause::NotReady(cause) }
    }

    /// Creates an error: the verifier requests responses signed with the certificate of the signer.
    ///
    /// For custom transports.
    pub fn own_serial(call: CallContext, serial_no: SerialNo) -> Self {
        Self { call: Box::new(call), cause: Cause::OwnSerial(serial_no) }
    }

    /// The fields of the request are encrypted for the certificate of the signer, by which WeChat Pay would also have
    /// to sign its response.
    pub(crate) fn fields_for_own_serial(call: CallContext, serial_no: SerialNo) -> Self {
        Self { call: Box::new(call), cause: Cause::FieldsForOwnSerial(serial_no) }
    }

    /// Returns what the verifier lacks; `None` if the merchant's own certificate was to be used as WeChat Pay's.
    pub fn missing(&self) -> Option<&NotReady> {
        match &self.cause {
            Cause::NotReady(missing) => Some(missing),
            Cause::OwnSerial(_) | Cause::FieldsForOwnSerial(_) => None,
        }
    }

    /// Returns what to do. An earlier attempt of the call that may have been carried out comes first.
    pub fn hint(&self) -> Cow<'static, str> {
        self.call.hint(self.last_hint())
    }

    fn last_hint(&self) -> &'static str {
        match &self.cause {
            Cause::NotReady(missing) => missing.hint(),
            Cause::OwnSerial(_) => {
                "nothing was sent: remove the merchant's certificate (apiclient_cert.pem) from the \
                 verifier, and give it WeChat Pay's public key or a platform certificate"
            }
            Cause::FieldsForOwnSerial(_) => {
                "nothing was sent: encrypt with WeChat Pay's public key or a platform certificate \
                 (KeyRing::field_encryptor), never with apiclient_cert.pem"
            }
        }
    }
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not sent{}: ", self.call.operation, self.call.again())?;
        match &self.cause {
            Cause::NotReady(_) => f.write_str("its response could not be verified"),
            Cause::OwnSerial(serial_no) => write!(
                f,
                "the verifier requests responses signed with {serial_no}, the certificate of the signer"
            ),
            Cause::FieldsForOwnSerial(serial_no) => {
                write!(f, "its fields are encrypted for {serial_no}, the certificate of the signer")
            }
        }
    }
}

impl StdError for VerifierError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::NotReady(missing) => Some(missing),
            Cause::OwnSerial(_) | Cause::FieldsForOwnSerial(_) => None,
        }
    }
}
