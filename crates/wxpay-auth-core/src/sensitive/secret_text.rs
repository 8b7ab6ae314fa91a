//! The text of a sensitive field.

use std::fmt;

use zeroize::Zeroizing;

/// A text that is not shown, such as the name of a person.
///
/// `Debug` shows nothing of it, not even its length. It is zeroed when it is dropped; copies that an application
/// makes of what [`expose`](Self::expose) returns are its own.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::SecretText;
///
/// let name = SecretText::new("张三");
/// assert_eq!(format!("{name:?}"), "SecretText(…)");
/// assert_eq!(name.expose(), "张三");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Takes bytes; `None` if they are not UTF-8.
    pub(crate) fn from_utf8(mut bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        match String::from_utf8(std::mem::take(&mut *bytes)) {
            Ok(text) => Some(Self::new(text)),
            Err(error) => {
                // Zeroed here: the error holds the bytes.
                drop(Zeroizing::new(error.into_bytes()));
                None
            }
        }
    }

    /// Returns the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}
