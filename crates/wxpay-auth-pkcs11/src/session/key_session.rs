//! Sessions with a token, each with the handle of the key.

use std::sync::{Mutex, PoisonError};

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use wxpay_auth_core::internal::remote::{PROBE, checked_signature};
use wxpay_auth_core::{PublicKey, SignErrorKind};
use zeroize::Zeroizing;

use crate::error::Pkcs11Error;
use crate::key_lookup::{self, SigningKey};
use crate::mechanism::{Pkcs11Mechanism, digest_info, oaep_sha1};
use crate::module::Module;
use crate::module::access::Scope;
use crate::module::restart::Restarter;
use crate::return_value::Called;
use crate::session::login::{Access, LoggedIn, log_in};
use crate::uri::Pkcs11Uri;
use crate::worker::Sessions;

/// Opens sessions with one token, for one key.
#[derive(Debug)]
pub(crate) struct KeySessions {
    restarter: Restarter,
    uri: Pkcs11Uri,
    mechanism: Pkcs11Mechanism,
    /// The public key of the first session. Later sessions must have the same.
    public_key: Mutex<Option<PublicKey>>,
}

/// A session that is logged in and has found the key.
#[derive(Debug)]
pub(crate) struct KeySession {
    pub(crate) session: Session,
    slot: Slot,
    key: ObjectHandle,
    public_key: PublicKey,
    may_decrypt: bool,
    /// The generation of the module when it was opened: a restart ends all sessions.
    generation: u64,
}

impl KeySessions {
    pub(crate) fn new(
        uri: Pkcs11Uri,
        mechanism: Pkcs11Mechanism,
        may_restart: bool,
    ) -> Result<Self, Pkcs11Error> {
        Ok(Self {
            restarter: Restarter::new(uri.load_module()?, may_restart),
            mechanism,
            public_key: Mutex::default(),
            uri,
        })
    }

    fn module(&self) -> &Module {
        self.restarter.module()
    }

    /// Runs `something`, and retries it after a restart that may help against its error.
    pub(crate) fn twice<T>(
        &self,
        something: impl Fn() -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        self.restarter.twice(|| true, something)
    }

    /// Opens a session, logs in and finds the key; `look` can inspect more before any restart.
    pub(crate) fn open_and<T>(
        &self,
        look: impl FnOnce(&Session, &SigningKey) -> Result<T, Pkcs11Error>,
    ) -> Result<(KeySession, T), Pkcs11Error> {
        let (LoggedIn { session, slot, generation }, (key, more)) =
            log_in(self.module(), &self.uri, Access::Use, |session, token| {
                self.check_mechanism(token.slot)?;
                let key = key_lookup::find(session, &self.uri)?;
                self.check_same(&key.public_key)?;
                let more = look(session, &key)?;
                Ok((key, more))
            })?;
        let SigningKey { handle: key, public_key, may_decrypt, .. } = key;
        Ok((KeySession { session, slot, key, public_key, may_decrypt, generation }, more))
    }

    fn check_mechanism(&self, slot: Slot) -> Result<(), Pkcs11Error> {
        let mechanism = match self.mechanism {
            Pkcs11Mechanism::RsaPkcs => MechanismType::RSA_PKCS,
            Pkcs11Mechanism::Sha256RsaPkcs => MechanismType::SHA256_RSA_PKCS,
        };
        let unsupported = Pkcs11Error::Mechanism { mechanism: self.mechanism };
        match self.module().context().get_mechanism_info(slot, mechanism).called() {
            Ok(info) if info.sign() => Ok(()),
            Ok(_) => Err(unsupported),
            Err(e) if e.kind() == SignErrorKind::Unsupported => Err(unsupported),
            Err(e) => Err(e),
        }
    }

    /// The serial of the signer belongs to one key, not to another key that has since been stored
    /// under the same name.
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
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns whether the key may also decrypt, or the token does not say.
    pub(crate) fn may_decrypt(&self) -> bool {
        self.may_decrypt
    }
}

impl Sessions for KeySessions {
    type Session = KeySession;

    fn open(&self) -> Result<KeySession, Pkcs11Error> {
        self.open_and(|_, _| Ok(())).map(|(session, ())| session)
    }

    fn sign(&self, session: &KeySession, message: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let inside = self.module().access().enter(Scope::Token(session.slot))?;
        if inside.generation() != session.generation {
            return Err(Pkcs11Error::Restarted);
        }
        let (token, key) = (&session.session, session.key);
        let signature = match self.mechanism {
            Pkcs11Mechanism::RsaPkcs => token.sign(&Mechanism::RsaPkcs, key, &digest_info(message)),
            Pkcs11Mechanism::Sha256RsaPkcs => token.sign(&Mechanism::Sha256RsaPkcs, key, message),
        };
        drop(inside);
        let signature = checked_signature(&session.public_key, message, signature.called()?)
            .ok_or(Pkcs11Error::InvalidSignature)?;
        self.restarter.works();
        Ok(signature)
    }

    /// Tokens return many codes for a field that was encrypted for another key, some of them the codes of a lost
    /// session. So after a failure it makes a test signature: if the key works in this session, the field is at fault.
    fn decrypt(
        &self,
        session: &KeySession,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error> {
        let inside = self.module().access().enter(Scope::Token(session.slot))?;
        if inside.generation() != session.generation {
            return Err(Pkcs11Error::Restarted);
        }
        let decrypted = session.session.decrypt(&oaep_sha1(), session.key, ciphertext);
        drop(inside);
        match decrypted.map(Zeroizing::new).called().map_err(Pkcs11Error::decrypting) {
            Ok(plaintext) => {
                self.restarter.works();
                Ok(plaintext)
            }
            Err(Pkcs11Error::Call { code, .. }) if self.sign(session, PROBE).is_ok() => {
                Err(Pkcs11Error::NotDecrypted { code })
            }
            Err(error) => Err(error),
        }
    }

    fn close(&self, session: KeySession, error: Option<&Pkcs11Error>) {
        // If a login hangs, the session stays open.
        let Ok(inside) = self.module().access().enter(Scope::Token(session.slot)) else { return };
        let gone = inside.generation() != session.generation
            || error.is_some_and(Pkcs11Error::ended_the_session);
        if !gone {
            self.module().close_session(session.session);
        }
    }

    fn generation(&self) -> u64 {
        self.module().access().generation()
    }

    fn restart(&self, generation: u64, error: &Pkcs11Error) -> bool {
        self.restarter.restart(generation, error)
    }

    fn explain(&self, error: Pkcs11Error) -> Pkcs11Error {
        self.restarter.explain(error)
    }
}
