//! The structure of RSA keys: kind and size. No arithmetic.

use pkcs1::der::asn1::ObjectIdentifier;
use pkcs1::der::{Decode, Encode};
use pkcs1::{RsaPublicKeyRef, UintRef};
use x509_cert::der::asn1::{Any, BitString};
use x509_cert::spki::{
    AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef,
};

use crate::keys::{KeyError, KeyMaterial};

/// The only size that WeChat Pay APIv3 uses.
pub(crate) const MODULUS_BITS: usize = 2048;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Rejects any algorithm but RSA.
pub(crate) fn require_rsa(oid: &ObjectIdentifier) -> Result<(), KeyError> {
    if *oid == RSA_ENCRYPTION {
        return Ok(());
    }
    let algorithm = match oid.to_string().as_str() {
        "1.2.840.10045.2.1" => "EC".to_owned(),
        "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
        "1.3.101.112" => "Ed25519".to_owned(),
        other => other.to_owned(),
    };
    Err(KeyError::NotRsa { algorithm })
}

/// Rejects any size but 2048 bits.
pub(crate) fn require_2048_bits(modulus: UintRef<'_>) -> Result<(), KeyError> {
    let bits = bits(modulus);
    if bits == MODULUS_BITS { Ok(()) } else { Err(KeyError::WrongSize { bits }) }
}

/// Returns the size of a number in bits.
pub(crate) fn bits(number: UintRef<'_>) -> usize {
    let bytes = number.as_bytes();
    let leading = bytes.first().map_or(0, |b| b.leading_zeros() as usize);
    bytes.len() * 8 - leading
}

/// Checks a `SubjectPublicKeyInfo` and returns the PKCS#1 `RSAPublicKey` in it.
pub(crate) fn public_key_of_spki(der: &[u8]) -> Result<Vec<u8>, KeyError> {
    let damaged = KeyError::Malformed {
        material: KeyMaterial::PublicKey,
        reason: "it is not a SubjectPublicKeyInfo",
    };
    let Ok(spki) = SubjectPublicKeyInfoRef::from_der(der) else { return Err(damaged) };
    require_rsa(&spki.algorithm.oid)?;
    checked_public_key(spki.subject_public_key.as_bytes().ok_or(damaged)?)
}

/// Returns whether it is a `SubjectPublicKeyInfo`.
pub(crate) fn is_spki(der: &[u8]) -> bool {
    SubjectPublicKeyInfoRef::from_der(der).is_ok()
}

/// Returns whether it is a PKCS#1 `RSAPublicKey`.
pub(crate) fn is_pkcs1(der: &[u8]) -> bool {
    RsaPublicKeyRef::from_der(der).is_ok()
}

/// Checks a certificate's key and returns the PKCS#1 `RSAPublicKey` in it.
pub(crate) fn public_key_of_certificate(
    spki: &SubjectPublicKeyInfoOwned,
) -> Result<Vec<u8>, KeyError> {
    require_rsa(&spki.algorithm.oid)?;
    checked_public_key(spki.subject_public_key.as_bytes().unwrap_or_default())
}

/// Wraps a PKCS#1 `RSAPublicKey` in a `SubjectPublicKeyInfo`.
pub(crate) fn spki(pkcs1: &[u8]) -> x509_cert::der::Result<SubjectPublicKeyInfoOwned> {
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) },
        subject_public_key: BitString::from_bytes(pkcs1)?,
    })
}

/// Checks a PKCS#1 `RSAPublicKey`, and returns it in canonical DER, so that equal keys have equal
/// bytes.
pub(crate) fn checked_public_key(pkcs1: &[u8]) -> Result<Vec<u8>, KeyError> {
    let damaged = |_| KeyError::Malformed {
        material: KeyMaterial::PublicKey,
        reason: "it is not a PKCS#1 RSAPublicKey",
    };
    let key = RsaPublicKeyRef::from_der(pkcs1).map_err(damaged)?;
    require_2048_bits(key.modulus)?;
    key.to_der().map_err(damaged)
}

/// Builds a PKCS#1 `RSAPublicKey` from modulus and exponent (big-endian, as in PKCS#11), and checks
/// it.
pub(crate) fn public_key_of_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, KeyError> {
    let damaged = |_| KeyError::Malformed {
        material: KeyMaterial::PublicKey,
        reason: "its modulus and exponent are not numbers",
    };
    let modulus = UintRef::new(modulus).map_err(damaged)?;
    let public_exponent = UintRef::new(exponent).map_err(damaged)?;
    let pkcs1 = RsaPublicKeyRef { modulus, public_exponent }.to_der().map_err(damaged)?;
    checked_public_key(&pkcs1)
}
