//! The source of the PIN of a token.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(test)]
use wxpay_auth_core::internal::FileSource;
use wxpay_auth_core::internal::remote::{SecretSource, UnreadSecret};
use zeroize::Zeroizing;

use crate::error::Pkcs11Error;

/// The source of the user PIN of a token.
///
/// A file or a callback is read at each login, so a changed PIN is picked up; its value is zeroed
/// after use. A given PIN ([`new`](Self::new), `pin-value`) is zeroed when its last clone is
/// dropped, with the signer. No PIN is ever shown. An HMAC of each sent PIN, with a key of this
/// process, is kept until the process ends, to recognise refused ones.
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod pkcs11 { pub use wxpay_auth_pkcs11::*; } }
/// use wxpay_auth::pkcs11::Pin;
///
/// let fixed = Pin::new("1234");
/// let from_file = Pin::file("/run/secrets/hsm_pin");
/// let from_systemd = Pin::credential("hsm_pin"); // LoadCredential=hsm_pin:/etc/wxpay/hsm_pin
/// let asked = Pin::callback(|| std::env::var("HSM_PIN"));
/// assert_eq!(format!("{fixed:?}"), "Pin(given)");
/// # let _ = (from_file, from_systemd, asked);
/// ```
#[derive(Clone)]
pub struct Pin {
    source: SecretSource,
    /// Whether it may be sent if one more wrong PIN locks the token.
    uses_last_try: bool,
}

impl Pin {
    /// Uses the given PIN.
    pub fn new(pin: impl Into<String>) -> Self {
        Self::from(SecretSource::given(pin))
    }

    /// Reads the PIN from a file (`pin-source`): one line of UTF-8; a trailing line feed is
    /// removed, blanks are not.
    ///
    /// Errors, `Debug` and the URI show the path only if it is absolute and has a folder
    /// (`/run/secrets/pin`): anything shorter may be the PIN itself, given by mistake.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::from(SecretSource::file(path))
    }

    /// Reads the PIN, as from a file, from a credential that systemd passes to the service
    /// (`LoadCredential=NAME:PATH`): the file of this name in `$CREDENTIALS_DIRECTORY`.
    pub fn credential(name: impl Into<String>) -> Self {
        Self::from(SecretSource::credential(name))
    }

    /// Calls a function for the PIN. It runs on a thread of the signer, and may block.
    pub fn callback<E>(ask: impl Fn() -> Result<String, E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self::from(SecretSource::callback(ask))
    }

    fn from(source: SecretSource) -> Self {
        Self { source, uses_last_try: false }
    }

    pub(crate) fn using_last_try(self, uses_last_try: bool) -> Self {
        Self { uses_last_try, ..self }
    }

    pub(crate) fn uses_last_try(&self) -> bool {
        self.uses_last_try
    }

    /// Returns the path, if the PIN comes from a file.
    #[cfg(test)]
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.source {
            SecretSource::File { file: FileSource::Path(path), .. } => Some(path),
            _ => None,
        }
    }

    /// Returns the path, if the PIN comes from a file and the path may be shown.
    pub(crate) fn shown_path(&self) -> Option<&Path> {
        self.source.shown_path()
    }

    /// Reads the PIN, and refuses invalid ones, which the token would count as wrong. May block.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, Pkcs11Error> {
        let pin = self.text()?;
        match problem(&pin) {
            None => Ok(pin),
            Some(problem) => Err(Pkcs11Error::PinUnusable { problem }),
        }
    }

    fn text(&self) -> Result<Zeroizing<String>, Pkcs11Error> {
        self.source.read("PIN", without_line_end).map_err(|unread| match unread {
            UnreadSecret::Unavailable(source) => Pkcs11Error::PinUnavailable { source },
            UnreadSecret::Utf16 => Pkcs11Error::PinUnusable { problem: "it is UTF-16" },
        })
    }
}

/// Only the line end: blanks may belong to a PIN.
fn without_line_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// Returns why a text cannot be a PIN.
fn problem(pin: &str) -> Option<&'static str> {
    if pin.trim().is_empty() {
        Some("it is empty")
    } else if pin.starts_with('\u{feff}') {
        Some("it begins with a byte order mark")
    } else if pin.contains(['\r', '\n']) {
        Some("there is a line break in it")
    } else if pin.contains('\0') {
        Some("there is a NUL in it")
    } else {
        None
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({:?})", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type BoxError = Box<dyn StdError + Send + Sync>;

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

        std::fs::write(&dir, b"\xff").unwrap();
        assert!(matches!(Pin::file(&dir).read(), Err(Pkcs11Error::PinUnavailable { .. })));
        std::fs::remove_file(&dir).unwrap();
        assert!(matches!(Pin::file(&dir).read(), Err(Pkcs11Error::PinUnavailable { .. })));
        let refusing = Pin::callback(|| Err::<String, _>("the agent is locked"));
        assert!(matches!(refusing.read(), Err(Pkcs11Error::PinUnavailable { .. })));
        let panicking = Pin::callback(|| -> Result<String, BoxError> { panic!("told to") });
        assert!(matches!(panicking.read(), Err(Pkcs11Error::PinUnavailable { .. })));
    }

    #[test]
    fn what_is_no_pin_is_not_read() {
        let path = std::env::temp_dir().join(format!("wxpay-no-pin-{}", std::process::id()));
        let problem = |pin: &Pin| match pin.read() {
            Err(Pkcs11Error::PinUnusable { problem }) => problem,
            other => panic!("{other:?}"),
        };
        for (content, expected) in [
            ("", "it is empty"),
            ("\n", "it is empty"),
            (" \t\r\n", "it is empty"),
            ("\u{feff}1234\n", "it begins with a byte order mark"),
            ("1234\n5678\n", "there is a line break in it"),
            ("1234\r5678", "there is a line break in it"),
            ("1234\0", "there is a NUL in it"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(problem(&Pin::file(&path)), expected, "{content:?}");
            assert_eq!(problem(&Pin::new(content.trim_end_matches('\n'))), expected, "{content:?}");
        }
        for content in [b"\xff\xfe1\x002\x00", b"\xfe\xff\x001\x002"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(problem(&Pin::file(&path)), "it is UTF-16");
        }
        std::fs::write(&path, " 12 34 \n\r\n").unwrap();
        assert_eq!(*Pin::file(&path).read().unwrap(), " 12 34 ", "blanks may belong to it");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_credential_is_shown_nowhere() {
        for name in ["S3cretPin", "S3cretPin/", "/S3cretPin"] {
            let pin = Pin::credential(name);
            let error = pin.read().unwrap_err();
            let shown = format!("{pin:?} {error:?} {error}");
            assert!(shown.contains("credential") || shown.contains("NoCredentials"), "{shown}");
            assert!(
                !shown.contains("S3cret") && error.hint().contains("LoadCredential="),
                "{shown}"
            );
        }
    }
}
