//! Addresses of signers, parsed but not connected.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{SignerUri, SignerUriError};
use wxpay_fuzz::{assert_good_error, assert_one_line};

fuzz_target!(|text: &str| {
    // These name files, and one that never ends (such as /dev/zero) would not be a finding.
    if text.len() > 500 || text.contains("ca=") || text.contains("client_certificate=") {
        return;
    }
    match text.parse::<SignerUri>() {
        Ok(uri) => {
            assert!(text.starts_with(uri.scheme()));
            assert_one_line(&format!("{uri:?}"), 2000);
            assert!(uri.without_certificate().names_certificate());
        }
        Err(error) => {
            assert_good_error(&error);
            assert_one_line(error.hint(), 300);
            let known = ["file", "pkcs11", "vault", "tencent-kms", "alibaba-kms", "aws-kms"];
            let scheme = text.split_once(':').map(|(scheme, _)| scheme);
            assert_eq!(
                matches!(
                    error,
                    SignerUriError::Scheme
                        | SignerUriError::BarePath
                        | SignerUriError::Invisible { .. }
                ),
                !scheme.is_some_and(|scheme| known.contains(&scheme)),
            );
        }
    }
});
