//! The `Authorization` header: parsing and writing it again gives the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{Authorization, Nonce, Scheme, authorization};
use wxpay_fuzz::assert_good_error;

fuzz_target!(|header: &str| {
    let read = match Authorization::parse(header) {
        Ok(read) => read,
        Err(error) => return assert_good_error(&error),
    };
    let (identity, signature) = (read.identity(), read.signature());
    let written = format!(
        "{} {}=\"{}\",nonce_str=\"{}\",timestamp=\"{}\",serial_no=\"{}\",signature=\"{}\"",
        read.scheme(),
        identity.parameter(),
        identity.value(),
        read.nonce_str(),
        read.timestamp(),
        signature.serial_no(),
        signature.to_base64(),
    );
    assert_eq!(Authorization::parse(&written).as_ref(), Ok(&read), "{written}");

    let algorithm = read.scheme().algorithm();
    assert_eq!(Scheme::of(identity, algorithm), Some(read.scheme()));
    if let Ok(nonce) = Nonce::new(read.nonce_str()) {
        let official = authorization(identity, algorithm, &nonce, read.timestamp(), signature);
        assert_eq!(official.as_ref(), Ok(&written));
    }
    // The nonce is shown, and may be the same text.
    let (shown, signature) = (format!("{read:?}"), signature.to_base64());
    let is_nonce = signature.len() < 64 || read.nonce_str().contains(&signature);
    assert!(is_nonce || !shown.contains(&signature), "the signature is shown");
});
