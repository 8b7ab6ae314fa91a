//! The PKCS#11 tokens that `scripts/with-tokens` prepares, and direct access to them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use wxpay_auth::pkcs11::{Pin, Pkcs11Uri};
use wxpay_auth::{Certificate, PrivateKey};

/// The user PIN of all tokens.
pub const PIN: &str = "pin4test";

/// A token with the merchant key of the test gateway, with the label `merchant` and the id 01.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its name in messages.
    pub name: &'static str,
    /// The PKCS#11 library.
    pub module: PathBuf,
    label: Option<&'static str>,
    slot_id: Option<u64>,
    /// Whether it reports `CKR_GENERAL_ERROR` where others report the problem with a session.
    pub says_general_error: bool,
}

impl Token {
    /// Returns a SoftHSM token: `main` is for reading; `odd`, `born`, `pin`, `fault`, `other` and `foreign`
    /// are for changes; `served` is for access through p11-kit.
    pub fn softhsm(label: &'static str) -> Self {
        let module = variable("WXPAY_TEST_SOFTHSM").into();
        Self {
            name: "SoftHSM",
            module,
            label: Some(label),
            slot_id: None,
            says_general_error: false,
        }
    }

    /// Returns the software token of opencryptoki. Its info cannot be read, so it is selected by its slot.
    pub fn opencryptoki() -> Self {
        let slot_id = variable("WXPAY_TEST_OPENCRYPTOKI_SLOT").parse().expect("a number");
        let module = variable("WXPAY_TEST_OPENCRYPTOKI").into();
        Self {
            name: "opencryptoki",
            module,
            label: None,
            slot_id: Some(slot_id),
            says_general_error: false,
        }
    }

    /// Returns the NSS token: about 25 signatures a second.
    pub fn softokn() -> Self {
        let module = variable("WXPAY_TEST_SOFTOKN").into();
        Self {
            name: "NSS softokn",
            module,
            label: Some("NSS Certificate DB"),
            slot_id: None,
            says_general_error: false,
        }
    }

    /// Returns the TPM, on tpm2-pkcs11: about 100 signatures a second.
    pub fn tpm() -> Self {
        let module = variable("WXPAY_TEST_TPM").into();
        Self { name: "TPM", module, label: Some("tpm"), slot_id: None, says_general_error: false }
    }

    /// Returns a SoftHSM token behind the p11-kit server.
    pub fn p11_kit_client() -> Self {
        let module = variable("WXPAY_TEST_P11_KIT_CLIENT").into();
        Self {
            name: "p11-kit-client",
            module,
            label: Some("served"),
            slot_id: None,
            says_general_error: false,
        }
    }

    /// Returns one of the tokens behind p11-kit-proxy: `served` of SoftHSM, or `tpm`.
    pub fn p11_kit_proxy(label: &'static str) -> Self {
        let module = variable("WXPAY_TEST_P11_KIT_PROXY").into();
        Self {
            name: "p11-kit-proxy",
            module,
            label: Some(label),
            slot_id: None,
            says_general_error: false,
        }
    }

    /// Returns the kryoptic token.
    pub fn kryoptic() -> Self {
        let module = variable("WXPAY_TEST_KRYOPTIC").into();
        Self {
            name: "kryoptic",
            module,
            label: Some("kryoptic"),
            slot_id: None,
            says_general_error: true,
        }
    }

    /// Returns the same token behind a module that fails on request: see [`Faults`]. A process uses either
    /// this module or the one below it.
    pub fn faulty(self) -> Self {
        let variable_name = match self.name {
            "SoftHSM" => "WXPAY_TEST_FAULTY_SOFTHSM",
            "opencryptoki" => "WXPAY_TEST_FAULTY_OPENCRYPTOKI",
            "NSS softokn" => "WXPAY_TEST_FAULTY_SOFTOKN",
            "TPM" => "WXPAY_TEST_FAULTY_TPM",
            "p11-kit-client" => "WXPAY_TEST_FAULTY_P11_KIT_CLIENT",
            "p11-kit-proxy" => "WXPAY_TEST_FAULTY_P11_KIT_PROXY",
            "kryoptic" => "WXPAY_TEST_FAULTY_KRYOPTIC",
            name => panic!("there is no faulty {name}"),
        };
        Self { module: variable(variable_name).into(), ..self }
    }

    /// Returns the URI of the token, with its PIN but without a key.
    pub fn uri(&self) -> Pkcs11Uri {
        let mut uri = Pkcs11Uri::new(&self.module).pin(Pin::new(PIN));
        if let Some(label) = self.label {
            uri = uri.token(label);
        }
        if let Some(slot_id) = self.slot_id {
            uri = uri.slot_id(slot_id);
        }
        uri
    }

    /// Returns the URI of the merchant key.
    pub fn merchant(&self) -> Pkcs11Uri {
        self.uri().object("merchant")
    }

