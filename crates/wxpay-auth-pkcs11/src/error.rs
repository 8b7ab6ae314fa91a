//! Errors of tokens.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use wxpay_auth_core::internal::debug_as_report;
use wxpay_auth_core::internal::remote::credential_hint;
use wxpay_auth_core::{FieldDecryptError, KeyError, SerialNo, SignError, SignErrorKind};

use crate::mechanism::Pkcs11Mechanism;
use crate::module::settings;
use crate::uri::error::Pkcs11UriError;

/// Why a token, or the key in it, cannot be used. Never shows a PIN.
///
/// [`kind`](Self::kind) classifies it in the same way as a [`SignError`].
#[derive(Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The URI is malformed.
    #[error("the PKCS#11 URI is malformed")]
    Uri(#[from] Pkcs11UriError),
    /// A setting is missing or invalid.
    #[error("{setting} {problem}")]
    #[non_exhaustive]
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The PKCS#11 library cannot be loaded.
    #[error("the PKCS#11 module {} cannot be loaded", path.display())]
    #[non_exhaustive]
    Module {
        /// Its path, as given.
        path: PathBuf,
        /// The error of the loader.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The module fails to initialise.
    #[error("C_Initialize answered {code}")]
    #[non_exhaustive]
    Initialize {
        /// The code that it returned (`CKR_…`).
        code: String,
        /// The kind of the code.
        kind: SignErrorKind,
        /// What to check in the module's own settings.
        settings: &'static str,
    },
    /// No token fits the address.
    #[error("no token fits {wanted}; there are: {present}")]
    #[non_exhaustive]
    TokenNotFound {
        /// The part of the URI that names the token.
        wanted: String,
        /// The tokens that are present.
        present: String,
        /// What to check in the module's own settings, if it shows no usable token.
        settings: Option<&'static str>,
    },
    /// Several tokens fit the address.
    #[error("{count} tokens fit {wanted}: {present}")]
    #[non_exhaustive]
    SeveralTokens {
        /// The part of the URI that names the token.
        wanted: String,
        /// How many fit.
        count: usize,
        /// The tokens that fit.
        present: String,
    },
    /// The token requires a login, and no PIN is given.
    #[error("the token requires a PIN, and none is given")]
    NoPin,
    /// The PIN could not be read.
    #[error("cannot read the PIN")]
    #[non_exhaustive]
    PinUnavailable {
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The given value cannot be a PIN. It was not sent.
    #[error("the PIN cannot be used: {problem}")]
    #[non_exhaustive]
    PinUnusable {
        /// What is wrong.
        problem: &'static str,
    },
    /// One more wrong PIN locks the token. None was sent.
    #[error("the token has one try left before it locks (CKF_USER_PIN_FINAL_TRY)")]
    LastPinTry,
    /// The token refused the PIN.
    #[error("the token refused the PIN ({code})")]
    #[non_exhaustive]
    PinRefused {
        /// The code that the token returned (`CKR_…`).
        code: String,
        /// Whether the PIN was sent now; otherwise it was refused before and not sent again.
        sent: bool,
    },
    /// The login failed, and the token may have counted the PIN as wrong.
    #[error("the login failed ({code})")]
    #[non_exhaustive]
    LoginFailed {
        /// The code that the token returned (`CKR_…`).
        code: String,
        /// The kind of the code.
        kind: SignErrorKind,
        /// Whether the PIN was sent now; otherwise it failed a short while ago and is suspended.
        sent: bool,
    },
    /// No private key fits the address.
    #[error(
        "no private key fits {wanted}; there are: {present}{}; list them: {command}",
        hexadecimal(.id_of_hex.as_ref())
    )]
    #[non_exhaustive]
    KeyNotFound {
        /// The part of the URI that names token and key.
        wanted: String,
        /// Some of the private keys and certificates that are present.
        present: String,
        /// The id in the encoding of a URI, if it was given as hexadecimal digits.
        id_of_hex: Option<String>,
        /// The command that lists what is on this token.
        command: String,
        /// Whether the token shows no objects at all.
        empty: bool,
    },
    /// Several private keys fit the address.
    #[error("{count} private keys fit {wanted}: {present}")]
    #[non_exhaustive]
    SeveralKeys {
        /// The part of the URI that names token and key.
        wanted: String,
        /// How many fit.
        count: usize,
        /// Some of those that fit.
        present: String,
        /// Whether the address contains the label of the key.
        by_object: bool,
        /// Whether the address contains the id of the key.
        by_id: bool,
    },
    /// A key with the address of the new key exists already.
    #[error("there is a key already that fits {wanted}")]
    #[non_exhaustive]
    KeyExists {
        /// The part of the URI that names token and key.
        wanted: String,
    },
    /// The key or its certificate is unsuitable: not RSA, not 2048 bits, a certificate of another
    /// key.
    #[error("the key in the token cannot be used")]
    Key(#[from] KeyError),
    /// The key may not sign (`CKA_SIGN` is false).
    #[error("the key in the token may not sign (CKA_SIGN is false)")]
    KeyCannotSign,
    /// The key may not decrypt (`CKA_DECRYPT` is false).
    #[error("the key in the token may not decrypt (CKA_DECRYPT is false)")]
    KeyCannotDecrypt,
    /// The token cannot decrypt fields of WeChat Pay.
    #[error(
        "the token does not decrypt with CKM_RSA_PKCS_OAEP and SHA-1 (C_DecryptInit answered {code})"
    )]
    #[non_exhaustive]
    OaepUnsupported {
        /// The code that the token returned (`CKR_…`).
        code: String,
    },
    /// The token did not decrypt a field, although its key works: the field is for another key, or was changed.
    #[error("the token did not decrypt the field, and its key works (C_Decrypt answered {code})")]
    #[non_exhaustive]
    NotDecrypted {
        /// The code that the token returned (`CKR_…`).
        code: String,
    },
    /// The key requires the PIN for each signature (`CKA_ALWAYS_AUTHENTICATE` is true).
    #[error("the key requires the PIN for each signature (CKA_ALWAYS_AUTHENTICATE is true)")]
    KeyAlwaysAuthenticates,
    /// The key was replaced by another one after the signer connected.
    #[error("the key was replaced after the signer connected")]
    KeyReplaced,
    /// The token does not disclose the public key.
    #[error("the token does not disclose the public key")]
    NoPublicKey,
    /// The generated key can leave the token.
    #[error("the token made a key that is not bound to it ({attribute} is wrong)")]
    #[non_exhaustive]
    KeyNotBound {
        /// The attribute without the requested value.
        attribute: &'static str,
    },
    /// The token does not generate keys that may only sign.
    #[error("the token does not make a key that may only sign (C_GenerateKeyPair answered {code})")]
    #[non_exhaustive]
    SignOnlyKeyRefused {
        /// The code that the token returned (`CKR_…`).
        code: String,
    },
    /// The token has no merchant certificate, and none was given.
    #[error("there is no certificate on the token for this key")]
    NoCertificate,
    /// The only certificate on the token for this key is self-signed. Key tools create one with
    /// each key as a placeholder (`keytool -genkeypair`).
    #[error(
        "the certificate {serial_no} on the token is self-signed: WeChat Pay has not issued it"
    )]
    #[non_exhaustive]
    SelfSigned {
        /// The serial of the certificate.
        serial_no: SerialNo,
    },
    /// Several certificates on the token fit the key.
    #[error("{count} certificates on the token are for this key")]
    #[non_exhaustive]
    SeveralCertificates {
        /// How many.
        count: usize,
    },
    /// The token cannot sign with this mechanism.
    #[error("the token has no {mechanism}")]
    #[non_exhaustive]
    Mechanism {
        /// The requested mechanism.
        mechanism: Pkcs11Mechanism,
    },
    /// The signature that the token returned does not verify.
    #[error("the signature that the token returned does not verify")]
    InvalidSignature,
    /// A PKCS#11 function returned an error.
    #[error("{call} answered {code}")]
    #[non_exhaustive]
    Call {
        /// The function (`C_…`).
        call: String,
        /// The code that it returned (`CKR_…`).
        code: String,
        /// The kind of the code.
        kind: SignErrorKind,
    },
    /// The module returned an invalid value.
    #[error("the PKCS#11 module returned something that cannot be used")]
    #[non_exhaustive]
    Malformed {
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The session ended because the module was restarted.
    #[error("the session ended when the module was restarted")]
    Restarted,
    /// A call into the module panicked.
    #[error("the call into the PKCS#11 module panicked")]
    Panicked,
    /// A thread cannot be started.
    #[error("no thread can be started")]
    #[non_exhaustive]
    Thread {
        /// The error of the operating system.
        source: io::Error,
    },
    /// The token did not respond in time.
    #[error("the token did not answer within {} ms", waited.as_millis())]
    #[non_exhaustive]
    Timeout {
        /// The time limit.
        waited: Duration,
    },
    /// Another login to the token, a restart of its module, or, if calls are serialized, another
    /// call has not ended.
    #[error(
        "a login to the token, a restart of its module, or another call has not ended within {} ms",
        waited.as_millis()
    )]
    #[non_exhaustive]
    HeldUp {
        /// How long this call has waited.
        waited: Duration,
    },
    /// The token does not work, and its module cannot be restarted, because calls into it hang.
    #[error("the PKCS#11 module cannot be restarted: calls into it hang ({calls})")]
    #[non_exhaustive]
    RestartHeldUp {
        /// How many.
        calls: usize,
        /// The error that requires the restart.
        source: Box<Pkcs11Error>,
    },
    /// The queue is full.
    #[error("{waiting} signatures are waiting already")]
    #[non_exhaustive]
    Overloaded {
        /// The number of queued signatures.
        waiting: usize,
    },
    /// The signer was shut down.
    #[error("the signer was shut down")]
    ShutDown,
}

