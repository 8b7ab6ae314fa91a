//! Sources of secrets: PINs, tokens, passwords.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::keys::{FileSource, KeyError};
use crate::panics::caught;
use crate::text::{ShownSecret, may_be_path_of_secret};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The source of a secret.
#[derive(Clone)]
pub enum SecretSource {
    /// The secret itself; wiped when the last clone is dropped.
    Given(Arc<Zeroizing<String>>),
    /// A file, read each time the secret is needed.
    File {
        /// The file.
        file: FileSource,
        /// The address parameter that names the file, if any. It is shown instead of the path.
        parameter: Option<&'static str>,
    },
    /// A function, called each time the secret is needed.
    Callback(Arc<dyn Fn() -> Result<String, BoxError> + Send + Sync>),
}

/// Why a secret could not be read. Never quotes a path that may be the secret itself.
#[derive(Debug)]
pub enum UnreadSecret {
    /// The file cannot be read, or the callback failed.
    Unavailable(BoxError),
    /// The file is UTF-16.
    Utf16,
}

impl SecretSource {
    /// Uses the secret itself.
    pub fn given(secret: impl Into<String>) -> Self {
        Self::Given(Arc::new(Zeroizing::new(secret.into())))
    }

    /// Reads the secret from a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { file: FileSource::Path(path.into()), parameter: None }
    }

    /// Reads the secret from a systemd credential.
    pub fn credential(name: impl Into<String>) -> Self {
        Self::File { file: FileSource::Credential(name.into()), parameter: None }
    }

    /// Gets the secret from a function.
    pub fn callback<E: Into<BoxError>>(
        ask: impl Fn() -> Result<String, E> + Send + Sync + 'static,
    ) -> Self {
        Self::Callback(Arc::new(move || ask().map_err(Into::into)))
    }

    /// Returns whether the next read may return a different secret.
    pub fn may_change(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// Returns the path of the file if it may be shown: anything other than a full path may be the secret
    /// itself, put there by mistake.
    pub fn shown_path(&self) -> Option<&Path> {
        match self {
            Self::File { file: FileSource::Path(path), parameter: None } => {
                Some(path.as_path()).filter(|path| may_be_path_of_secret(path))
            }
            _ => None,
        }
    }

    /// Reads the secret; may block. Messages call it `noun`, such as "PIN". `trim` extracts the secret from the
    /// content of a file.
    ///
    /// # Errors
    /// [`UnreadSecret`]: the file does not exist, cannot be read, or is not UTF-8; the callback fails or
    /// panics.
    pub fn read(
        &self,
        noun: &str,
        trim: impl FnOnce(&str) -> &str,
    ) -> Result<Zeroizing<String>, UnreadSecret> {
        match self {
            Self::Given(secret) => Ok(Zeroizing::clone(secret)),
            Self::File { file, .. } => {
                let bytes = file
                    .read(&format!("this {noun}"))
                    .map_err(|error| UnreadSecret::Unavailable(self.unread(noun, error)))?;
                if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                    return Err(UnreadSecret::Utf16);
                }
                // The error contains only the position, which is not needed.
                let text = str::from_utf8(&bytes)
                    .map_err(|_| UnreadSecret::Unavailable("it is not UTF-8".into()))?;
                Ok(Zeroizing::new(trim(text).to_owned()))
            }
            // A panic of the callback must not end the operation that needs the secret.
            Self::Callback(ask) => caught(|| ask())
                .unwrap_or_else(|| Err("the callback panicked".into()))
                .map(Zeroizing::new)
                .map_err(UnreadSecret::Unavailable),
        }
    }

    /// Returns why the file cannot be read, without its path if that may be the secret.
    fn unread(&self, noun: &str, error: KeyError) -> BoxError {
        match error {
            error @ (KeyError::NoCredentials | KeyError::CredentialName) => error.into(),
            error if self.shown_path().is_some() => error.into(),
            KeyError::Unreadable { source, .. } => source.into(),
            _ => format!(
                "there is no such file (its name is not shown: it may be the {noun} itself)"
            )
            .into(),
        }
    }
}