    /// Returns direct access to the token: the state of a module belongs to the process.
    ///
    /// Does not initialise the module if a signer is already connected, in which case the library may restart
    /// it; connect first where that matters.
    pub fn back_door(&self) -> (Pkcs11, Slot) {
        let context = Pkcs11::new(&self.module).expect("a module");
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => panic!("{}: {e}", self.name),
        }
        let slots = context.get_slots_with_token().expect("slots");
        let fits = |slot: &Slot| match (self.slot_id, self.label) {
            (Some(slot_id), _) => slot.id() == slot_id,
            (None, Some(label)) => {
                context.get_token_info(*slot).is_ok_and(|info| info.label() == label)
            }
            (None, None) => true,
        };
        let slot = slots.into_iter().find(fits).expect("the token");
        (context, slot)
    }

    /// Returns a session with direct access that may change objects.
    pub fn session(&self) -> Session {
        let (context, slot) = self.back_door();
        let session = context.open_rw_session(slot).expect("a session");
        match session.login(UserType::User, Some(&PIN.into())) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
            Err(e) => panic!("{}: {e}", self.name),
        }
    }
}

/// Creates an object; it is deleted on drop.
pub fn object<'a>(session: &'a Session, template: &[Attribute]) -> Object<'a> {
    Object { session, handle: session.create_object(template).expect("an object") }
}

/// Creates an object from this certificate, with these names; it is deleted on drop.
pub fn certificate_object<'a>(session: &'a Session, der: &[u8], names: &[Attribute]) -> Object<'a> {
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Subject(vec![0x30, 0]),
        Attribute::Value(der.to_vec()),
    ];
    object(session, &[&template, names].concat())
}

/// Deletes all matching objects.
pub fn delete(session: &Session, template: &[Attribute]) {
    for object in session.find_objects(template).expect("a search") {
        session.destroy_object(object).expect("a deletable object");
    }
}

/// An object that is deleted on drop.
#[derive(Debug)]
pub struct Object<'a> {
    session: &'a Session,
    /// Its handle.
    pub handle: ObjectHandle,
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        let _ = self.session.destroy_object(self.handle);
    }
}

/// Gives the test exclusive use of all tokens, in a process of its own: faults and restarts of a module
/// affect all its users, and SoftHSM crashes when objects are created and deleted while others look for
/// objects. Repairs what a previous test left broken.
#[macro_export]
macro_rules! alone {
    () => {
        $crate::own_process!(alone);
        $crate::token::Faults.clear();
    };
}

/// Sets the faults of the module of [`Token::faulty`]; removes them on drop.
#[derive(Debug)]
pub struct Faults;

impl Faults {
    /// Sets faults: see `tests/doubles/faulty.c`.
    pub fn set(&self, what: &str) {
        // Atomically: the module may be reading.
        let path = PathBuf::from(variable("WXPAY_TEST_FAULTY_CONTROL"));
        let new = path.with_extension("new");
        std::fs::write(&new, what).expect("a file");
        std::fs::rename(new, path).expect("a file");
    }

    /// Causes a single `close-all` or `logout`; `more` adds further faults.
    pub fn once(&self, what: &str, more: &str) {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.set(&format!("{what} {number:x}\n{more}\n"));
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.set("");
    }

    /// Counts the calls of a function since the start.
    pub fn calls(&self, function: &str) -> usize {
        let log = std::fs::read_to_string(variable("WXPAY_TEST_FAULTY_LOG")).unwrap_or_default();
        log.lines().filter(|line| *line == function).count()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A server behind a module, which tests may kill and restart.
#[derive(Debug)]
pub struct Server {
    program: &'static str,
    folder: String,
}

impl Server {
    /// The TPM.
    pub fn tpm() -> Self {
        Self { program: "swtpm", folder: variable("WXPAY_TEST_TPM_FOLDER") }
    }

    /// The p11-kit server.
    pub fn p11_kit() -> Self {
        Self { program: "p11-kit-server", folder: variable("WXPAY_TEST_P11_KIT_FOLDER") }
    }

    /// Starts it, and waits until it responds.
    pub fn start(&self) {
        self.run("start");
    }

    /// Kills it, and waits until it has exited.
    pub fn kill(&self) {
        self.run("kill");
    }

    fn run(&self, action: &str) {
        let tokens = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/tokens");
        let program = PathBuf::from(tokens).join(self.program);
        let status = Command::new(&program).args([action, &self.folder]).status();
        assert!(status.expect("a program").success(), "{} {action}", self.program);
    }
}

/// Returns the folder of the SoftHSM token with this label.
pub fn softhsm_folder(label: &str) -> PathBuf {
    let all = std::fs::read_dir(variable("WXPAY_TEST_SOFTHSM_TOKENS")).expect("a folder");
    let holds = |folder: &PathBuf| {
        let token = std::fs::read(folder.join("token.object")).unwrap_or_default();
        let needle = format!("{label:<32}");
        token.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    all.map(|entry| entry.expect("an entry").path()).find(holds).expect("the token's folder")
}

/// Returns the merchant key, read from the file it was imported from.
pub fn reference() -> PrivateKey {
    let pem = include_str!("../../crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem");
    PrivateKey::from_pem(pem).expect("a key")
}

/// Returns the merchant certificate that is stored beside it on the token `main`.
pub fn certificate() -> Certificate {
    let pem =
        include_str!("../../crates/wxpay-auth-core/testdata/keys/issued_merchant_certificate.pem");
    Certificate::from_pem(pem).expect("a certificate")
}

/// Returns an environment variable that `scripts/test` sets.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}
