//! Where a secret comes from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::KmsError;
use crate::files;
use crate::sign_error::SignErrorKind;

/// Says where a secret comes from: a token, a password. It is wiped after use, and shown nowhere.
///
/// ```
/// use wxpay_auth::kms::Secret;
///
/// let given = Secret::new("hvs.…");
/// assert_eq!(format!("{given:?}"), "Secret(given)");
/// // Read anew each time it is needed, so that one that was changed is picked up.
/// let from_file = Secret::file("/run/secrets/vault_token");
/// # let _ = from_file;
/// ```
#[derive(Clone)]
pub struct Secret(Source);

#[derive(Clone)]
enum Source {
    Given(Arc<Zeroizing<String>>),
    File(PathBuf),
}

impl Secret {
    /// Takes the secret itself.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Source::Given(Arc::new(Zeroizing::new(secret.into()))))
    }

    /// Reads the secret from a file: UTF-8, white space around it is left out.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Takes the secret from an environment variable.
    ///
    /// # Errors
    /// [`KmsError`] when the variable is not set, is empty, or is not UTF-8.
    pub fn variable(name: &'static str) -> Result<Self, KmsError> {
        match std::env::var(name) {
            Ok(secret) if !secret.is_empty() => Ok(Self::new(secret)),
            _ => Err(KmsError::setting(
                format!("the environment variable {name} is not set"),
                "set it, or give the secret in another way",
            )),
        }
    }

    /// Tells whether another secret may be there the next time.
    #[cfg(feature = "vault")]
    pub(super) fn may_change(&self) -> bool {
        matches!(self.0, Source::File(_))
    }

    /// Reads the secret. It may block for as long as reading a small file takes.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, KmsError> {
        let unavailable = |path: &PathBuf| {
            let message = format!("the secret in {} cannot be had", path.display());
            KmsError::new(SignErrorKind::Configuration, message)
                .with_hint("check that the file is there, and that this program may read it")
        };
        match &self.0 {
            Source::Given(secret) => Ok(Zeroizing::clone(secret)),
            Source::File(path) => {
                let bytes = files::read(path).map_err(|e| unavailable(path).with_source(e))?;
                files::warn_if_exposed(path, "this secret");
                let text = str::from_utf8(&bytes)
                    .map_err(|_| unavailable(path).with_source("it is not UTF-8"))?;
                Ok(Zeroizing::new(text.trim().to_owned()))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Given(_) => f.write_str("Secret(given)"),
            Source::File(path) => write!(f, "Secret(file {})", path.display()),
        }
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
        let unset = Secret::variable("WXPAY_NO_SUCH_VARIABLE").unwrap_err();
        assert!(unset.to_string().contains("WXPAY_NO_SUCH_VARIABLE"));
    }
}