/// Returns what to do if the secret was not read because of a missing systemd credential.
pub fn credential_hint(source: &(dyn StdError + Send + Sync + 'static)) -> Option<&'static str> {
    match source.downcast_ref::<KeyError>() {
        Some(error @ (KeyError::NoCredentials | KeyError::CredentialName)) => Some(error.hint()),
        _ => None,
    }
}

/// Shows the kind of source, for the parentheses in `Pin(…)`.
impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("given"),
            Self::File { parameter: Some(parameter), .. } => write!(f, "file of {parameter}"),
            Self::File { file: FileSource::Path(path), .. } => {
                write!(f, "file {}", ShownSecret(path))
            }
            Self::File { file: FileSource::Credential(_), .. } => f.write_str("credential"),
            Self::Callback(_) => f.write_str("callback"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panicking::panic_twice;

    fn read(source: &SecretSource) -> Result<String, String> {
        match source.read("PIN", str::trim_end) {
            Ok(secret) => Ok(secret.to_string()),
            Err(UnreadSecret::Unavailable(source)) => Err(source.to_string()),
            Err(UnreadSecret::Utf16) => Err("UTF-16".to_owned()),
        }
    }

    #[test]
    fn a_secret_comes_from_a_value_a_file_or_a_callback() {
        let path = std::env::temp_dir().join(format!("wxpay-secret-source-{}", std::process::id()));
        let file = SecretSource::file(&path);
        assert_eq!(read(&SecretSource::given(" a b ")).unwrap(), " a b ");
        let asked = SecretSource::callback(|| Ok::<_, BoxError>(" a b ".to_owned()));
        assert_eq!(read(&asked).unwrap(), " a b ");
        for (content, expected) in [
            (&b" a b \n"[..], Ok(" a b".to_owned())),
            (b"\xff", Err("it is not UTF-8".to_owned())),
            (b"\xff\xfea\0", Err("UTF-16".to_owned())),
            (b"\xfe\xff\0a", Err("UTF-16".to_owned())),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&file), expected);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read(&file).unwrap_err().contains("wxpay-secret-source"), "a full path is shown");
        let refusing = SecretSource::callback(|| Err::<String, _>("the agent is locked"));
        assert_eq!(read(&refusing).unwrap_err(), "the agent is locked");
        let panicking =
            SecretSource::callback(|| -> Result<String, BoxError> { panic!("told to") });
        assert_eq!(read(&panicking).unwrap_err(), "the callback panicked");
        let panicking_twice =
            SecretSource::callback(|| -> Result<String, BoxError> { panic_twice() });
        assert_eq!(read(&panicking_twice).unwrap_err(), "the callback panicked");
    }

    #[test]
    fn what_may_be_the_secret_itself_is_not_shown() {
        let parameter = Some("token_file");
        for source in [
            SecretSource::given("hunter2"),
            SecretSource::file("hunter2"),
            SecretSource::file("/hunter2"),
            SecretSource::credential("hunter2"),
            SecretSource::credential("/hunter2"),
            SecretSource::File { file: FileSource::Path("/run/hunter2".into()), parameter },
            SecretSource::File { file: FileSource::Credential("hunter2".into()), parameter },
        ] {
            let shown = format!("{source:?} {:?} {:?}", source.shown_path(), read(&source).err());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let whole = SecretSource::file("/run/secrets/pin");
        assert_eq!(whole.shown_path(), Some(Path::new("/run/secrets/pin")));
        assert_eq!(format!("{whole:?}"), "file /run/secrets/pin");
    }

    #[test]
    fn a_credential_says_what_to_do() {
        let unread = SecretSource::credential("../pin").read("PIN", |text| text).unwrap_err();
        let UnreadSecret::Unavailable(source) = unread else { panic!("{unread:?}") };
        assert!(credential_hint(&*source).unwrap().contains("LoadCredential="));
        assert_eq!(credential_hint(&fmt::Error), None);
    }
}
