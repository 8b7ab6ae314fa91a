//! PKCS#11 URIs: parsing and writing again names the same key, module and PIN file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::pkcs11::Pkcs11Uri;
use wxpay_fuzz::{assert_good_error, assert_one_line};

fuzz_target!(|text: &str| {
    let uri: Pkcs11Uri = match text.parse() {
        Ok(uri) => uri,
        Err(error) => return assert_good_error(&error),
    };
    let written = uri.to_string();
    assert_one_line(&written, 12 * text.len() + 20);
    assert!(written.is_ascii());
    assert!(!written.contains("pin-value="), "a PIN is written: {written}");
    let again: Pkcs11Uri = written.parse().expect("it was written by us");
    assert_eq!(again.to_string(), written);
    // A PIN that was given as a value is shown as such, but never written; nor is a path or a credential name
    // that may be a misplaced secret.
    let shown = format!("{uri:?}");
    let is_hidden = ["(not shown)", "Pin(credential)"].iter().any(|hidden| shown.contains(hidden));
    if !text.contains("pin-value=") && !is_hidden {
        assert_eq!(format!("{again:?}"), shown);
    }
});
