//! Sessions that are logged in.

use cryptoki::session::Session;

use super::call::Called;
use super::error::Pkcs11Error;
use super::module::Module;
use super::token::{self, Token};
use super::uri::Pkcs11Uri;

/// Names what a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Use,
    /// Also making and deleting objects.
    Change,
}

/// Opens a session on the token at the address, logs in, and does `something`. The session is
/// closed when that fails, and by whoever gets it back otherwise: a session that has gone is never
/// closed, because its number may be another's by then, so dropping one does nothing.
///
/// The caller keeps restarts off the module.
pub(super) fn log_in<T>(
    module: &Module,
    uri: &Pkcs11Uri,
    access: Access,
    something: impl FnOnce(&Session, &Token) -> Result<T, Pkcs11Error>,
) -> Result<(Session, T), Pkcs11Error> {
    let context = module.context();
    let token = token::find(context, uri)?;
    let session = match access {
        Access::Use => context.open_ro_session_no_drop(token.slot),
        Access::Change => context.open_rw_session_no_drop(token.slot),
    }
    .called()?;
    let done = match &uri.pin {
        Some(pin) if token.wants_login => module.login(&session, token.slot, pin),
        None if token.wants_login => Err(Pkcs11Error::NoPin),
        _ => Ok(()),
    }
    .and_then(|()| something(&session, &token));
    match done {
        Ok(done) => Ok((session, done)),
        Err(error) => {
            let _ = session.close();
            Err(error)
        }
    }
}
