//! The private key in a token, and its certificate.

pub(crate) mod listing;

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use wxpay_auth_core::internal::{
    certificate_mismatch, is_merchants, is_self_issued, not_rsa, public_key_of_numbers,
};
use wxpay_auth_core::{Certificate, KeyError, PublicKey};

use crate::error::Pkcs11Error;
use crate::key_lookup::listing::id_attribute;
use crate::return_value::Called;
use crate::slot::unpadded;
use crate::uri::Pkcs11Uri;

/// A private key that may sign.
#[derive(Debug)]
pub(crate) struct SigningKey {
    pub(crate) handle: ObjectHandle,
    pub(crate) public_key: PublicKey,
    /// Whether it may also decrypt, or the token does not say.
    pub(crate) may_decrypt: bool,
    pub(crate) id: Vec<u8>,
    pub(crate) label: Vec<u8>,
}

impl SigningKey {
    /// Returns the attribute that identifies its certificate: its id, or its label if it has no id.
    pub(crate) fn name(&self) -> Attribute {
        if self.id.is_empty() {
            Attribute::Label(self.label.clone())
        } else {
            Attribute::Id(self.id.clone())
        }
    }
}

/// Finds the only private key that fits the address, and checks that it can sign for WeChat Pay.
pub(crate) fn find(session: &Session, uri: &Pkcs11Uri) -> Result<SigningKey, Pkcs11Error> {
    let handles = matching(session, ObjectClass::PRIVATE_KEY, uri)?;
    let wanted = uri.key_part();
    match handles.as_slice() {
        [] => Err(Pkcs11Error::KeyNotFound {
            wanted,
            present: listing::keys_and_certificates(session).unwrap_or_else(|_| unlisted()),
            id_of_hex: uri.id.as_deref().and_then(listing::id_of_hex).map(|id| id_attribute(&id)),
            command: listing::command(session, uri)?,
            empty: session.iter_objects(&[]).called()?.next().is_none(),
        }),
        [handle] => read(session, *handle),
        [..] => Err(Pkcs11Error::SeveralKeys {
            wanted,
            count: handles.len(),
            present: listing::private_keys(session, &handles).unwrap_or_else(|_| unlisted()),
            by_object: uri.object.is_some(),
            by_id: uri.id.is_some(),
        }),
    }
}

/// Replaces a list that could not be read: the error before it matters more.
fn unlisted() -> String {
    "they cannot be listed".to_owned()
}

/// Finds the objects of a class that fit `object` and `id` of the address.
pub(crate) fn matching(
    session: &Session,
    class: ObjectClass,
    uri: &Pkcs11Uri,
) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let Some(label) = &uri.object else { return session.find_objects(&template).called() };
    let labelled = [&template[..], &[Attribute::Label(label.clone().into_bytes())]].concat();
    let exact = session.find_objects(&labelled).called()?;
    if exact.is_empty() { padded(session, &template, label) } else { Ok(exact) }
}

/// Finds objects by label, ignoring padding: some tools do not write it.
fn padded(
    session: &Session,
    template: &[Attribute],
    label: &str,
) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    let mut fitting = Vec::new();
    for handle in some(session, template)? {
        let attributes = session.get_attributes(handle, &[AttributeType::Label]).called()?;
        let fits = |attribute: &Attribute| {
            matches!(attribute, Attribute::Label(found)
                if str::from_utf8(found).is_ok_and(|found| unpadded(found) == unpadded(label)))
        };
        if attributes.iter().any(fits) {
            fitting.push(handle);
        }
    }
    Ok(fitting)
}

/// The maximum number of objects that are checked one by one.
const MOST_OBJECTS: usize = 1000;

/// Finds objects, to be checked one by one.
fn some(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    let found = session.iter_objects(template).called()?.take(MOST_OBJECTS);
    found.collect::<Result<_, _>>().called()
}

fn read(session: &Session, handle: ObjectHandle) -> Result<SigningKey, Pkcs11Error> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::Sign,
        AttributeType::Decrypt,
        AttributeType::AlwaysAuthenticate,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::Id,
        AttributeType::Label,
    ];
    let (mut modulus, mut exponent) = (Vec::new(), None);
    let (mut id, mut label, mut may_decrypt) = (Vec::new(), Vec::new(), true);
    for attribute in session.get_attributes(handle, &wanted).called()? {
        match attribute {
            Attribute::KeyType(kind) if kind != KeyType::RSA => {
                let algorithm = format!("{kind}");
                return Err(not_rsa(algorithm).into());
            }
            Attribute::Sign(false) => return Err(Pkcs11Error::KeyCannotSign),
            Attribute::Decrypt(may) => may_decrypt = may,
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
    let public_key = public_key_of_numbers(&modulus, &exponent)?;
    Ok(SigningKey { handle, public_key, may_decrypt, id, label })
}

/// Some tokens do not store the public exponent with the private key.
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

/// Finds the certificate of the key on the token: under the name of the key, or else anywhere.
/// Ignores other certificates and those that are unusable for WeChat Pay.
pub(crate) fn certificate(session: &Session, key: &SigningKey) -> Result<Certificate, Pkcs11Error> {
    let named = Certificates::read(session, Some(key.name()))?;
    if let Some(certificate) = named.issued_for(&key.public_key)? {
        return Ok(certificate);
    }
    let all = Certificates::read(session, None)?;
    // Under another name there may be another issuer's certificate for this key.
    if let Some(certificate) = all.issued_for(&key.public_key)?.filter(is_merchants) {
        return Ok(certificate);
    }
    if let Some(own) = all.usable.iter().find(|own| own.public_key() == &key.public_key) {
        return Err(Pkcs11Error::SelfSigned { serial_no: own.serial_no().clone() });
    }
    match (named.usable.first(), named.unusable) {
        (Some(other), _) => Err(certificate_mismatch(other).into()),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Pkcs11Error::NoCertificate),
    }
}

/// The distinct certificates on a token.
struct Certificates {
    usable: Vec<Certificate>,
    /// Why another certificate is unusable.
    unusable: Option<KeyError>,
}

impl Certificates {
    /// Reads all certificates, or those with a name.
    fn read(session: &Session, name: Option<Attribute>) -> Result<Self, Pkcs11Error> {
        let template =
            [vec![Attribute::Class(ObjectClass::CERTIFICATE)], name.into_iter().collect()];
        let mut read = Self { usable: Vec::new(), unusable: None };
        for handle in some(session, &template.concat())? {
            let attributes = session.get_attributes(handle, &[AttributeType::Value]).called()?;
            if let Some(Attribute::Value(der)) = attributes.into_iter().next() {
                match Certificate::from_der(&der) {
                    // Two tools may have stored the same certificate.
                    Ok(certificate) if read.usable.contains(&certificate) => {}
                    Ok(certificate) => read.usable.push(certificate),
                    // An unusable certificate may be stored next to the right one.
                    Err(error) => read.unusable = Some(error),
                }
            }
        }
        Ok(read)
    }

    /// Returns the certificate for this key that is not self-issued.
    fn issued_for(&self, key: &PublicKey) -> Result<Option<Certificate>, Pkcs11Error> {
        let is = |c: &&Certificate| c.public_key() == key && !is_self_issued(c);
        let fitting: Vec<&Certificate> = self.usable.iter().filter(is).collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [certificate] => Ok(Some((*certificate).clone())),
            [..] => Err(Pkcs11Error::SeveralCertificates { count: fitting.len() }),
        }
    }
}