fn hexadecimal(id: Option<&String>) -> String {
    id.map(|id| format!("; if the id was meant as hexadecimal digits, write {id}"))
        .unwrap_or_default()
}

const TOKEN_NOT_FOUND: &str = "check that the token is plugged in or reachable, and its label: pkcs11-tool \
     --module PATH --list-slots. A token whose info cannot be read is addressed by slot-id; one that is not \
     initialised has no keys";

const PIN_UNAVAILABLE: &str = "check that the file is there and that this program may read it, or the callback; \
     pin-source takes the path of a file, not the PIN";

const SIGNING_ONLY: &str = "use a key that may sign and decrypt (Pkcs11KeyUsage::SignAndDecrypt); a new key needs a new \
     merchant certificate. Some tokens let CKA_DECRYPT of an existing key be set to true";

const OAEP: &str = "ask the vendor of the token for CKM_RSA_PKCS_OAEP with SHA-1 and MGF1 with SHA-1, or use \
     another token: docs/hsm.md lists some that have it";

const NOT_DECRYPTED: &str = "use the key of the merchant certificate that WeChat Pay encrypted for: with several valid \
     ones, give all of them to FieldDecryptors";

impl Pkcs11Error {
    /// Returns the kind of error.
    pub fn kind(&self) -> SignErrorKind {
        match self {
            Self::Uri(_)
            | Self::Setting { .. }
            | Self::Module { .. }
            | Self::SeveralTokens { .. }
            | Self::NoPin
            | Self::SeveralKeys { .. }
            | Self::KeyExists { .. }
            | Self::KeyReplaced
            | Self::Key(KeyError::CertificateMismatch { .. })
            | Self::NoCertificate
            | Self::SelfSigned { .. }
            | Self::SeveralCertificates { .. } => SignErrorKind::Configuration,
            Self::TokenNotFound { .. } | Self::ShutDown => SignErrorKind::Unavailable,
            Self::PinUnavailable { .. }
            | Self::PinUnusable { .. }
            | Self::LastPinTry
            | Self::PinRefused { .. }
            | Self::KeyCannotSign
            | Self::KeyCannotDecrypt => SignErrorKind::PermissionDenied,
            Self::KeyNotFound { .. } => SignErrorKind::KeyNotFound,
            Self::Key(_)
            | Self::KeyAlwaysAuthenticates
            | Self::NoPublicKey
            | Self::KeyNotBound { .. }
            | Self::SignOnlyKeyRefused { .. }
            | Self::OaepUnsupported { .. }
            | Self::Mechanism { .. } => SignErrorKind::Unsupported,
            Self::InvalidSignature => SignErrorKind::InvalidSignature,
            Self::LoginFailed { kind, .. }
            | Self::Initialize { kind, .. }
            | Self::Call { kind, .. } => *kind,
            Self::RestartHeldUp { source, .. } => source.kind(),
            Self::Restarted => SignErrorKind::SessionLost,
            Self::Malformed { .. }
            | Self::NotDecrypted { .. }
            | Self::Panicked
            | Self::Thread { .. } => SignErrorKind::Other,
            Self::Timeout { .. } | Self::HeldUp { .. } => SignErrorKind::Timeout,
            Self::Overloaded { .. } => SignErrorKind::Throttled,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Uri(e) => e.hint(),
            Self::Key(e) => e.hint(),
            Self::Setting { .. } => "correct the setting",
            Self::Module { .. } => {
                "check module-path: the library is part of the token's software, for instance \
                 /usr/lib/softhsm/libsofthsm2.so; the source of the error says what the loader found"
            }
            Self::Initialize { settings, .. }
            | Self::TokenNotFound { settings: Some(settings), .. } => settings,
            Self::TokenNotFound { .. } => TOKEN_NOT_FOUND,
            Self::SeveralTokens { .. } => "add serial or slot-id to the address",
            Self::NoPin => "add pin-source to the URI, or a Pin to the address",
            Self::PinUnavailable { source } => {
                credential_hint(&**source).unwrap_or(PIN_UNAVAILABLE)
            }
            Self::PinUnusable { .. } => {
                "give only the PIN, on one line of UTF-8 without a byte order mark (printf %s PIN > FILE); \
                 it was not sent, so the token has not counted a wrong PIN"
            }
            Self::LastPinTry => {
                "find out where wrong PINs were sent from, and verify the right one; then log in with it by \
                 hand, which resets the counter (pkcs11-tool --module PATH --slot SLOT --login \
                 --list-objects), or connect once with use_last_pin_try(true). The PIN was not sent, \
                 so the token is not locked"
            }
            Self::PinRefused { .. } => {
                "do not just try again: tokens lock after a few wrong PINs. This process does not \
                 send this PIN to the token again; correct it, unlock the token if necessary, and \
                 restart the program"
            }
            Self::LoginFailed { .. } => {
                "check token and PIN: some modules return this error for a wrong PIN. The PIN is sent again \
                 after a while, from 30 s to half an hour, and a few times at most, so that the token \
                 does not lock; then restart the program. With CKR_PIN_LOCKED, unlock the token, or \
                 wait until it unlocks itself: the login is tried again every half an hour"
            }
            Self::KeyNotFound { id_of_hex: Some(_), .. } => {
                "check object and id. An id is bytes, each written as %XX: 6deb45, as tools print it, is \
                 %6D%EB%45 in a URI"
            }
            Self::KeyNotFound { .. } => {
                "check object and id against the keys that are there; private keys are not visible \
                 without a login"
            }
            Self::SeveralKeys { by_object, by_id, .. } => match (by_object, by_id) {
                (_, false) => "add id to the address; labels need not be unique",
                (false, true) => {
                    "add object to the address, or delete the keys that are not used: several have this id"
                }
                (true, true) => {
                    "delete the keys that are not used, or give them other ids: several have this label \
                     and this id"
                }
            },
            Self::KeyExists { .. } => "give the new key another label",
            Self::KeyCannotSign => "use a key that was made for signing",
            Self::KeyCannotDecrypt => SIGNING_ONLY,
            Self::OaepUnsupported { .. } => OAEP,
            Self::NotDecrypted { .. } => NOT_DECRYPTED,
            Self::KeyAlwaysAuthenticates => {
                "use a key without CKA_ALWAYS_AUTHENTICATE: a server cannot enter a PIN each time"
            }
            Self::KeyReplaced => {
                "connect a new signer: a new key has a new certificate, and a new serial_no"
            }
            Self::NoPublicKey => {
                "use a private key with its modulus (CKA_MODULUS), and with the exponent \
                 (CKA_PUBLIC_EXPONENT) in it or in its public key"
            }
            Self::KeyNotBound { .. } => {
                "delete that key, and ask the vendor of the token how to generate keys that cannot \
                 leave it"
            }
            Self::SignOnlyKeyRefused { .. } => {
                "use Pkcs11KeyUsage::SignAndDecrypt: tpm2-pkcs11 generates no other keys (CKA_ENCRYPT \
                 and CKA_DECRYPT must not be false); if that fails as well, check the token"
            }
            Self::NoCertificate => {
                "give the merchant certificate or its serial_no, or put the certificate on the token"
            }
            Self::SelfSigned { .. } => {
                "put the certificate that WeChat Pay issued for this key on the token (keytool -importcert \
                 -alias ALIAS, or pkcs11-tool --write-object FILE --type cert --id ID), or give it or its \
                 serial_no"
            }
            Self::SeveralCertificates { .. } => "give the merchant certificate to use",
            Self::Mechanism { .. } => "use the other mechanism; all tokens support CKM_RSA_PKCS",
            Self::Panicked | Self::Malformed { .. } => {
                "report it with the name and version of the module"
            }
            Self::Thread { .. } => "check the limits of the process",
            Self::HeldUp { .. } | Self::RestartHeldUp { .. } => {
                "check the token, or the server behind its module: a call to it hangs. The signer continues \
                 when the call returns; if it never does, restart the program"
            }
            Self::ShutDown => "connect a new signer",
            Self::Call { kind, .. } => kind.hint(),
            _ => self.kind().hint(),
        }
    }

