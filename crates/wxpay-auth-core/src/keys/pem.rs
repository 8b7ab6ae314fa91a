//! PEM blocks, distinguished by their labels.
//!
//! Parsing is lenient where real files differ (line widths, CRLF, blanks, text around the blocks), and
//! precise in its errors: a certificate in place of a key is reported as such.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::keys::{KeyError, KeyMaterial};
use crate::text::invisible;

/// A decoded block. It may be secret, so it is wiped when dropped.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Finds the first block of the `expected` kind and decodes it. The text around the blocks need not be
/// UTF-8: openssl writes names there, in any encoding.
pub(crate) fn find(pem: &[u8], expected: KeyMaterial) -> Result<Block, KeyError> {
    let mut found = None;
    let mut rest = pem;
    while let Some((label, body, after)) = next_block(rest) {
        let material = material(label);
        if material == expected {
            return decode(label, body, material);
        }
        found.get_or_insert(material);
        rest = after;
    }
    match found {
        Some(found) => Err(KeyError::WrongMaterial { expected, found }),
        None if is_utf16(pem) => Err(KeyError::Utf16),
        None => Err(KeyError::NoPem),
    }
}

/// Returns whether a text is UTF-16: it has a byte order mark, or zeros between the letters.
fn is_utf16(text: &[u8]) -> bool {
    let wide = |order: fn(u16) -> [u8; 2]| {
        let dashes: Vec<u8> = "-----BEGIN".encode_utf16().flat_map(order).collect();
        split_once(text, &dashes).is_some()
    };
    matches!(text, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || wide(u16::to_le_bytes)
        || wide(u16::to_be_bytes)
}

/// Splits bytes at the first occurrence of `at`.
fn split_once<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let position = text.windows(at.len()).position(|window| window == at)?;
    Some((text.get(..position)?, text.get(position + at.len()..)?))
}

/// Splits off the next block: its label, its content, and the rest of the text.
fn next_block(text: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let mut rest = text;
    let (label, body) = loop {
        let (_, from_label) = split_once(rest, b"-----BEGIN ")?;
        let label = split_once(from_label, b"-----")
            .and_then(|(label, body)| Some((str::from_utf8(label).ok()?, body)));
        match label {
            Some((label, body)) if is_label(label) => break (label, body),
            _ => rest = from_label,
        }
    };
    // A block without an end is still a block, so that the error names its kind.
    match split_once(body, b"-----END ") {
        Some((body, after)) => Some((label, body, after)),
        None => Some((label, b"", b"")),
    }
}

/// Returns whether a text is a label. If the first line of a block is damaged, the key itself follows, and
/// errors quote labels.
fn is_label(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ' || b == b'#';
    text.len() <= 40 && text.bytes().all(fits)
}

fn material(label: &str) -> KeyMaterial {
    if label.ends_with("PRIVATE KEY") {
        KeyMaterial::PrivateKey
    } else if label.ends_with("PUBLIC KEY") {
        KeyMaterial::PublicKey
    } else if label == "CERTIFICATE" || label == "TRUSTED CERTIFICATE" {
        KeyMaterial::Certificate
    } else {
        KeyMaterial::Other
    }
}

fn decode(label: &str, body: &[u8], material: KeyMaterial) -> Result<Block, KeyError> {
    let is_encrypted = split_once(body, b"Proc-Type: 4,ENCRYPTED").is_some();
    if label == "ENCRYPTED PRIVATE KEY" || is_encrypted {
        return Err(KeyError::Encrypted);
    }
    let malformed = |reason| Err(KeyError::Malformed { material, reason });
    let base64 = without_blanks(body);
    if base64.is_empty() {
        return malformed("the block is empty or has no end");
    }
    // Owned here, so that it is wiped even if decoding stops half-way.
    let mut der = Zeroizing::new(Vec::with_capacity(base64.len()));
    match STANDARD.decode_vec(&*base64, &mut der) {
        Ok(()) => Ok(Block { label: label.to_owned(), der }),
        Err(_) if str::from_utf8(body).is_ok_and(|body| invisible(body).is_some()) => {
            malformed("there is an invisible character in it")
        }
        Err(_) => malformed("it is not base64"),
    }
}

