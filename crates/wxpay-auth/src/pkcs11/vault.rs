//! Sessions on a token, each with the key at hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::call::Called;
use super::error::Pkcs11Error;
use super::key::{self, SigningKey};
use super::login::{Access, LoggedIn, log_in};
use super::mechanism::{Pkcs11Mechanism, digest_info};
use super::module::Module;
use super::uri::Pkcs11Uri;
use super::workers::Sessions;
use crate::public_key::PublicKey;
use crate::sign_error::SignErrorKind;

/// The length of an RSA-2048 signature.
const SIGNATURE_BYTES: usize = 256;

/// Opens sessions on one token, for one key.
#[derive(Debug)]
pub(super) struct Vault {
    module: Arc<Module>,
    uri: Pkcs11Uri,
    mechanism: Pkcs11Mechanism,
    /// The key of the first session. Later ones must have the same.
    public_key: Mutex<Option<PublicKey>>,
    restarts: Option<Mutex<Backoff>>,
}

/// A session that is logged in and has found the key.
#[derive(Debug)]
pub(super) struct KeySession {
    pub(super) session: Session,
    key: ObjectHandle,
    public_key: PublicKey,
    /// Of the module, when it was opened: a restart ends every session.
    generation: u64,
}

impl Vault {
    pub(super) fn new(
        uri: Pkcs11Uri,
        mechanism: Pkcs11Mechanism,
        may_restart: bool,
    ) -> Result<Self, Pkcs11Error> {
        Ok(Self {
            module: uri.load_module()?,
            mechanism,
            public_key: Mutex::default(),
            restarts: may_restart.then(Mutex::default),
            uri,
        })
    }

    /// Opens a session, logs in, finds the key; `look` may look at more while nothing restarts.
    pub(super) fn open_and<T>(
        &self,
        look: impl FnOnce(&Session, &SigningKey) -> Result<T, Pkcs11Error>,
    ) -> Result<(KeySession, T), Pkcs11Error> {
        let (LoggedIn { session, generation }, (key, more)) =
            log_in(&self.module, &self.uri, Access::Use, |session, token| {
                self.check_mechanism(token.slot)?;
                let key = key::find(session, &self.uri)?;
                self.check_same(&key.public_key)?;
                let more = look(session, &key)?;
                Ok((key, more))
            })?;
        let SigningKey { handle: key, public_key, .. } = key;
        Ok((KeySession { session, key, public_key, generation }, more))
    }

    fn check_mechanism(&self, slot: Slot) -> Result<(), Pkcs11Error> {
        let mechanism = match self.mechanism {
            Pkcs11Mechanism::RsaPkcs => MechanismType::RSA_PKCS,
            Pkcs11Mechanism::Sha256RsaPkcs => MechanismType::SHA256_RSA_PKCS,
        };
        let unsupported = Pkcs11Error::Mechanism { mechanism: self.mechanism };
        match self.module.context().get_mechanism_info(slot, mechanism).called() {
            Ok(info) if info.sign() => Ok(()),
            Ok(_) => Err(unsupported),
            Err(e) if e.kind() == SignErrorKind::Unsupported => Err(unsupported),
            Err(e) => Err(e),
        }
    }

    /// The serial that the signer was connected with belongs to one key, and to no other that has
    /// come under its name since.
    fn check_same(&self, public_key: &PublicKey) -> Result<(), Pkcs11Error> {
        let mut known = self.public_key.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_ref() {
            Some(known) if known != public_key => Err(Pkcs11Error::KeyReplaced),
            Some(_) => Ok(()),
            None => {
                *known = Some(public_key.clone());
                Ok(())
            }
        }
    }
}

impl KeySession {
    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

impl Sessions for Vault {
    type Session = KeySession;

    fn open(&self) -> Result<KeySession, Pkcs11Error> {
        self.open_and(|_, _| Ok(())).map(|(session, ())| session)
    }

