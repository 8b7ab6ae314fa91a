//! The tokens that `scripts/with-tokens` prepares, with and without the signer.

use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use tokio::runtime::Runtime;
use wxpay_auth_core::Certificate;
use wxpay_auth_pkcs11::{Pin, Pkcs11Signer, Pkcs11Uri};

const CERTIFICATE: &str = include_str!("../../testdata/keys/merchant_certificate.pem");
/// The SHA-256 of the empty message.
const DIGEST_INFO: &[u8; 51] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\
    \x00\x04\x20\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\
    \x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55";

/// A token that `scripts/with-tokens` has prepared.
pub(crate) struct Token {
    pub(crate) name: &'static str,
    module: String,
    label: Option<&'static str>,
    slot_id: Option<u64>,
}

/// A session without the signer.
pub(crate) struct Bare {
    session: Session,
    key: ObjectHandle,
}

impl Token {
    pub(crate) fn all() -> Vec<Self> {
        let slot_id = variable("WXPAY_TEST_OPENCRYPTOKI_SLOT").and_then(|slot| slot.parse().ok());
        let softokn = Some("NSS Certificate DB");
        let tokens = [
            ("SoftHSM", "WXPAY_TEST_SOFTHSM", Some("main"), None),
            // Its info cannot be read, so it is addressed by its slot.
            ("opencryptoki", "WXPAY_TEST_OPENCRYPTOKI", None, slot_id),
            ("NSS softokn", "WXPAY_TEST_SOFTOKN", softokn, None),
        ];
        let present = tokens.into_iter().filter_map(|(name, module, label, slot_id)| {
            variable(module).map(|module| Self { name, module, label, slot_id })
        });
        present.collect()
    }

    pub(crate) fn signer(&self, runtime: &Runtime, sessions: usize) -> Pkcs11Signer {
        let mut uri = Pkcs11Uri::new(&self.module).object("merchant").pin(Pin::new(pin()));
        if let Some(label) = self.label {
            uri = uri.token(label);
        }
        if let Some(slot_id) = self.slot_id {
            uri = uri.slot_id(slot_id);
        }
        let certificate = Certificate::from_pem(CERTIFICATE).expect("a certificate");
        let builder = Pkcs11Signer::builder(uri).certificate(certificate).sessions(sessions);
        // A slow token must not cause errors.
        let builder = builder.sign_timeout(Duration::from_secs(60));
        runtime.block_on(builder.connect()).expect("a signer")
    }

    /// Opens sessions next to those of a connected signer: the module and the login are shared by
    /// the process.
    pub(crate) fn bare(&self, sessions: usize) -> Vec<Bare> {
        let context = Pkcs11::new(&self.module).expect("a module");
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => unreachable!("{}: {e}", self.name),
        }
        let fits = |slot: &Slot| match self.slot_id {
            Some(slot_id) => slot.id() == slot_id,
            None => context.get_token_info(*slot).is_ok_and(|i| Some(i.label()) == self.label),
        };
        let slots = context.get_slots_with_token().expect("slots");
        let slot = slots.into_iter().find(fits).expect("the token");
        let open = || {
            let session = context.open_ro_session(slot).expect("a session");
            match session.login(UserType::User, Some(&pin().into())) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(e) => unreachable!("{}: {e}", self.name),
            }
            let class = Attribute::Class(ObjectClass::PRIVATE_KEY);
            let template = [class, Attribute::Label(b"merchant".to_vec())];
            let keys = session.find_objects(&template).expect("objects");
            Bare { key: *keys.first().expect("the key"), session }
        };
        (0..sessions).map(|_| open()).collect()
    }
}

impl Bare {
    pub(crate) fn sign(&self) {
        self.session.sign(&Mechanism::RsaPkcs, self.key, DIGEST_INFO).expect("a signature");
    }
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn pin() -> String {
    variable("WXPAY_TEST_PIN").expect("the PIN that scripts/with-tokens gives")
}
