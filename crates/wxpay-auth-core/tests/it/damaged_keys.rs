//! Damaged keys: an error when parsed, never a panic, and never a wrong signature.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth_core::{Backend, Certificate, KeyError, PrivateKey, PublicKey};

/// Every compiled back end.
const BACKENDS: &[Backend] = &[
    Backend::Ring,
    #[cfg(feature = "aws-lc-rs")]
    Backend::AwsLcRs,
];

const KEY: &str = "keys/merchant_private_key.pem";
const CERTIFICATE: &str = "keys/merchant_certificate.pem";
const PUBLIC_KEY: &str = "keys/wechat_pay_public_key.pem";

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

/// Changes the text between the BEGIN and END lines.
fn with_body(name: &str, change: impl Fn(&str) -> String) -> String {
    let pem = text(name);
    let body = pem.lines().filter(|l| !l.starts_with("-----")).collect::<Vec<_>>().join("\n");
    pem.replace(&body, &change(&body))
}

fn der(name: &str) -> Vec<u8> {
    let body: String = text(name).lines().filter(|l| !l.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

type Damage = fn(&str) -> String;

fn assert_malformed(error: &KeyError, what: &str) {
    assert!(matches!(error, KeyError::Malformed { .. }), "{what}: {error:?}");
    assert!(error.hint().contains("get the file again"), "{what}: {}", error.hint());
}

#[test]
fn cut_or_changed_on_the_way() {
    let damages: &[(&str, Damage)] = &[
        ("cut to 200 characters", |body| body[..200].to_owned()),
        ("half of it", |body| body[..body.len() / 2].to_owned()),
        ("no base64", |body| body.replace('A', "*")),
        ("other letters", |body| body.replace('A', "B")),
        ("padding in the middle", |body| format!("{}=={}", &body[..64], &body[64..])),
        ("nothing in it", |_| String::new()),
        ("one character", |_| "A".to_owned()),
    ];
    for (what, damage) in damages {
        assert_malformed(&PrivateKey::from_pem(with_body(KEY, damage)).unwrap_err(), what);
        assert_malformed(&PublicKey::from_pem(with_body(PUBLIC_KEY, damage)).unwrap_err(), what);
        assert_malformed(&Certificate::from_pem(with_body(CERTIFICATE, damage)).unwrap_err(), what);
    }
    let no_end = |name| text(name).replace("-----END", "");
    assert_malformed(&PrivateKey::from_pem(no_end(KEY)).unwrap_err(), "no end");
    assert_malformed(&PublicKey::from_pem(no_end(PUBLIC_KEY)).unwrap_err(), "no end");
    assert_malformed(&Certificate::from_pem(no_end(CERTIFICATE)).unwrap_err(), "no end");
    let followed = no_end(KEY) + &text(CERTIFICATE);
    assert_malformed(&PrivateKey::from_pem(followed).unwrap_err(), "another block in its place");
}

#[test]
fn a_prime_that_does_not_fit() {
    let mut der = der("odd/merchant_pkcs1.pem");
    // In the middle of the second prime: three numbers of 128 bytes follow it.
    let position = der.len() - 3 * 131 - 64;
    der[position] ^= 4;
    for backend in BACKENDS {
        let refused = PrivateKey::from_pem_with(*backend, pem("RSA PRIVATE KEY", &der));
        let refused = refused.expect_err("the primes do not give the modulus");
        assert_malformed(&refused, &backend.to_string());
        assert!(refused.to_string().contains("do not fit each other"), "{refused}");
    }
}

#[test]
fn whatever_bit_is_wrong_no_wrong_signature_comes_out() {
    let whole = der("odd/merchant_pkcs1.pem");
    let right = PrivateKey::from_pem(pem("RSA PRIVATE KEY", &whole)).unwrap();
    let right = right.sign(b"message").unwrap();
    for backend in BACKENDS {
        let mut refused = 0;
        for position in (0..whole.len()).step_by(7) {
            let mut der = whole.clone();
            der[position] ^= 1 << (position % 8);
            // The libraries ignore the private exponent, because they have the primes.
            match PrivateKey::from_pem_with(*backend, pem("RSA PRIVATE KEY", &der)) {
                Ok(key) => {
                    let signature = key.sign(b"message").expect("what is read can sign");
                    assert_eq!(signature, right, "byte {position}, {backend}");
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 100, "{backend}: {refused} refused");
    }
}

#[test]
fn public_keys_and_certificates_with_a_wrong_bit_do_not_panic() {
    for (position, mut der) in std::iter::repeat(der(PUBLIC_KEY)).enumerate().take(294) {
        der[position] ^= 1 << (position % 8);
        if let Ok(key) = PublicKey::from_spki_der(&der) {
            assert!(!key.verifies(b"message", &[1; 256]));
        }
    }
    let certificate = der(CERTIFICATE);
    for position in 0..certificate.len() {
        let mut der = certificate.clone();
        der[position] ^= 1 << (position % 8);
        if let Ok(certificate) = Certificate::from_der(&der) {
            assert_eq!(certificate.serial_no().as_str().len(), 40);
        }
        assert!(Certificate::from_der(&der[..position]).is_err(), "cut to {position} bytes");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_in_a_key_or_an_error(
        der in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        proptest::prop_assert!(PublicKey::from_spki_der(&der).is_err());
        proptest::prop_assert!(Certificate::from_der(&der).is_err());
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            proptest::prop_assert!(PrivateKey::from_pem(pem(label, &der)).is_err());
        }
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY"] {
            proptest::prop_assert!(PublicKey::from_pem(pem(label, &der)).is_err());
        }
    }
}