    fn sign(&self, session: &KeySession, message: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let inside = self.module.gate().enter();
        if inside.generation() != session.generation {
            return Err(Pkcs11Error::Restarted);
        }
        let (token, key) = (&session.session, session.key);
        let signature = match self.mechanism {
            Pkcs11Mechanism::RsaPkcs => token.sign(&Mechanism::RsaPkcs, key, &digest_info(message)),
            Pkcs11Mechanism::Sha256RsaPkcs => token.sign(&Mechanism::Sha256RsaPkcs, key, message),
        };
        drop(inside);
        let signature = padded(signature.called()?);
        if !session.public_key.verifies(message, &signature) {
            return Err(Pkcs11Error::InvalidSignature);
        }
        if let Some(restarts) = &self.restarts {
            restarts.lock().unwrap_or_else(PoisonError::into_inner).reset();
        }
        Ok(signature)
    }

    fn close(&self, session: KeySession, error: Option<&Pkcs11Error>) {
        let inside = self.module.gate().enter();
        // The token may give the number of a session that is gone to the next one that is opened:
        // closing it here would end another thread's.
        let gone = inside.generation() != session.generation
            || matches!(error, Some(Pkcs11Error::Call { code, .. })
                if code == "CKR_SESSION_HANDLE_INVALID" || code == "CKR_SESSION_CLOSED");
        if !gone {
            let _ = session.session.close();
        }
    }

    fn generation(&self) -> u64 {
        self.module.gate().generation()
    }

    fn restart(&self, generation: u64, error: &Pkcs11Error) -> bool {
        let Some(restarts) = &self.restarts else { return false };
        if !error.may_be_the_module() {
            return false;
        }
        if self.generation() != generation {
            return true;
        }
        // One that is not even initialised has no session that a restart could end.
        let harmless = matches!(error, Pkcs11Error::Call { code, .. }
            if code == "CKR_CRYPTOKI_NOT_INITIALIZED");
        let mut restarts = restarts.lock().unwrap_or_else(PoisonError::into_inner);
        let due = restarts.take(Instant::now(), harmless);
        drop(restarts);
        due && self.module.restart(generation)
    }
}

/// Some services leave out leading zeros; the signature has the length of the modulus.
fn padded(signature: Vec<u8>) -> Vec<u8> {
    match SIGNATURE_BYTES.checked_sub(signature.len()) {
        None | Some(0) => signature,
        Some(missing) => [vec![0; missing], signature].concat(),
    }
}

/// Spaces restarts out while a token stays away: other tokens on the module feel each of them.
#[derive(Debug, Default)]
struct Backoff {
    last: Option<Instant>,
    /// How many there were since something was signed.
    restarts: u32,
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Between restarts that nobody feels.
const HARMLESS_WAIT: Duration = Duration::from_millis(50);

impl Backoff {
    /// Takes the turn, if it has come.
    fn take(&mut self, now: Instant, harmless: bool) -> bool {
        let doublings = self.restarts.saturating_sub(1).min(16);
        let wait = if harmless {
            HARMLESS_WAIT
        } else {
            FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
        };
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < wait) {
            return false;
        }
        self.last = Some(now);
        self.restarts = self.restarts.saturating_add(1);
        true
    }

    fn reset(&mut self) {
        // Not `last`: a token that fails every other time is not restarted every other time.
        self.restarts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_signature_is_padded_in_front() {
        assert_eq!(padded(vec![1; 255]), [vec![0], vec![1; 255]].concat());
        assert_eq!(padded(vec![1; 256]), [1; 256]);
        assert_eq!(padded(vec![1; 257]), [1; 257]);
    }

    #[test]
    fn restarts_are_spaced_out() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let mut take = |millis| backoff.take(start + Duration::from_millis(millis), false);
        assert!(take(0));
        assert!(!take(499) && take(500));
        assert!(!take(1_499) && take(1_500));
        assert!(!take(3_499) && take(3_500));
        backoff.reset();
        let mut take = |millis| backoff.take(start + Duration::from_millis(millis), false);
        assert!(!take(3_999) && take(4_000));
        assert!(!take(4_499) && take(4_500));

        let mut long = Backoff { last: Some(start), restarts: 40 };
        let mut take = |millis| long.take(start + Duration::from_millis(millis), false);
        assert!(!take(29_999) && take(30_000));
        let mut harmless = |millis| long.take(start + Duration::from_millis(millis), true);
        assert!(!harmless(30_049) && harmless(30_050));
    }
}