    /// Converts the error of `C_Initialize` into one that mentions the settings of the module.
    pub(crate) fn starting(self, module: &Path) -> Self {
        match self {
            Self::Call { code, kind, .. } => {
                Self::Initialize { code, kind, settings: settings::hint(Some(module)) }
            }
            other => other,
        }
    }

    /// Converts the error of decrypting into one that says what the token, or the key, does not do.
    pub(crate) fn decrypting(self) -> Self {
        const UNSUPPORTED: [&str; 3] =
            ["CKR_MECHANISM_INVALID", "CKR_MECHANISM_PARAM_INVALID", "CKR_FUNCTION_NOT_SUPPORTED"];
        match self {
            Self::Call { code, .. } if code == "CKR_KEY_FUNCTION_NOT_PERMITTED" => {
                Self::KeyCannotDecrypt
            }
            Self::Call { code, .. } if UNSUPPORTED.contains(&code.as_str()) => {
                Self::OaepUnsupported { code }
            }
            other => other,
        }
    }

    /// Converts it into the error of a decryptor with the key of this merchant certificate.
    pub(crate) fn of_field(self, serial_no: &SerialNo) -> FieldDecryptError {
        let (kind, hint) = (self.kind(), self.hint());
        match self {
            Self::NotDecrypted { .. } => FieldDecryptError::mismatch(serial_no.clone()),
            Self::KeyCannotDecrypt | Self::OaepUnsupported { .. } => {
                let reason = format!("the key of the merchant certificate {serial_no}: {self}");
                FieldDecryptError::key_cannot_decrypt(reason, hint)
            }
            error => FieldDecryptError::unavailable(kind, hint, error),
        }
    }

