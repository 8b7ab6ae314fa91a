//! A bare token: a few sessions, and `C_Sign` on a blocking thread.

use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;

use crate::Result;
use crate::token::Token;

/// The prefix of a SHA-256 hash in a `DigestInfo`.
const DIGEST_INFO: &[u8; 19] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

pub(super) struct TokenPool {
    idle: Mutex<Vec<(Session, ObjectHandle)>>,
    permits: Semaphore,
}

impl TokenPool {
    /// Opens sessions. The SDK may have loaded the module and logged in already.
    pub(super) fn open(token: &Token) -> Result<Self> {
        let context = Pkcs11::new(&token.module)?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => return Err(e.into()),
        }
        let slots = context.get_slots_with_token()?.into_iter();
        let is_ours = |info: cryptoki::slot::TokenInfo| info.label() == Token::LABEL;
        let slot = slots.into_iter().find(|s| context.get_token_info(*s).is_ok_and(is_ours));
        let slot = slot.ok_or("the token is not there")?;
        let open = || {
            let session = context.open_ro_session(slot)?;
            match session.login(UserType::User, Some(&token.pin.clone().into())) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(e) => return Err(e.into()),
            }
            let class = Attribute::Class(ObjectClass::PRIVATE_KEY);
            let label = Attribute::Label(Token::KEY.into());
            let key = session.find_objects(&[class, label])?.first().copied();
            Ok((session, key.ok_or("the key is not there")?))
        };
        let sessions: Result<Vec<_>> = (0..Token::SESSIONS).map(|_| open()).collect();
        Ok(Self { idle: Mutex::new(sessions?), permits: Semaphore::new(Token::SESSIONS) })
    }

    pub(super) async fn sign(self: &Arc<Self>, message: String) -> Result<Vec<u8>> {
        let _permit = self.permits.acquire().await?;
        let pool = Arc::clone(self);
        let signing = tokio::task::spawn_blocking(move || {
            let idle = || pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let (session, key) = idle().pop().ok_or("there are as many permits as sessions")?;
            let mut digest_info = DIGEST_INFO.to_vec();
            digest_info.extend_from_slice(digest(&SHA256, message.as_bytes()).as_ref());
            let signature = session.sign(&Mechanism::RsaPkcs, key, &digest_info);
            idle().push((session, key));
            Ok(signature?)
        });
        signing.await?
    }
}
