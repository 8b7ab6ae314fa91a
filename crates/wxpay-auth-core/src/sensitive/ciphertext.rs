//! What every decryptor does before and after the key is used.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::keys::rsa::MODULUS_BITS;
use crate::sensitive::{FieldDecryptError, SecretText};
use crate::serial_no::SerialNo;

/// Decodes an encrypted field, and checks its length, for the key of a merchant certificate.
///
/// # Errors
/// [`FieldDecryptError::NotBase64`] and [`FieldDecryptError::Length`].
pub fn ciphertext_of(field: &str, serial_no: &SerialNo) -> Result<Vec<u8>, FieldDecryptError> {
    let bytes = STANDARD.decode(field).map_err(|_| FieldDecryptError::NotBase64)?;
    let expected = MODULUS_BITS / 8;
    if bytes.len() == expected {
        Ok(bytes)
    } else {
        Err(FieldDecryptError::length(bytes.len(), expected, serial_no.clone()))
    }
}

/// Returns the decrypted text.
///
/// # Errors
/// [`FieldDecryptError::NotUtf8`].
pub fn text_of(plaintext: Zeroizing<Vec<u8>>) -> Result<SecretText, FieldDecryptError> {
    SecretText::from_utf8(plaintext).ok_or(FieldDecryptError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial_no() -> SerialNo {
        "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".parse().unwrap()
    }

    #[test]
    fn only_whole_blocks_in_standard_base64_are_taken() {
        let block = [7; 256];
        assert_eq!(ciphertext_of(&STANDARD.encode(block), &serial_no()).unwrap(), block);
        for (length, field) in
            [0, 1, 128, 255, 257, 384, 512].map(|n| (n, STANDARD.encode(vec![7; n])))
        {
            let error = ciphertext_of(&field, &serial_no()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "the encrypted field has {length} bytes, but those for the key of the merchant certificate \
                     5F1C72E2A8931B72A2E13AF8DEE92471EB397115 have 256"
                )
            );
        }
        let unpadded = STANDARD.encode(block).trim_end_matches('=').to_owned();
        let url_safe = STANDARD.encode([0xfb; 256]).replace('+', "-").replace('/', "_");
        for field in [unpadded, url_safe, "张三".to_owned(), format!(" {}", STANDARD.encode(block))]
        {
            let error = ciphertext_of(&field, &serial_no()).unwrap_err();
            assert!(matches!(error, FieldDecryptError::NotBase64), "{field}");
        }
    }

    #[test]
    fn a_text_is_utf_8() {
        let text = text_of(Zeroizing::new("张三".as_bytes().to_vec())).unwrap();
        assert_eq!(text.expose(), "张三");
        assert_eq!(text_of(Zeroizing::new(Vec::new())).unwrap().expose(), "");
        let error = text_of(Zeroizing::new(b"hunter2\xff".to_vec())).unwrap_err();
        assert!(matches!(error, FieldDecryptError::NotUtf8));
        assert!(!format!("{error:?} {error}").contains("hunter"));
    }
}
