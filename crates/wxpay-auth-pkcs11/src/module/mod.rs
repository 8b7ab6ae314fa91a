//! PKCS#11 libraries, each loaded and initialised once per process.

pub(crate) mod access;
pub(crate) mod library;
pub(crate) mod restart;
pub(crate) mod settings;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use wxpay_auth_core::SignErrorKind;
use wxpay_auth_core::internal::{log, may_be_path};

use crate::error::Pkcs11Error;
use crate::module::access::{ModuleAccess, Restart, Scope};
use crate::module::library::Library;
use crate::module::restart::Restarts;
use crate::pin::Pin;
use crate::return_value::{Called, kind};
use crate::session::login::Access;
use crate::session::open_close_lock::OpenCloseLock;
use crate::session::pin_history::PinHistory;
use crate::slot::{self, Token};

/// A loaded module. It stays loaded until the process ends: PKCS#11 has one state per process and
/// library, so signers with the same library share one module.
#[derive(Debug)]
pub(crate) struct Module {
    /// The path that it was first loaded by.
    path: PathBuf,
    context: Pkcs11,
    /// Whether it was initialised here. A module that the application initialised is never
    /// restarted.
    ours: bool,
    access: ModuleAccess,
    /// Whether a login, to any token, requires that no other call is in progress.
    logs_in_alone: bool,
    logins: PinHistory,
    restarts: Restarts,
    open_close: OpenCloseLock,
    /// The error of `C_Initialize` in the last restart, if it failed.
    down: Mutex<Option<RvError>>,
}

/// A library, and its module once that is initialised. A module that hangs during its
/// initialisation blocks only callers that need the same library.
struct Entry {
    library: Library,
    /// The bare names that the loader found it by.
    names: Vec<PathBuf>,
    cell: Arc<ModuleCell>,
}

type ModuleCell = Mutex<Option<Arc<Module>>>;

static LIBRARIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

impl Module {
    /// Loads and initialises a library, unless it is loaded already, under any name.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, Pkcs11Error> {
        let failed = |source: Box<_>| {
            if may_be_path(path) {
                return Pkcs11Error::Module { path: path.to_owned(), source };
            }
            // The error of the loader quotes the path as well.
            let problem = "names no library, and does not look like a path (it is not shown)";
            Pkcs11Error::Setting { setting: "module-path", problem }
        };
        let open = |library: &Path| {
            Pkcs11::new(library).or_else(|error| match error {
                Error::Pkcs11(..) => Err(error).called(),
                other => Err(failed(other.into())),
            })
        };
        let (cell, library, loaded) = if path.components().count() > 1 {
            let library = Library::at(path).map_err(|e| failed(e.into()))?;
            (cell_of(&library, None), library.path().to_owned(), None)
        } else if let Some(cell) = cell_of_name(path) {
            (cell, path.to_owned(), None)
        } else {
            // Only the loader knows where it finds a bare name.
            let context = open(path)?;
            let library = Library::loaded_as(path).map_err(failed)?;
            (cell_of(&library, Some(path)), library.path().to_owned(), Some(context))
        };
        let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = &*cell {
            return Ok(Arc::clone(module));
        }
        let context = loaded.map_or_else(|| open(&library), Ok)?;
        let ours = match context.initialize(arguments()) {
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => false,
            initialized => {
                initialized.called().map(|()| true).map_err(|error| error.starting(path))?
            }
        };
        let one_at_a_time = takes_one_call_at_a_time(&library);
        let access = ModuleAccess::default();
        let access = if one_at_a_time { access.one_at_a_time() } else { access };
        let (logins, restarts) = (PinHistory::new()?, Restarts::default());
        let module = Arc::new(Self {
            path: path.to_owned(),
            logs_in_alone: one_at_a_time || logs_in_alone(&context),
            context,
            ours,
            access,
            logins,
            restarts,
            open_close: OpenCloseLock::default(),
            down: Mutex::default(),
        });
        *cell = Some(Arc::clone(&module));
        Ok(module)
    }

    pub(crate) fn context(&self) -> &Pkcs11 {
        &self.context
    }

    pub(crate) fn access(&self) -> &ModuleAccess {
        &self.access
    }

    pub(crate) fn restarts(&self) -> &Restarts {
        &self.restarts
    }

    /// Returns whether it may be restarted.
    pub(crate) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Finalises and initialises the module, once for all callers with the same `generation`. This
    /// ends all sessions of all its signers. Returns whether a retry is worthwhile.
    pub(crate) fn restart(&self, generation: u64) -> bool {
        let mut ended = None;
        let restarted = self.access.restart(generation, || {
            let finalized = self.context.clone().finalize();
            let initialized = self.context.initialize(arguments());
            *self.lock_down() = match &initialized {
                Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) | Ok(()) => None,
                Err(Error::Pkcs11(code, _)) => Some(*code),
                Err(_) => Some(RvError::GeneralError),
            };
            let (finalized, initialized) = ended.insert((finalized, initialized));
            match (finalized, initialized) {
                (_, Ok(())) => Restart::Done,
                // It was not initialised in the first place.
                (Ok(()) | Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)), _) => {
                    Restart::Failed
                }
                _ => Restart::Refused,
            }
        });
        // The module works again while this is written.
        if let Some((finalized, initialized)) = ended {
            log::warn!(?finalized, ?initialized, "the PKCS#11 module was restarted");
        }
        restarted
    }

    /// Returns the error of the last restart, if it failed and the module is not initialised since.
    pub(crate) fn down(&self) -> Option<Pkcs11Error> {
        let down = *self.lock_down();
        let failed = |code| Err::<(), _>(Error::Pkcs11(code, Function::Initialize)).called().err();
        down.and_then(failed).map(|error| error.starting(&self.path))
    }

    fn lock_down(&self) -> MutexGuard<'_, Option<RvError>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this is tpm2-pkcs11 and its TPM responds.
    pub(crate) fn is_tpm_that_works(&self, session: &Session) -> bool {
        let info = self.context.get_library_info();
        info.is_ok_and(|info| info.library_description().starts_with("TPM2"))
            && answers(session).is_ok()
    }

    /// Opens a session that is not closed on drop.
    pub(crate) fn open_session(&self, slot: Slot, access: Access) -> Result<Session, Pkcs11Error> {
        let _turn = self.open_close.take();
        match access {
            Access::Use => self.context.open_ro_session_no_drop(slot),
            Access::Change => self.context.open_rw_session_no_drop(slot),
        }
        .called()
    }

    /// Closes a session that still exists. An error does not matter, as the session is no longer
    /// used.
    pub(crate) fn close_session(&self, session: Session) {
        let _turn = self.open_close.take();
        let _ = session.close();
    }

    /// Logs the user in, unless this process is logged in already. A refused PIN is not sent again,
    /// because tokens lock.
    pub(crate) fn login(
        &self,
        session: &Session,
        token: &Token,
        pin: &Pin,
        generation: u64,
    ) -> Result<(), Pkcs11Error> {
        let (slot, uses_last_try) = (token.slot, pin.uses_last_try());
        let pin = pin.read()?;
        let send = || {
            // If the token is away or its module is broken, a failed login would suspend the PIN.
            let flags = match slot::flags(&self.context, slot) {
                Ok(flags) => flags,
                Err(error) => return Ok(Err(error)),
            };
            if flags.makes_random_numbers
                && let Err(error) = answers(session)
            {
                return Ok(Err(error));
            }
            if flags.has_last_try && !uses_last_try {
                return Err(Pkcs11Error::LastPinTry);
            }
            Ok(session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))))
        };
        let is_logged_in = || is_logged_in(session);
        let scope = if self.logs_in_alone { Scope::Module } else { Scope::Token(slot) };
        self.logins.log_in(
            (&self.access, slot, scope),
            generation,
            (&token.name, &pin),
            is_logged_in,
            send,
        )
    }
}

