//! The source of a secret.

use std::fmt;
use std::path::PathBuf;

use wxpay_auth_core::SignErrorKind;
use wxpay_auth_core::internal::FileSource;
use wxpay_auth_core::internal::remote::{SecretSource, UnreadSecret, credential_hint};
use zeroize::Zeroizing;

use crate::error::KmsError;

/// The source of a secret, such as a token or a password. It is never shown, and this crate zeroes
/// its own copies when they are dropped. The copies of the libraries for cryptography, JSON, HTTP and
/// TLS, and of the system, are out of its reach.
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::Secret;
///
/// let given = Secret::new("hvs.…");
/// assert_eq!(format!("{given:?}"), "Secret(given)");
/// // Read again each time it is needed, so that changes are picked up.
/// let from_file = Secret::file("/run/secrets/vault_token");
/// # let _ = from_file;
/// ```
#[derive(Clone)]
pub struct Secret(SecretSource);

impl Secret {
    /// Uses the given secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(SecretSource::given(secret))
    }

    /// Reads the secret from a file: UTF-8, surrounding white space is removed.
    ///
    /// Errors and `Debug` show the path only if it is absolute and has a folder
    /// (`/run/secrets/token`): anything shorter may be the secret itself, given by mistake.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(SecretSource::file(path))
    }

    /// Reads the secret from a credential that systemd passes to the service
    /// (`LoadCredential=NAME:PATH`): the file of this name in `$CREDENTIALS_DIRECTORY`.
    pub fn credential(name: impl Into<String>) -> Self {
        Self(SecretSource::credential(name))
    }

    /// The same for a path in this parameter of an address. The path is never shown: it may be the
    /// secret itself.
    #[cfg(feature = "vault")]
    pub(crate) fn file_in(parameter: &'static str, file: FileSource) -> Self {
        Self(SecretSource::File { file, parameter: Some(parameter) })
    }

    /// Reads the secret from an environment variable.
    ///
    /// # Errors
    /// [`KmsError`] if the variable is not set, is empty, or is not UTF-8.
    pub fn variable(name: &'static str) -> Result<Self, KmsError> {
        match std::env::var(name) {
            Ok(secret) if !secret.is_empty() => Ok(Self::new(secret)),
            _ => Err(KmsError::setting(
                format!("the environment variable {} is not set", shown_variable(name)),
                "set it, or give the secret in another way; in the address of a signer: token_file=PATH, \
                 another auth=, or role= on a machine with one",
            )),
        }
    }

    /// Returns whether the secret may be different next time.
    #[cfg(feature = "vault")]
    pub(crate) fn may_change(&self) -> bool {
        self.0.may_change()
    }

    /// Reads the secret. Blocks while a small file is read.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, KmsError> {
        self.0.read("secret", str::trim).map_err(|unread| {
            let source = match unread {
                UnreadSecret::Unavailable(source) => source,
                UnreadSecret::Utf16 => "it is UTF-16".into(),
            };
            let message = format!("cannot read the secret from {}", self.place());
            let hint = credential_hint(&*source).unwrap_or(
                "check that the file exists, and that this program may read it; give its path, not \
                 the secret",
            );
            KmsError::new(SignErrorKind::Configuration, message).with_hint(hint).with_source(source)
        })
    }

    /// Names the source of the secret. A path that may be the secret itself is not shown.
    fn place(&self) -> String {
        match (&self.0, self.0.shown_path()) {
            (_, Some(path)) => path.display().to_string(),
            (SecretSource::File { parameter: Some(parameter), .. }, _) => {
                format!("the file that {parameter} names")
            }
            (SecretSource::File { file: FileSource::Path(_), .. }, _) => {
                "a file (its path is not shown)".to_owned()
            }
            (SecretSource::File { file: FileSource::Credential(_), .. }, _) => {
                "a credential (its name is not shown)".to_owned()
            }
            (SecretSource::Given(_) | SecretSource::Callback(_), _) => "memory".to_owned(),
        }
    }
}

/// Returns the name of a variable, unless it may be a secret.
fn shown_variable(name: &str) -> &str {
    let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if is_name { name } else { "(not shown: no name in capital letters)" }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_value_or_a_file() {
        let path = std::env::temp_dir().join(format!("wxpay-secret-{}", std::process::id()));
        assert_eq!(*Secret::new("a b").read().unwrap(), "a b");
        std::fs::write(&path, " a b\r\n").unwrap();
        assert_eq!(*Secret::file(&path).read().unwrap(), "a b");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(Secret::file(&path).read().unwrap_err().kind(), SignErrorKind::Configuration);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Secret::file(&path).read().unwrap_err().kind(), SignErrorKind::Configuration);
        #[cfg(feature = "vault")]
        {
            use std::error::Error as _;
            for text in ["hvs.hunter2", "credential:hvs.hunter2"] {
                let mistaken = Secret::file_in("token_file", FileSource::parse(text.to_owned()));
                let error = mistaken.read().unwrap_err();
                let shown = format!("{mistaken:?} {error:?} {error} {:?}", error.source());
                assert!(shown.contains("token_file") && !shown.contains("hunter2"), "{shown}");
            }
        }
        for name in ["hunter2", "hunter2/", "/hunter2"] {
            let credential = Secret::credential(name);
            let error = credential.read().unwrap_err();
            assert!(error.hint().contains("LoadCredential="), "{error}");
            let shown = format!("{credential:?} {error:?} {error}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let unset = Secret::variable("WXPAY_NO_SUCH_VARIABLE").unwrap_err();
        assert!(unset.to_string().contains("WXPAY_NO_SUCH_VARIABLE"));
    }
}