/// Removes blanks and line ends, including those of environment variables: a backslash and an `n`.
fn without_blanks(body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = if let (b'\\', [b'n' | b'r', after @ ..]) = (byte, after) {
            after
        } else {
            base64.extend(Some(*byte).filter(|byte| !byte.is_ascii_whitespace()));
            after
        };
    }
    base64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_block_is_found_among_others() {
        let pem = b"Bag Attributes\r\n-----BEGIN EC PARAMETERS-----\r\nBgg=\r\n-----END EC PARAMETERS-----\r\n\
            -----BEGIN CERTIFICATE-----\r\n AQ I=\r\n-----END CERTIFICATE-----\r\n";
        assert_eq!(*find(pem, KeyMaterial::Certificate).unwrap().der, [1, 2]);
        assert!(matches!(
            find(pem, KeyMaterial::PrivateKey),
            Err(KeyError::WrongMaterial { found: KeyMaterial::Other, .. })
        ));
    }

    #[test]
    fn damage_is_named() {
        let find = |pem: &[u8]| find(pem, KeyMaterial::PrivateKey).map(|b| b.der.len());
        assert!(matches!(find(b""), Err(KeyError::NoPem)));
        assert!(matches!(find(b"\xff"), Err(KeyError::NoPem)));
        assert!(matches!(find(b"\xff\xfe"), Err(KeyError::Utf16)));
        assert!(matches!(find(b"-----BEGIN "), Err(KeyError::NoPem)));
        for cut in [
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAQ==\n-----END",
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----",
        ] {
            assert!(matches!(find(cut.as_bytes()), Err(KeyError::Malformed { .. })), "{cut}");
        }
        let old_style = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A\n\nAQ==\n-----END RSA PRIVATE KEY-----";
        assert!(matches!(find(old_style), Err(KeyError::Encrypted)));
    }

    #[test]
    fn utf_16_is_named() {
        let key = "-----BEGIN PRIVATE KEY-----\r\nAQI=\r\n-----END PRIVATE KEY-----\r\n";
        let le = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let be = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        let marked = format!("\u{feff}{key}");
        for wide in [le(key), be(key), le(&marked), be(&marked)] {
            assert!(matches!(find(&wide, KeyMaterial::PrivateKey), Err(KeyError::Utf16)));
        }
        let after_utf8 = [le("x"), key.as_bytes().to_vec()].concat();
        assert_eq!(*find(&after_utf8, KeyMaterial::PrivateKey).unwrap().der, [1, 2]);
    }

    #[test]
    fn what_stands_around_a_block_need_not_be_text() {
        let gbk = b"friendlyName: \xc9\xcc\xbb\xa7 \xff\n".as_slice();
        let key = b"-----BEGIN PRIVATE KEY-----\nAQI=\n-----END PRIVATE KEY-----\n".as_slice();
        for pem in [[gbk, key, gbk].concat(), [b"-----BEGIN \xff-----".as_slice(), key].concat()] {
            assert_eq!(*find(&pem, KeyMaterial::PrivateKey).unwrap().der, [1, 2]);
        }
        let inside = b"-----BEGIN PRIVATE KEY-----\nAQ\xffI=\n-----END PRIVATE KEY-----\n";
        let error = find(inside, KeyMaterial::PrivateKey).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "a private key is damaged: it is not base64");
    }

    #[test]
    fn line_ends_of_a_variable_are_read() {
        let key = |end: &str| {
            format!("-----BEGIN PRIVATE KEY-----{end}AQ{end}I={end}-----END PRIVATE KEY-----{end}")
        };
        for end in ["\\n", "\\r\\n", "\\n\n", "\\r"] {
            let key = key(end);
            assert_eq!(
                *find(key.as_bytes(), KeyMaterial::PrivateKey).unwrap().der,
                [1, 2],
                "{key}"
            );
        }
        for odd in ["\\t", "\\", "\\\\n"] {
            let error = find(key(odd).as_bytes(), KeyMaterial::PrivateKey).map(drop).unwrap_err();
            assert!(error.to_string().contains("not base64"), "{odd}: {error}");
        }
    }

    #[test]
    fn an_invisible_character_is_named() {
        let key = "-----BEGIN PRIVATE KEY-----\nAQ\u{200b}I=\n-----END PRIVATE KEY-----\n";
        let error = find(key.as_bytes(), KeyMaterial::PrivateKey).map(drop).unwrap_err();
        assert!(error.to_string().contains("invisible character"), "{error}");
    }

    #[test]
    fn a_damaged_beginning_makes_no_label_of_the_key() {
        let key = b"-----BEGIN EC----\nMIGHAgEAMBMGByqGSM49AgEG\n PRIVATE KEY-----\n";
        for material in [KeyMaterial::PrivateKey, KeyMaterial::PublicKey] {
            assert!(matches!(find(key, material), Err(KeyError::NoPem)));
        }
        let whole = b"-----BEGIN PRIVATE KEY-----\nAQI=\n-----END PRIVATE KEY-----\n";
        let both = [&key[..], whole].concat();
        assert_eq!(*find(&both, KeyMaterial::PrivateKey).unwrap().der, [1, 2]);
        let long = format!("-----BEGIN {} PRIVATE KEY-----\n", "A".repeat(1000));
        assert!(matches!(find(long.as_bytes(), KeyMaterial::PrivateKey), Err(KeyError::NoPem)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_in_a_block_or_an_error(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            label in "[A-Z ]{0,20}",
        ) {
            let mut pem = format!("-----BEGIN {label}-----").into_bytes();
            pem.extend(&bytes);
            pem.extend(format!("-----END {label}-----").bytes());
            if let Ok(block) = find(&pem, KeyMaterial::PrivateKey) {
                proptest::prop_assert!(block.label.ends_with("PRIVATE KEY"));
            }
        }
    }
}