fn cell_of(library: &Library, name: Option<&Path>) -> Arc<ModuleCell> {
    let mut entries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = name.into_iter().map(Path::to_owned);
    if let Some(entry) = entries.iter_mut().find(|entry| entry.library.is(library)) {
        entry.names.extend(names);
        return Arc::clone(&entry.cell);
    }
    let cell = Arc::new(ModuleCell::default());
    let (library, names) = (library.clone(), names.collect());
    entries.push(Entry { library, names, cell: Arc::clone(&cell) });
    cell
}

fn cell_of_name(name: &Path) -> Option<Arc<ModuleCell>> {
    let entries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let named = entries.iter().find(|entry| entry.names.iter().any(|known| known == name));
    named.map(|entry| Arc::clone(&entry.cell))
}

/// opencryptoki does not survive a login during a call of another thread. A module that does not
/// identify itself may be opencryptoki.
fn logs_in_alone(context: &Pkcs11) -> bool {
    let info = context.get_library_info();
    info.map_or(true, |info| info.library_description().to_lowercase().contains("opencryptoki"))
}

/// The client of p11-kit has a bug: if its connection ends while several threads wait for
/// responses, only one of them returns, and the others hang. Its server handles one call per client
/// at a time anyway.
fn takes_one_call_at_a_time(library: &Path) -> bool {
    let name = library.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.replace('_', "-").contains("p11-kit-client")
}

fn arguments() -> CInitializeArgs {
    CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)
}

/// Checks that the token responds to a call that needs no login: a random number.
fn answers(session: &Session) -> cryptoki::error::Result<()> {
    match session.generate_random_slice(&mut [0; 8]) {
        Err(Error::Pkcs11(code, function)) if kind(&code) == SignErrorKind::Unavailable => {
            Err(Error::Pkcs11(code, function))
        }
        _ => Ok(()),
    }
}

/// Returns whether the user is logged in: a login applies to the process and the token.
pub(crate) fn is_logged_in(session: &Session) -> bool {
    let state = session.get_session_info().map(|info| info.session_state());
    matches!(state, Ok(SessionState::RoUser | SessionState::RwUser))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_p11_kit_is_known_by_its_file() {
        for name in ["/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so", "p11-kit-client.dylib"] {
            assert!(takes_one_call_at_a_time(Path::new(name)), "{name}");
        }
        for name in ["/usr/lib/p11-kit-client/libsofthsm2.so", "p11-kit-proxy.so", "/"] {
            assert!(!takes_one_call_at_a_time(Path::new(name)), "{name}");
        }
    }
}
