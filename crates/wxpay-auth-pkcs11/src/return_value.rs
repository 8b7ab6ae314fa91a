//! The return values of PKCS#11 functions, by their standard names.

use cryptoki::error::{Error, RvError};
use wxpay_auth_core::SignErrorKind;

use crate::error::Pkcs11Error;

/// The result of a call through `cryptoki`.
pub(crate) trait Called<T> {
    /// Converts an error of `cryptoki`.
    fn called(self) -> Result<T, Pkcs11Error>;
}

impl<T> Called<T> for cryptoki::error::Result<T> {
    fn called(self) -> Result<T, Pkcs11Error> {
        self.map_err(|error| match error {
            Error::Pkcs11(code, function) => Pkcs11Error::Call {
                call: format!("C_{function:?}"),
                code: name(&code),
                kind: kind(&code),
            },
            other => Pkcs11Error::Malformed { source: other.into() },
        })
    }
}

/// Returns the standard name of a code, such as `CKR_PIN_INCORRECT`.
pub(crate) fn name(code: &RvError) -> String {
    let camel = format!("{code:?}");
    let mut name = String::from("CKR");
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Classifies a code. Tokens disagree on the meaning of codes, so the kinds are broad.
pub(crate) fn kind(code: &RvError) -> SignErrorKind {
    use RvError as Rv;
    match code {
        Rv::SessionClosed
        | Rv::SessionHandleInvalid
        | Rv::UserNotLoggedIn
        | Rv::KeyHandleInvalid
        | Rv::ObjectHandleInvalid
        // NSS returns this after a logout.
        | Rv::KeyTypeInconsistent
        | Rv::OperationActive
        | Rv::OperationNotInitialized
        | Rv::CryptokiNotInitialized => SignErrorKind::SessionLost,
        Rv::DeviceRemoved
        | Rv::DeviceError
        | Rv::DeviceMemory
        | Rv::HostMemory
        | Rv::TokenNotPresent
        | Rv::TokenNotRecognized
        | Rv::SlotIdInvalid
        | Rv::GeneralError
        | Rv::FunctionFailed => SignErrorKind::Unavailable,
        Rv::SessionCount => SignErrorKind::Throttled,
        Rv::PinIncorrect
        | Rv::PinInvalid
        | Rv::PinLenRange
        | Rv::PinExpired
        | Rv::PinLocked
        | Rv::UserPinNotInitialized
        | Rv::UserAnotherAlreadyLoggedIn
        | Rv::KeyFunctionNotPermitted
        | Rv::TokenWriteProtected => SignErrorKind::PermissionDenied,
        Rv::MechanismInvalid
        | Rv::MechanismParamInvalid
        | Rv::KeySizeRange
        | Rv::DataLenRange
        | Rv::FunctionNotSupported
        | Rv::TemplateInconsistent
        | Rv::TemplateIncomplete
        | Rv::AttributeTypeInvalid
        | Rv::AttributeValueInvalid => SignErrorKind::Unsupported,
        _ => SignErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_the_standard() {
        assert_eq!(name(&RvError::PinIncorrect), "CKR_PIN_INCORRECT");
        assert_eq!(name(&RvError::SessionHandleInvalid), "CKR_SESSION_HANDLE_INVALID");
        assert_eq!(name(&RvError::CryptokiNotInitialized), "CKR_CRYPTOKI_NOT_INITIALIZED");
    }

    #[test]
    fn an_error_names_the_call_and_the_code() {
        let failed: cryptoki::error::Result<()> =
            Err(Error::Pkcs11(RvError::DeviceRemoved, cryptoki::context::Function::SignInit));
        let error = failed.called().unwrap_err();
        assert_eq!(error.to_string(), "C_SignInit answered CKR_DEVICE_REMOVED");
        assert_eq!(error.kind(), SignErrorKind::Unavailable);
    }
}
