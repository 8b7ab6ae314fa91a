//! Keys and certificates in PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{Certificate, PrivateKey, PublicKey};
use wxpay_fuzz::assert_good_error;

fuzz_target!(|pem: &[u8]| {
    match PrivateKey::from_pem(pem) {
        Ok(key) => assert_eq!(format!("{key:?}"), "PrivateKey { bits: 2048, backend: Ring, .. }"),
        Err(error) => assert_good_error(&error),
    }
    match PublicKey::from_pem(pem) {
        Ok(key) => assert!(!key.verifies(b"", b"")),
        Err(error) => assert_good_error(&error),
    }
    match Certificate::from_pem(pem) {
        Ok(certificate) => {
            assert_eq!(Certificate::from_der(certificate.as_der()).ok(), Some(certificate));
        }
        Err(error) => assert_good_error(&error),
    }
});
