//! Certificates in DER.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{Certificate, SerialNo};
use wxpay_fuzz::{assert_good_error, assert_one_line};

fuzz_target!(|der: &[u8]| {
    let certificate = match Certificate::from_der(der) {
        Ok(certificate) => certificate,
        Err(error) => return assert_good_error(&error),
    };
    assert_eq!(certificate.as_der(), der);
    let serial_no = certificate.serial_no();
    assert_eq!(SerialNo::new(serial_no.as_str()).as_ref(), Ok(serial_no));
    assert!(certificate.require_key(certificate.public_key()).is_ok());
    assert!(!certificate.public_key().verifies(b"", &[0; 256]));
    assert_one_line(&format!("{certificate:?}"), 300);
});
