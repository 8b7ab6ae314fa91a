//! Generating keys in a token.

use std::cell::Cell;
use std::time::Duration;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::rand::{SecureRandom, SystemRandom};
use wxpay_auth_core::internal::no_randomness;
use wxpay_auth_core::{Certificate, PublicKey};
use x509_cert::der::{Decode, Encode};

use crate::builder::on_thread;
use crate::error::Pkcs11Error;
use crate::key_lookup::{self, SigningKey};
use crate::module::Module;
use crate::module::access::Scope;
use crate::module::restart::Restarter;
use crate::return_value::Called;
use crate::session::login::{Access, LoggedIn, log_in};
use crate::uri::Pkcs11Uri;

/// The permitted uses of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Pkcs11KeyUsage {
    /// Signing only. tpm2-pkcs11 does not generate such keys: [`Pkcs11Error::SignOnlyKeyRefused`].
    #[default]
    Sign,
    /// Signing, and decrypting data that WeChat Pay encrypts with the merchant certificate (敏感信息).
    SignAndDecrypt,
}

/// A key pair in a token. Generates a key that can never leave the token, and stores the merchant
/// certificate next to it.
///
/// The steps for a new key: [`generate`](Self::generate); connect a
/// [`Pkcs11Signer`](super::Pkcs11Signer)
/// [`without_certificate`](super::Pkcs11SignerBuilder::without_certificate) and have it sign a
/// [`CertificateRequest`](wxpay_auth_core::CertificateRequest); upload the request to the merchant
/// platform; store the issued certificate with [`store_certificate`](Self::store_certificate).
///
/// Each method has a fixed time limit of 300 s, because the time to generate an RSA key varies and
/// some tokens are slow. After that it fails with [`Pkcs11Error::Timeout`], while the token
/// continues.
///
/// If the token is not found or does not work, the module is restarted, as by a signer: see
/// [`restart_module`](super::Pkcs11SignerBuilder::restart_module).
///
/// ```no_run
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod pkcs11 { pub use wxpay_auth_pkcs11::*; } }
/// use wxpay_auth::Certificate;
/// use wxpay_auth::pkcs11::{Pin, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Uri};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let uri = Pkcs11Uri::new("/usr/lib/softhsm/libsofthsm2.so")
///     .token("wxpay")
///     .object("merchant-2027")
///     .pin(Pin::file("/run/secrets/hsm_pin"));
/// let pair = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await?;
/// println!("generated {}", pair.uri());
///
/// // Days later:
/// let certificate = Certificate::from_pem_file("apiclient_cert.pem")?;
/// Pkcs11KeyPair::find(uri).await?.store_certificate(certificate).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Pkcs11KeyPair {
    uri: Pkcs11Uri,
    public_key: PublicKey,
}

/// The time to generate an RSA key varies, and some tokens are slow.
const LIMIT: Duration = Duration::from_secs(300);

impl Pkcs11KeyPair {
    /// Generates an RSA key of 2048 bits in the token, with the label (`object`) of the URI, and
    /// its `id` or a random one. The private key is sensitive and was never extractable; this is
    /// checked, and the pair is deleted otherwise.
    ///
    /// # Errors
    /// [`Pkcs11Error::KeyExists`] if there is a key with this label;
    /// [`Pkcs11Error::SignOnlyKeyRefused`] if the token only generates keys that may also decrypt;
    /// [`Pkcs11Error::KeyNotBound`] if the generated key can leave the token;
    /// [`Pkcs11Error::Timeout`] after 300 s, although the key may still be generated: look for it
    /// with [`find`](Self::find); otherwise as [`connect`](super::Pkcs11SignerBuilder::connect).
    pub async fn generate(uri: Pkcs11Uri, usage: Pkcs11KeyUsage) -> Result<Self, Pkcs11Error> {
        on_thread(LIMIT, move || generate(uri, usage)).await
    }

