//! PEM blocks, told apart by their labels.
//!
//! Reading is lenient where files really differ (line widths, CRLF, blanks, text around the blocks)
//! because the errors are what helps: a certificate in place of a key is named as such.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::key_error::{KeyError, KeyMaterial};

/// One decoded block. What it holds may be secret, so it is wiped when dropped.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Finds the first block that holds `expected` and decodes it.
pub(crate) fn find(pem: &[u8], expected: KeyMaterial) -> Result<Block, KeyError> {
    let text = str::from_utf8(pem).map_err(|_| KeyError::NoPem)?;
    let mut found = None;
    let mut rest = text;
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
        None => Err(KeyError::NoPem),
    }
}

/// Splits off the next block: its label, what is between the armour, and what comes after.
fn next_block(text: &str) -> Option<(&str, &str, &str)> {
    let mut rest = text;
    let (label, body) = loop {
        let (_, from_label) = rest.split_once("-----BEGIN ")?;
        match from_label.split_once("-----") {
            Some((label, body)) if is_label(label) => break (label, body),
            _ => rest = from_label,
        }
    };
    // A block that never ends is still a block, so that the error names what it was to be.
    match body.split_once("-----END ") {
        Some((body, after)) => Some((label, body, after)),
        None => Some((label, "", "")),
    }
}

/// Tells whether a text is a label. Where the line that begins a block is damaged, what follows it is
/// the key, and errors quote labels.
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

fn decode(label: &str, body: &str, material: KeyMaterial) -> Result<Block, KeyError> {
    if label == "ENCRYPTED PRIVATE KEY" || body.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(body.bytes().filter(|b| !b.is_ascii_whitespace()));
    if base64.is_empty() {
        return Err(KeyError::Malformed { material, reason: "the block is empty or has no end" });
    }
    // Wiped also where decoding stops half-way, so the buffer has to be ours.
    let mut der = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD
        .decode_vec(&*base64, &mut der)
        .map_err(|_| KeyError::Malformed { material, reason: "it is not base64" })?;
    Ok(Block { label: label.to_owned(), der })
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
        assert!(matches!(find(b"\xff\xfe"), Err(KeyError::NoPem)));
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
