//! Several keys, of which one decrypts.

use std::sync::Arc;

use async_trait::async_trait;

use crate::sensitive::{FieldDecryptError, FieldDecryptor, SecretText};

/// Decrypts with the first of several keys that can.
///
/// A merchant may have up to three valid certificates, for example during a rotation. A field does not say which of
/// them it was encrypted for, and whether WeChat Pay takes the one that signed the request is not documented. So give the
/// decryptors of all valid ones, the most likely first.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use std::sync::Arc;
///
/// use wxpay_auth::{FieldDecryptor, FieldDecryptors};
///
/// fn during_a_rotation(
///     old: impl FieldDecryptor + 'static,
///     new: impl FieldDecryptor + 'static,
/// ) -> FieldDecryptors {
///     FieldDecryptors::new([Arc::new(new) as Arc<dyn FieldDecryptor>, Arc::new(old)])
/// }
/// ```
#[derive(Debug, Clone)]
pub struct FieldDecryptors {
    decryptors: Arc<[Arc<dyn FieldDecryptor>]>,
}

impl FieldDecryptors {
    /// Takes decryptors, in the order in which they are tried.
    pub fn new(decryptors: impl IntoIterator<Item = Arc<dyn FieldDecryptor>>) -> Self {
        Self { decryptors: decryptors.into_iter().collect() }
    }
}

/// Fails with the error of the first key that could not be tried, because it may be the right one; or else, with that
/// of the last one.
#[async_trait]
impl FieldDecryptor for FieldDecryptors {
    async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
        let (mut mismatch, mut untried) = (None, None);
        for decryptor in &*self.decryptors {
            match decryptor.decrypt(field).await {
                Ok(text) => return Ok(text),
                Err(error @ FieldDecryptError::Mismatch { .. }) => mismatch = Some(error),
                Err(
                    error @ (FieldDecryptError::Unavailable { .. }
                    | FieldDecryptError::KeyCannotDecrypt { .. }),
                ) => {
                    untried.get_or_insert(error);
                }
                // Of the field itself: no key changes that.
                Err(error) => return Err(error),
            }
        }
        Err(untried.or(mismatch).unwrap_or_else(|| {
            let hint = "give the decryptors of the merchant certificates that are valid";
            FieldDecryptError::key_cannot_decrypt("no key is given that decrypts", hint)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial_no::SerialNo;
    use crate::signer::SignErrorKind;

    /// Decrypts a field that begins with its name, or fails as it is told.
    #[derive(Debug)]
    enum Key {
        For(&'static str),
        Away,
    }

    #[async_trait]
    impl FieldDecryptor for Key {
        async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
            if field.is_empty() {
                return Err(FieldDecryptError::NotBase64);
            }
            match self {
                Self::For(name) if field.starts_with(name) => Ok(SecretText::new(*name)),
                Self::For(name) => {
                    let serial_no = SerialNo::new(name.repeat(40)).unwrap();
                    Err(FieldDecryptError::mismatch(serial_no))
                }
                Self::Away => {
                    let kind = SignErrorKind::Unavailable;
                    Err(FieldDecryptError::unavailable(kind, "look", "the line is dead"))
                }
            }
        }
    }

    fn several(keys: impl IntoIterator<Item = Key>) -> FieldDecryptors {
        FieldDecryptors::new(keys.into_iter().map(|key| Arc::new(key) as Arc<dyn FieldDecryptor>))
    }

    #[tokio::test]
    async fn the_first_key_that_fits_decrypts() {
        let both = several([Key::For("A"), Key::For("B")]);
        assert_eq!(both.decrypt("A").await.unwrap().expose(), "A");
        assert_eq!(both.decrypt("B").await.unwrap().expose(), "B");
        let error = both.decrypt("C").await.unwrap_err();
        assert!(matches!(error, FieldDecryptError::Mismatch { .. }), "{error:?}");
        assert!(error.to_string().contains(&"B".repeat(40)), "{error}");
        let error = both.decrypt("").await.unwrap_err();
        assert!(matches!(error, FieldDecryptError::NotBase64), "{error:?}");
    }

    #[tokio::test]
    async fn a_key_that_is_away_may_be_the_right_one() {
        let one_away = several([Key::Away, Key::For("A")]);
        assert_eq!(one_away.decrypt("A").await.unwrap().expose(), "A");
        assert!(one_away.decrypt("B").await.unwrap_err().is_transient());
        let none = several([]);
        let error = none.decrypt("A").await.unwrap_err();
        assert!(matches!(error, FieldDecryptError::KeyCannotDecrypt { .. }), "{error:?}");
    }
}