    /// Returns whether the module is not initialised.
    pub(crate) fn is_not_initialized(&self) -> bool {
        matches!(self, Self::Call { code, .. } if code == "CKR_CRYPTOKI_NOT_INITIALIZED")
    }

    /// Returns whether the session no longer exists. It must not be closed then, because its handle
    /// may already belong to another thread's session.
    pub(crate) fn ended_the_session(&self) -> bool {
        matches!(self, Self::Call { code, .. }
            if code == "CKR_SESSION_HANDLE_INVALID" || code == "CKR_SESSION_CLOSED")
    }

    /// Returns whether the session still works: it was not used, or a signature was made in it afterwards.
    pub(crate) fn left_the_session_alone(&self) -> bool {
        matches!(self, Self::HeldUp { .. } | Self::NotDecrypted { .. })
    }

    /// Returns whether the module itself may be the cause, so that a restart may help.
    pub(crate) fn may_be_the_module(&self) -> bool {
        match self {
            Self::TokenNotFound { .. } | Self::Malformed { .. } => true,
            // A restart does not bring back a deleted key, and would affect all other users.
            Self::KeyNotFound { empty, .. } => *empty,
            Self::Call { kind, .. } => {
                matches!(kind, SignErrorKind::Unavailable | SignErrorKind::SessionLost)
            }
            _ => false,
        }
    }
}

impl From<Pkcs11Error> for SignError {
    fn from(error: Pkcs11Error) -> Self {
        let (kind, hint) = (error.kind(), error.hint());
        Self::new(kind, "the PKCS#11 token did not sign").with_hint(hint).with_source(error)
    }
}

debug_as_report!(Pkcs11Error, Pkcs11UriError);
