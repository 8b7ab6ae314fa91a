//! The result of a signer.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::serial_no::SerialNo;

/// A signature with the serial number of the certificate whose key made it.
///
/// The serial travels with the signature, so that a key rotation can never pair the signature of one key
/// with the serial of another.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    serial_no: SerialNo,
    bytes: Vec<u8>,
}

impl Signature {
    /// Combines the raw bytes of a signature (256 for RSA-2048) with the serial of the merchant
    /// certificate.
    pub fn new(serial_no: SerialNo, bytes: Vec<u8>) -> Self {
        Self { serial_no, bytes }
    }

    /// Returns the serial of the merchant certificate whose key signed.
    pub fn serial_no(&self) -> &SerialNo {
        &self.serial_no
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Encodes the bytes for the `Authorization` header: standard base64, padded.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("serial_no", &self.serial_no)
            .field("bytes", &format_args!("[{} bytes]", self.bytes.len()))
            .finish()
    }
}