    /// Finds an existing key pair.
    ///
    /// # Errors
    /// As [`connect`](super::Pkcs11SignerBuilder::connect), but without a certificate.
    pub async fn find(uri: Pkcs11Uri) -> Result<Self, Pkcs11Error> {
        on_thread(LIMIT, move || {
            let key =
                on_token(&uri, Access::Use, || true, |_, session| key_lookup::find(session, &uri))?;
            Ok(Self::new(uri, key))
        })
        .await
    }

    fn new(uri: Pkcs11Uri, key: SigningKey) -> Self {
        let uri = if key.id.is_empty() { uri } else { uri.id(key.id) };
        Self { uri, public_key: key.public_key }
    }

    /// Stores the merchant certificate on the token, with the `CKA_ID` and the label of the key,
    /// where [`Pkcs11Signer::connect`](super::Pkcs11Signer::connect) finds it. Does nothing if it
    /// is already stored under that name.
    ///
    /// # Errors
    /// [`KeyError::CertificateMismatch`](wxpay_auth_core::KeyError::CertificateMismatch) in
    /// [`Pkcs11Error::Key`] if it belongs to another key; otherwise as
    /// [`connect`](super::Pkcs11SignerBuilder::connect).
    pub async fn store_certificate(&self, certificate: Certificate) -> Result<(), Pkcs11Error> {
        certificate.require_key(&self.public_key)?;
        let uri = self.uri.clone();
        on_thread(LIMIT, move || {
            on_token(
                &uri,
                Access::Change,
                || true,
                |_, session| {
                    let key = key_lookup::find(session, &uri)?;
                    certificate.require_key(&key.public_key)?;
                    store(session, &key, &certificate)
                },
            )
        })
        .await
    }

    /// Returns the address of the key, with its `id`.
    pub fn uri(&self) -> &Pkcs11Uri {
        &self.uri
    }

