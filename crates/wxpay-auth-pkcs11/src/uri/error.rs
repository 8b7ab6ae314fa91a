//! Errors of PKCS#11 URIs.

use thiserror::Error;

/// Why a PKCS#11 URI is invalid. Does not quote the URI, which may contain a PIN.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Pkcs11UriError {
    /// It does not begin with `pkcs11:`.
    #[error("the URI does not begin with pkcs11:")]
    Scheme,
    /// It contains a blank, a line break, a control character or a `#`.
    #[error("character {position} of the URI must be percent-encoded")]
    #[non_exhaustive]
    Character {
        /// The position of the character, counted from 1.
        position: usize,
    },
    /// A `%` is not followed by two hexadecimal digits.
    #[error("the value of {attribute} has a % that is not followed by two hexadecimal digits")]
    #[non_exhaustive]
    Escape {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// A value is not UTF-8.
    #[error("the value of {attribute} is not UTF-8")]
    #[non_exhaustive]
    NotText {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// A part has no `=`, or is empty.
    #[error("part {index} of the URI is not attribute=value")]
    #[non_exhaustive]
    Malformed {
        /// The number of the part, counted from 1 over path and query.
        index: usize,
    },
    /// An attribute is given twice.
    #[error("{attribute} is given twice")]
    #[non_exhaustive]
    Twice {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute of the path is in the query, or vice versa.
    #[error("{attribute} is on the wrong side of the question mark")]
    #[non_exhaustive]
    Misplaced {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute is not supported.
    #[error("the attribute in part {index} of the URI is not supported")]
    #[non_exhaustive]
    Unsupported {
        /// The number of the part, counted from 1 over path and query.
        index: usize,
    },
    /// The type is not `private`.
    #[error("the URI is for another object than a private key")]
    NotPrivate,
    /// The slot id is not a number.
    #[error("slot-id is not a number")]
    SlotId,
    /// The PIN source is a program, or something else that is not a file.
    #[error("pin-source is not a file")]
    PinSource,
    /// Both the PIN and its source are given.
    #[error("both pin-source and pin-value are given")]
    TwoPins,
}

impl Pkcs11UriError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Scheme => "begin with pkcs11:, as in pkcs11:token=wxpay;object=merchant",
            Self::Character { .. } => "write a blank as %20, and # as %23",
            Self::Escape { .. } => "write % itself as %25",
            Self::NotText { .. } => "encode the text as UTF-8, then each byte as %XX",
            Self::Malformed { .. } => {
                "write attribute=value, with ; between those of the path and & between those of the \
                 query"
            }
            Self::Twice { .. } => "give it once",
            Self::Misplaced { .. } => {
                "token, serial, slot-id, object, id and type stand before the question mark; \
                 module-path, pin-source and pin-value after it"
            }
            Self::Unsupported { .. } => {
                "use token, serial, manufacturer, model, slot-id, object, id, type=private, \
                 library-…; after the question mark: module-path (in place of module-name), pin-source, pin-value"
            }
            Self::NotPrivate => "write type=private, or leave type out",
            Self::SlotId => "give the decimal number that pkcs11-tool --list-slots shows",
            Self::PinSource => {
                "give the path of a file (pin-source=file:/run/secrets/pin), a credential of systemd \
                 (pin-source=credential:hsm_pin), or a callback through Pin::callback"
            }
            Self::TwoPins => "leave pin-value out",
        }
    }
}
