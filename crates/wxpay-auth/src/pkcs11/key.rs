//! The private key in a token, and what belongs to it.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::call::Called;
use super::error::Pkcs11Error;
use super::uri::Pkcs11Uri;
use crate::certificate::Certificate;
use crate::key_error::KeyError;
use crate::public_key::PublicKey;
use crate::rsa;

/// A private key that may sign.
#[derive(Debug)]
pub(super) struct SigningKey {
    pub(super) handle: ObjectHandle,
    pub(super) public_key: PublicKey,
    pub(super) id: Vec<u8>,
    pub(super) label: Vec<u8>,
}

impl SigningKey {
    /// Returns what its certificate is found by: its id, or its label where it has no id.
    pub(super) fn name(&self) -> Attribute {
        if self.id.is_empty() {
            Attribute::Label(self.label.clone())
        } else {
            Attribute::Id(self.id.clone())
        }
    }
}

/// Finds the one private key that fits the address, and checks that it can sign for WeChat Pay.
pub(super) fn find(session: &Session, uri: &Pkcs11Uri) -> Result<SigningKey, Pkcs11Error> {
    let handles = matching(session, ObjectClass::PRIVATE_KEY, uri)?;
    let (count, wanted) = (handles.len(), uri.key_part());
    match handles.first() {
        None => {
            let empty = session.iter_objects(&[]).called()?.next().is_none();
            Err(Pkcs11Error::KeyNotFound { wanted, empty })
        }
        Some(handle) if count == 1 => read(session, *handle),
        Some(_) => Err(Pkcs11Error::SeveralKeys { wanted, count }),
    }
}

/// Finds the objects of a class that fit `object` and `id` of the address.
pub(super) fn matching(
    session: &Session,
    class: ObjectClass,
    uri: &Pkcs11Uri,
) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    session.find_objects(&template).called()
}

fn read(session: &Session, handle: ObjectHandle) -> Result<SigningKey, Pkcs11Error> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::Sign,
        AttributeType::AlwaysAuthenticate,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::Id,
        AttributeType::Label,
    ];
    let (mut modulus, mut exponent) = (Vec::new(), None);
    let (mut id, mut label) = (Vec::new(), Vec::new());
    for attribute in session.get_attributes(handle, &wanted).called()? {
        match attribute {
            Attribute::KeyType(kind) if kind != KeyType::RSA => {
                let algorithm = format!("{kind}");
                return Err(KeyError::NotRsa { algorithm }.into());
            }
            Attribute::Sign(false) => return Err(Pkcs11Error::KeyCannotSign),
            Attribute::AlwaysAuthenticate(true) => return Err(Pkcs11Error::KeyAlwaysAuthenticates),
            Attribute::Modulus(bytes) => modulus = bytes,
            Attribute::PublicExponent(bytes) if !bytes.is_empty() => exponent = Some(bytes),
            Attribute::Id(bytes) => id = bytes,
            Attribute::Label(bytes) => label = bytes,
            _ => {}
        }
    }
    if modulus.is_empty() {
        return Err(Pkcs11Error::NoPublicKey);
    }
    let exponent = match exponent {
        Some(exponent) => exponent,
        None => exponent_of_public_key(session, &modulus)?,
    };
    let pkcs1 = rsa::public_key_of_numbers(&modulus, &exponent)?;
    Ok(SigningKey { handle, public_key: PublicKey::from_checked_pkcs1(pkcs1), id, label })
}

/// Not every token keeps the public exponent beside the private key.
fn exponent_of_public_key(session: &Session, modulus: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
    let template =
        [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Modulus(modulus.to_vec())];
    for handle in session.find_objects(&template).called()? {
        let attributes =
            session.get_attributes(handle, &[AttributeType::PublicExponent]).called()?;
        if let Some(Attribute::PublicExponent(exponent)) = attributes.into_iter().next() {
            return Ok(exponent);
        }
    }
    Err(Pkcs11Error::NoPublicKey)
}

/// Finds the certificate on the token that belongs to the key. Others under its name, and what is no
/// certificate for WeChat Pay, are passed over.
pub(super) fn certificate(session: &Session, key: &SigningKey) -> Result<Certificate, Pkcs11Error> {
    let template = [Attribute::Class(ObjectClass::CERTIFICATE), key.name()];
    let (mut certificates, mut unusable) = (Vec::new(), None);
    for handle in session.find_objects(&template).called()? {
        let attributes = session.get_attributes(handle, &[AttributeType::Value]).called()?;
        if let Some(Attribute::Value(der)) = attributes.into_iter().next() {
            match Certificate::from_der(&der) {
                Ok(certificate) => certificates.push(certificate),
                // It may lie beside the right one.
                Err(error) => unusable = Some(error),
            }
        }
    }
    let Some(first) = certificates.first() else {
        return Err(unusable.map_or(Pkcs11Error::NoCertificate, Pkcs11Error::Key));
    };
    let mismatch = KeyError::CertificateMismatch { serial_no: first.serial_no().clone() };
    certificates.retain(|certificate| certificate.public_key() == &key.public_key);
    let count = certificates.len();
    match certificates.pop() {
        None => Err(mismatch.into()),
        Some(certificate) if count == 1 => Ok(certificate),
        Some(_) => Err(Pkcs11Error::SeveralCertificates { count }),
    }
}
