//! Where the PIN of a token comes from.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::Pkcs11Error;
use crate::files;
use crate::key_error::KeyError;
use crate::shown_path::{ShownSecret, may_be_path_of_secret};

/// Says where the user PIN of a token comes from.
///
/// A file or a callback is asked each time the token wants a login, so a PIN that was changed is
/// picked up; what they return is wiped from memory after use. A PIN that is given
/// ([`new`](Self::new), `pin-value`) is wiped when the last clone of it is dropped, with the signer. No
/// PIN is shown anywhere. Of each one that was sent, an HMAC with a key of this process is kept until
/// the process ends, to know a refused one again.
///
/// ```
/// use wxpay_auth::pkcs11::Pin;
///
/// let fixed = Pin::new("1234");
/// let from_file = Pin::file("/run/secrets/hsm_pin");
/// let asked = Pin::callback(|| std::env::var("HSM_PIN"));
/// assert_eq!(format!("{fixed:?}"), "Pin(given)");
/// # let _ = (from_file, asked);
/// ```
#[derive(Clone)]
pub struct Pin(Source);

type BoxError = Box<dyn StdError + Send + Sync>;

#[derive(Clone)]
enum Source {
    Given(Arc<Zeroizing<String>>),
    File(PathBuf),
    Callback(Arc<dyn Fn() -> Result<String, BoxError> + Send + Sync>),
}

impl Pin {
    /// Takes the PIN itself.
    pub fn new(pin: impl Into<String>) -> Self {
        Self(Source::Given(Arc::new(Zeroizing::new(pin.into()))))
    }

    /// Reads the PIN from a file (`pin-source`): UTF-8, a line feed at its end is left out.
    ///
    /// Errors, `Debug` and the URI show the path only when it begins at the root and leads through a
    /// folder (`/run/secrets/pin`): anything shorter may be the PIN itself, put there by mistake.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Asks a function for the PIN. It is called on a thread of the signer's, and may block.
    pub fn callback<E>(ask: impl Fn() -> Result<String, E> + Send + Sync + 'static) -> Self
    where
        E: Into<BoxError>,
    {
        Self(Source::Callback(Arc::new(move || ask().map_err(Into::into))))
    }

    /// Returns the path, where the PIN comes from a file.
    #[cfg(test)]
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Source::File(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the path, where the PIN comes from a file, and the path may be shown.
    pub(super) fn shown_path(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Source::File(path) if may_be_path_of_secret(path) => Some(path),
            _ => None,
        }
    }

    /// Reads the PIN. It may block.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, Pkcs11Error> {
        let unavailable = |source| Pkcs11Error::PinUnavailable { source };
        match &self.0 {
            Source::Given(pin) => Ok(Zeroizing::clone(pin)),
            Source::File(path) => {
                let bytes = files::read(path).map_err(|e| unavailable(unread(path, e)))?;
                files::warn_if_exposed(path, "this PIN");
                // The error would quote the position only, but it is not needed either.
                let text = str::from_utf8(&bytes).map_err(|_| unavailable("not UTF-8".into()))?;
                Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            // A panic here is not the module's, and the session that wants the login is still open.
            Source::Callback(ask) => catch_unwind(AssertUnwindSafe(|| ask()))
                .unwrap_or_else(|_| Err("the callback panicked".into()))
                .map(Zeroizing::new)
                .map_err(unavailable),
        }
    }
}

/// Says why a file cannot be read; errors of files quote the path.
fn unread(path: &std::path::Path, error: KeyError) -> BoxError {
    match error {
        error if may_be_path_of_secret(path) => error.into(),
        KeyError::Unreadable { source, .. } => source.into(),
        _ => "there is no such file (its path is not shown: it may be the PIN itself)".into(),
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Given(_) => f.write_str("Pin(given)"),
            Source::File(path) => write!(f, "Pin(file {})", ShownSecret(path)),
            Source::Callback(_) => f.write_str("Pin(callback)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_comes_from_a_value_a_file_or_a_callback() {
        let dir = std::env::temp_dir().join(format!("wxpay-pin-{}", std::process::id()));
        std::fs::write(&dir, "12 34\r\n").unwrap();
        assert_eq!(*Pin::new("12 34").read().unwrap(), "12 34");
        assert_eq!(*Pin::file(&dir).read().unwrap(), "12 34");
        assert_eq!(
            *Pin::callback(|| Ok::<_, BoxError>("12 34".to_owned())).read().unwrap(),
            "12 34"
        );

        std::fs::write(&dir, b"\xff\xfe").unwrap();
        assert!(matches!(Pin::file(&dir).read(), Err(Pkcs11Error::PinUnavailable { .. })));
        std::fs::remove_file(&dir).unwrap();
        assert!(matches!(Pin::file(&dir).read(), Err(Pkcs11Error::PinUnavailable { .. })));
        let refusing = Pin::callback(|| Err::<String, _>("the agent is locked"));
        assert!(matches!(refusing.read(), Err(Pkcs11Error::PinUnavailable { .. })));
        let panicking = Pin::callback(|| -> Result<String, BoxError> { panic!("told to") });
        assert!(matches!(panicking.read(), Err(Pkcs11Error::PinUnavailable { .. })));
    }
}
