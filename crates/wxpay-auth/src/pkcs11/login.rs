//! Sessions that are logged in.

use cryptoki::session::Session;

use super::error::Pkcs11Error;
use super::module::{Module, is_logged_in};
use super::token::{self, Token};
use super::uri::Pkcs11Uri;

/// Names what a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Use,
    /// Also making and deleting objects.
    Change,
}

/// A session that is logged in.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) session: Session,
    /// Of the module, when it was opened: a restart ends every session.
    pub(super) generation: u64,
}

/// Opens a session on the token at the address, logs in, and does `something`. The session is
/// closed when that fails, and by whoever gets it back otherwise: a session that has gone is never
/// closed, because its number may be another's by then, so dropping one does nothing.
pub(super) fn log_in<T>(
    module: &Module,
    uri: &Pkcs11Uri,
    access: Access,
    something: impl FnOnce(&Session, &Token) -> Result<T, Pkcs11Error>,
) -> Result<(LoggedIn, T), Pkcs11Error> {
    let mut inside = module.gate().enter();
    let generation = inside.generation();
    let token = token::find(module.context(), uri)?;
    let session = module.open_session(token.slot, access)?;
    let mut ready = Ok(());
    if token.wants_login && !is_logged_in(&session) {
        drop(inside);
        ready = match &uri.pin {
            Some(pin) => module.login(&session, token.slot, pin, generation),
            None => Err(Pkcs11Error::NoPin),
        };
        inside = module.gate().enter();
        if inside.generation() != generation {
            return Err(Pkcs11Error::Restarted);
        }
    }
    match ready.and_then(|()| something(&session, &token)) {
        Ok(done) => Ok((LoggedIn { session, generation }, done)),
        Err(error) => {
            if !error.ended_the_session() {
                module.close_session(session);
            }
            Err(error)
        }
    }
}
