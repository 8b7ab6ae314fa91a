//! Keys in DER: `SubjectPublicKeyInfo`, PKCS#8 and PKCS#1.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use wxpay_auth::{PrivateKey, PublicKey};
use wxpay_fuzz::assert_good_error;

fuzz_target!(|der: &[u8]| {
    match PublicKey::from_spki_der(der) {
        Ok(key) => assert_eq!(PublicKey::from_pem(pem("PUBLIC KEY", der)).ok(), Some(key)),
        Err(error) => assert_good_error(&error),
    }
    if let Err(error) = PublicKey::from_pem(pem("RSA PUBLIC KEY", der)) {
        assert_good_error(&error);
    }
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY"] {
        match PrivateKey::from_pem(pem(label, der)) {
            Ok(key) => {
                let signature = key.sign(b"message").expect("it has signed before");
                assert!(key.public_key().verifies(b"message", &signature));
            }
            Err(error) => assert_good_error(&error),
        }
    }
});

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
