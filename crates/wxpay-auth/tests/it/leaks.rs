//! Finds secrets in texts, in any encoding.

use std::fmt::{Debug, Write as _};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use pkcs1::RsaPrivateKeyRef;
use pkcs1::der::Decode;

pub(crate) const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");
pub(crate) const CERTIFICATE: &str = include_str!("../../testdata/keys/merchant_certificate.pem");
const SAME_KEY_PKCS1: &str = include_str!("../../testdata/odd/merchant_pkcs1.pem");

/// Number of consecutive bytes of a secret that count as a leak. It is too large for a coincidence.
const WINDOW: usize = 8;

pub(crate) struct Secret {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Secret {
    pub(crate) fn new(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        assert!(bytes.len() >= 6 * WINDOW, "{name} is too short to be found");
        Self { name, bytes }
    }
}

/// Returns all secret parts of the merchant's key.
pub(crate) fn secrets_of_the_key() -> Vec<Secret> {
    let (pkcs8, pkcs1) = (der(KEY), der(SAME_KEY_PKCS1));
    let key = RsaPrivateKeyRef::from_der(&pkcs1).unwrap();
    vec![
        Secret::new("d", key.private_exponent.as_bytes()),
        Secret::new("p", key.prime1.as_bytes()),
        Secret::new("q", key.prime2.as_bytes()),
        Secret::new("d mod (p-1)", key.exponent1.as_bytes()),
        Secret::new("d mod (q-1)", key.exponent2.as_bytes()),
        Secret::new("1/q mod p", key.coefficient.as_bytes()),
        Secret::new("the PKCS#8 form", pkcs8),
        Secret::new("the PKCS#1 form", pkcs1.as_slice()),
        Secret::new("the PEM text", body(KEY)),
    ]
}

fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(body(pem)).unwrap()
}

/// Returns the text between the BEGIN and END lines, which may themselves be shown.
pub(crate) fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// Finds a secret in a text, and returns its name and encoding.
pub(crate) fn find(secrets: &[Secret], text: &str) -> Option<String> {
    // The layout of a list, and the spelling of hexadecimal digits, make no difference.
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let hex: String = plain.replace("0x", "").replace([':', ','], "").to_ascii_lowercase();
    for Secret { name, bytes } in secrets {
        // 8 is not a multiple of 3: one window in three begins at a base64 group boundary.
        for start in (0..=bytes.len() - 3 * WINDOW).step_by(WINDOW) {
            let window = &bytes[start..start + WINDOW];
            let found = [
                ("text", window.escape_ascii().to_string(), text),
                ("a list of numbers", list(window), &plain),
                ("hexadecimal", hexadecimal(window), &hex),
                ("base64", STANDARD.encode(&bytes[start..start + 3 * WINDOW]), &plain),
                ("base64, URL-safe", URL_SAFE.encode(&bytes[start..start + 3 * WINDOW]), &plain),
            ]
            .into_iter()
            .find(|(_, secret, text)| text.contains(secret.as_str()));
            if let Some((form, shown, _)) = found {
                return Some(format!("{name} from byte {start} as {form}: {shown}"));
            }
        }
    }
    None
}

fn list(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(",")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// Formats a value in the usual ways of logging.
pub(crate) fn debug(value: &dyn Debug) -> String {
    format!("{value:?}\n{value:#?}\n")
}

/// Asserts that leaks of a careless type would be found.
pub(crate) fn assert_that_leaks_are_found(secrets: &[Secret]) {
    for secret in secrets {
        let bytes = &secret.bytes;
        for shown in [
            debug(bytes),
            debug(&Some(&bytes[5..bytes.len() - 3])),
            format!("{bytes:02x?}"),
            format!("{bytes:#X?}"),
            hexadecimal(bytes),
            hexadecimal(bytes).to_ascii_uppercase(),
            STANDARD.encode(bytes),
            format!("{{\"key\":\"{}\"}}", URL_SAFE.encode(&bytes[1..])),
            STANDARD.encode(&bytes[2..]),
            bytes.escape_ascii().to_string(),
        ] {
            assert!(find(secrets, &shown).is_some(), "{} in {shown}", secret.name);
        }
    }
}
