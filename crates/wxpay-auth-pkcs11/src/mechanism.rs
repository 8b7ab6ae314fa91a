//! The PKCS#11 mechanisms of signatures and of encrypted fields.

use std::fmt;

use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use ring::digest::{SHA256, digest};

/// The PKCS#11 mechanism that signs. Both produce the same signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Pkcs11Mechanism {
    /// `CKM_RSA_PKCS`: the message is hashed here, and the token signs the `DigestInfo`. Every token
    /// supports it, independently of the length of the message.
    #[default]
    RsaPkcs,
    /// `CKM_SHA256_RSA_PKCS`: the token hashes the message itself. For keys that are restricted to this
    /// mechanism.
    Sha256RsaPkcs,
}

impl fmt::Display for Pkcs11Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RsaPkcs => "CKM_RSA_PKCS",
            Self::Sha256RsaPkcs => "CKM_SHA256_RSA_PKCS",
        })
    }
}

/// The prefix of a SHA-256 hash in a `DigestInfo` (RFC 8017, section 9.2, note 1).
const PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Hashes a message with SHA-256 into a `DigestInfo`, which `CKM_RSA_PKCS` pads and signs.
pub(crate) fn digest_info(message: &[u8]) -> Vec<u8> {
    [&PREFIX, digest(&SHA256, message).as_ref()].concat()
}

/// Returns `CKM_RSA_PKCS_OAEP` as WeChat Pay encrypts: SHA-1, MGF1 with SHA-1, no label.
pub(crate) fn oaep_sha1() -> Mechanism<'static> {
    let (hash, mask) = (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1);
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty()))
}
