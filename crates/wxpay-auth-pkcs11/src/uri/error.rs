//! What can be wrong with a PKCS#11 URI.

use thiserror::Error;

/// Says what is wrong with a PKCS#11 URI. It does not quote the URI, in which there may be a PIN.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Pkcs11UriError {
    /// It does not begin with `pkcs11:`.
    #[error("the URI does not begin with pkcs11:")]
    Scheme,
    /// It has a blank, a line break, a control character or a `#` in it.
    #[error("character {position} of the URI must be percent-encoded")]
    #[non_exhaustive]
    Character {
        /// Which character of the URI it is, counted from 1.
        position: usize,
    },
    /// A `%` is not followed by two hexadecimal digits.
    #[error("the value of {attribute} has a % that is not followed by two hexadecimal digits")]
    #[non_exhaustive]
    Escape {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// A value is not text.
    #[error("the value of {attribute} is not UTF-8")]
    #[non_exhaustive]
    NotText {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// A part has no `=` in it, or is empty.
    #[error("part {index} of the URI is not attribute=value")]
    #[non_exhaustive]
    Malformed {
        /// Which part, counted from 1 over path and query.
        index: usize,
    },
    /// An attribute is given twice.
    #[error("{attribute} is given twice")]
    #[non_exhaustive]
    Twice {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute of the path is in the query, or the other way round.
    #[error("{attribute} is on the wrong side of the question mark")]
    #[non_exhaustive]
    Misplaced {
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// An attribute is not known here.
    #[error("the attribute in part {index} of the URI is not supported")]
    #[non_exhaustive]
    Unsupported {
        /// Which part, counted from 1 over path and query.
        index: usize,
    },
    /// The type is another one than `private`.
    #[error("the URI is for another object than a private key")]
    NotPrivate,
    /// The slot id is not a number.
    #[error("slot-id is not a number")]
    SlotId,
    /// The PIN is to come from a program, or from a place that is no file.
    #[error("pin-source is no file")]
    PinSource,
    /// The PIN is given, and also where to read it.
    #[error("both pin-source and pin-value are given")]
    TwoPins,
}

impl Pkcs11UriError {
    /// Says what to do.
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
