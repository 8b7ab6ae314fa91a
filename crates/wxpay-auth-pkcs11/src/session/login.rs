//! Sessions that are logged in.

use cryptoki::session::Session;
use cryptoki::slot::Slot;

use crate::error::Pkcs11Error;
use crate::module::access::Scope;
use crate::module::{Module, is_logged_in};
use crate::slot::{self, Token};
use crate::uri::Pkcs11Uri;

/// The purpose of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Use,
    /// Also creating and deleting objects.
    Change,
}

/// A session that is logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) session: Session,
    pub(crate) slot: Slot,
    /// The generation of the module when it was opened: a restart ends all sessions.
    pub(crate) generation: u64,
}

/// Opens a session with the token at the address, logs in, and runs `something`. Closes the session
/// on an error; otherwise the caller must close it. Dropping a session does not close it, because
/// after its end its handle may belong to another session.
pub(crate) fn log_in<T>(
    module: &Module,
    uri: &Pkcs11Uri,
    access: Access,
    something: impl FnOnce(&Session, &Token) -> Result<T, Pkcs11Error>,
) -> Result<(LoggedIn, T), Pkcs11Error> {
    let inside = module.access().enter(Scope::Module)?;
    let generation = inside.generation();
    let token = slot::find(module.context(), uri)?;
    drop(inside);
    // Before the session is opened: while a login hangs, each attempt would leak a session.
    let scope = Scope::Token(token.slot);
    let enter = || match module.access().enter(scope) {
        Ok(inside) if inside.generation() != generation => Err(Pkcs11Error::Restarted),
        entered => entered,
    };
    let inside = enter()?;
    let session = module.open_session(token.slot, access)?;
    let mut ready = Ok(inside);
    if token.wants_login && !is_logged_in(&session) {
        drop(ready);
        let logged_in = match &uri.pin {
            Some(pin) => module.login(&session, &token, pin, generation),
            None => Err(Pkcs11Error::NoPin),
        };
        ready = logged_in.and_then(|()| enter());
    }
    let error = match ready {
        Ok(inside) => match something(&session, &token) {
            Ok(done) => return Ok((LoggedIn { session, slot: token.slot, generation }, done)),
            Err(error) => {
                if !error.ended_the_session() {
                    module.close_session(session);
                }
                drop(inside);
                return Err(error);
            }
        },
        Err(error) => error,
    };
    // Scope of the module, so that it does not wait for a hanging login.
    let Ok(inside) = module.access().enter(Scope::Module) else { return Err(error) };
    if inside.generation() != generation {
        return Err(Pkcs11Error::Restarted);
    }
    if !error.ended_the_session() {
        module.close_session(session);
    }
    Err(error)
}
