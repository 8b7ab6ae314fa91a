//! The location of a file: a path, or a systemd credential of the service.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::keys::{KeyError, key_file};
use crate::text::may_be_path;

/// The prefix of a credential name, allowed in place of a file path.
const CREDENTIAL: &str = "credential:";

/// The variable in which systemd passes the directory of a service's credentials.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The location of a file. It is not accessed before it is read.
#[derive(Clone, PartialEq, Eq)]
pub enum FileSource {
    /// A path.
    Path(PathBuf),
    /// The name of a credential.
    Credential(String),
}

impl FileSource {
    /// Parses a path, or `credential:` and a name.
    pub fn parse(text: String) -> Self {
        match text.strip_prefix(CREDENTIAL) {
            Some(name) => Self::Credential(name.to_owned()),
            None => Self::Path(text.into()),
        }
    }

    /// Returns the path of the file.
    ///
    /// # Errors
    /// [`KeyError::NoCredentials`], [`KeyError::CredentialName`].
    pub fn path(&self) -> Result<Cow<'_, Path>, KeyError> {
        self.path_in(std::env::var_os(DIRECTORY))
    }

    fn path_in(&self, directory: Option<OsString>) -> Result<Cow<'_, Path>, KeyError> {
        let name = match self {
            Self::Path(path) => return Ok(path.into()),
            Self::Credential(name) => name,
        };
        // The rules of systemd: a file name, without path components.
        let leads_elsewhere = name.contains(['/', ':']) || name.contains(char::is_control);
        // It may be the secret itself.
        let may_be_name = may_be_path(Path::new(name));
        if leads_elsewhere || !may_be_name || matches!(name.as_str(), "" | "." | "..") {
            return Err(KeyError::CredentialName);
        }
        let directory = directory.filter(|directory| !directory.is_empty());
        Ok(PathBuf::from(directory.ok_or(KeyError::NoCredentials)?).join(name).into())
    }

    /// Reads the whole file, and warns if others can read `what` it contains, such as "this PIN".
    ///
    /// # Errors
    /// [`KeyError`]: those of [`FileSource::path`], and if the file does not exist or cannot be read.
    pub fn read(&self, what: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyError> {
        let path = self.path()?;
        let bytes = key_file::read(&path)?;
        key_file::warn_if_exposed(&path, what);
        Ok(bytes)
    }
}

/// Shows neither value: either may be the secret itself, put there by mistake.
impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path(_) => "Path(not shown)",
            Self::Credential(_) => "Credential(not shown)",
        })
    }
}

/// Returns whether a path leads into the directory of this service's credentials. systemd protects the whole
/// directory, and grants access to the service by an ACL, which the file mode shows as group permissions.
pub(crate) fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os(DIRECTORY).filter(|directory| !directory.is_empty());
    directory.is_some_and(|directory| path.starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, directory: Option<&str>) -> Result<PathBuf, String> {
        let source = FileSource::parse(text.to_owned());
        let path = source.path_in(directory.map(Into::into));
        path.map(Cow::into_owned).map_err(|error| error.to_string())
    }

    #[test]
    fn a_credential_lies_in_the_folder_of_systemd() {
        let folder = Some("/run/credentials/shop.service");
        assert_eq!(
            path("credential:hsm_pin", folder).unwrap(),
            Path::new("/run/credentials/shop.service/hsm_pin")
        );
        for elsewhere in ["/run/secrets/pin", "pin", "./credential:pin", "file:credential:pin", ""]
        {
            assert_eq!(path(elsewhere, folder).unwrap(), Path::new(elsewhere));
            assert_eq!(path(elsewhere, None).unwrap(), Path::new(elsewhere));
        }
    }

    #[test]
    fn a_credential_needs_the_folder_and_a_name() {
        let nowhere = KeyError::NoCredentials.to_string();
        for directory in [None, Some("")] {
            assert_eq!(path("credential:hsm_pin", directory).unwrap_err(), nowhere);
        }
        for name in ["", ".", "..", "../pin", "/etc/pin", "a/b", "a:b", "a\nb"] {
            let refused =
                path(&format!("credential:{name}"), Some("/run/credentials/shop.service"));
            assert_eq!(refused.unwrap_err(), KeyError::CredentialName.to_string(), "{name}");
        }
        for error in [KeyError::NoCredentials, KeyError::CredentialName] {
            assert!(error.hint().contains("LoadCredential="), "{error}");
        }
    }
}