    /// Returns the public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// Runs an operation in a session that is closed afterwards, and retries it after a restart of the
/// module that may help, if `again` permits it.
fn on_token<T>(
    uri: &Pkcs11Uri,
    access: Access,
    again: impl Fn() -> bool,
    something: impl Fn(&Module, &Session) -> Result<T, Pkcs11Error>,
) -> Result<T, Pkcs11Error> {
    let restarter = Restarter::new(uri.load_module()?, true);
    let module = restarter.module();
    restarter.twice(again, || {
        let (LoggedIn { session, slot, generation }, done) =
            log_in(module, uri, access, |session, _| something(module, session))?;
        // If a login hangs, the session stays open: the operation is done.
        let inside = module.access().enter(Scope::Token(slot));
        if inside.is_ok_and(|inside| inside.generation() == generation) {
            module.close_session(session);
        }
        Ok(done)
    })
}

fn generate(uri: Pkcs11Uri, usage: Pkcs11KeyUsage) -> Result<Pkcs11KeyPair, Pkcs11Error> {
    let label =
        uri.object.clone().filter(|label| !label.is_empty()).ok_or(Pkcs11Error::Setting {
            setting: "object",
            problem: "is missing: a new key needs a label",
        })?;
    let id = match &uri.id {
        Some(id) => id.clone(),
        None => random_id()?,
    };
    // After a key was started, a retry would generate another one, or report the first as existing.
    let begun = Cell::new(false);
    let key = on_token(
        &uri,
        Access::Change,
        || !begun.get(),
        |module, session| {
            let same_label = Pkcs11Uri { id: None, ..uri.clone() };
            if !key_lookup::matching(session, ObjectClass::PRIVATE_KEY, &same_label)?.is_empty() {
                return Err(Pkcs11Error::KeyExists { wanted: same_label.key_part() });
            }
            begun.set(true);
            let (public, private) = make(module, session, (&label, &id), usage)?;
            let checked = check_bound(session, private)
                .and_then(|()| key_lookup::find(session, &uri.clone().id(id.clone())));
            if checked.is_err() {
                for object in [private, public] {
                    let _ = session.destroy_object(object);
                }
            }
            checked
        },
    )?;
    Ok(Pkcs11KeyPair::new(uri, key))
}

fn make(
    module: &Module,
    session: &Session,
    (label, id): (&str, &[u8]),
    usage: Pkcs11KeyUsage,
) -> Result<(ObjectHandle, ObjectHandle), Pkcs11Error> {
    let decrypt = usage == Pkcs11KeyUsage::SignAndDecrypt;
    let name = [
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ];
    let public = [
        Attribute::Private(false),
        Attribute::ModulusBits(2048.into()),
        Attribute::PublicExponent(vec![1, 0, 1]),
        Attribute::Verify(true),
        Attribute::Encrypt(decrypt),
    ];
    let private = [
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(decrypt),
    ];
    session
        .generate_key_pair(
            &Mechanism::RsaPkcsKeyPairGen,
            &[&name[..], &public].concat(),
            &[&name[..], &private].concat(),
        )
        .called()
        .map_err(|error| if decrypt { error } else { sign_only(error, module, session) })
}

/// Returns a specific error if the template was refused. tpm2-pkcs11 returns `CKR_GENERAL_ERROR`,
/// which from other modules, or if its TPM is away, may have any cause.
fn sign_only(error: Pkcs11Error, module: &Module, session: &Session) -> Pkcs11Error {
    const REFUSALS: [&str; 4] = [
        "CKR_TEMPLATE_INCONSISTENT",
        "CKR_TEMPLATE_INCOMPLETE",
        "CKR_ATTRIBUTE_TYPE_INVALID",
        "CKR_ATTRIBUTE_VALUE_INVALID",
    ];
    match error {
        Pkcs11Error::Call { code, .. }
            if REFUSALS.contains(&code.as_str())
                || (code == "CKR_GENERAL_ERROR" && module.is_tpm_that_works(session)) =>
        {
            Pkcs11Error::SignOnlyKeyRefused { code }
        }
        error => error,
    }
}

/// Checks that the private key was generated in the token, and can never leave it.
fn check_bound(session: &Session, private: ObjectHandle) -> Result<(), Pkcs11Error> {
    let wanted = [
        (AttributeType::Sensitive, Attribute::Sensitive(true), "CKA_SENSITIVE"),
        (AttributeType::Extractable, Attribute::Extractable(false), "CKA_EXTRACTABLE"),
        (AttributeType::AlwaysSensitive, Attribute::AlwaysSensitive(true), "CKA_ALWAYS_SENSITIVE"),
        (
            AttributeType::NeverExtractable,
            Attribute::NeverExtractable(true),
            "CKA_NEVER_EXTRACTABLE",
        ),
        (AttributeType::Local, Attribute::Local(true), "CKA_LOCAL"),
    ];
    for (kind, wanted, attribute) in wanted {
        if session.get_attributes(private, &[kind]).called()? != [wanted] {
            return Err(Pkcs11Error::KeyNotBound { attribute });
        }
    }
    Ok(())
}

fn random_id() -> Result<Vec<u8>, Pkcs11Error> {
    let mut id = vec![0; 16];
    let failed = |_| Pkcs11Error::Malformed { source: no_randomness().into() };
    SystemRandom::new().fill(&mut id).map_err(failed)?;
    Ok(id)
}

fn store(
    session: &Session,
    key: &SigningKey,
    certificate: &Certificate,
) -> Result<(), Pkcs11Error> {
    let der = certificate.as_der();
    // With another name, a signer would not find it when it connects.
    let same =
        [Attribute::Class(ObjectClass::CERTIFICATE), key.name(), Attribute::Value(der.to_vec())];
    if !session.find_objects(&same).called()?.is_empty() {
        return Ok(());
    }
    let malformed = |e: x509_cert::der::Error| Pkcs11Error::Malformed { source: e.into() };
    let parsed = x509_cert::Certificate::from_der(der).map_err(malformed)?;
    let parsed = parsed.tbs_certificate();
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(key.label.clone()),
        Attribute::Id(key.id.clone()),
        Attribute::Subject(parsed.subject().to_der().map_err(malformed)?),
        Attribute::Issuer(parsed.issuer().to_der().map_err(malformed)?),
        Attribute::SerialNumber(parsed.serial_number().to_der().map_err(malformed)?),
        Attribute::Value(der.to_vec()),
    ];
    session.create_object(&template).called()?;
    Ok(())
}
