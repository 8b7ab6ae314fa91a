//! Sensitive fields (敏感信息): single values that are encrypted with RSA, up to WeChat Pay and back.

mod ciphertext;
mod decrypt_error;
mod decryptor;
mod decryptors;
#[cfg(feature = "aws-lc-rs")]
mod encrypt_error;
mod encrypted_field;
#[cfg(feature = "aws-lc-rs")]
mod encryptor;
mod secret_text;

pub use self::ciphertext::{ciphertext_of, text_of};
pub use self::decrypt_error::FieldDecryptError;
pub use self::decryptor::FieldDecryptor;
pub use self::decryptors::FieldDecryptors;
#[cfg(feature = "aws-lc-rs")]
pub use self::encrypt_error::FieldEncryptError;
pub use self::encrypted_field::EncryptedField;
#[cfg(feature = "aws-lc-rs")]
pub use self::encryptor::FieldEncryptor;
pub use self::secret_text::SecretText;
