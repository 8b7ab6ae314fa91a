//! The list of platform certificates. It is read twice: with a key, which no input but the seeds was encrypted with, and
//! as if the ciphertext were the plaintext, so that the certificates in it are reached.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{
    ApiV3Key, Certificate, DecryptError, EncryptedResource, ResourceDecryptor, Timestamp,
    async_trait,
};
use wxpay_fuzz::{assert_good_error, assert_one_line, run};
use wxpay_security::fuzzing::certificate_list;

#[derive(Debug)]
struct Plain;

#[async_trait]
impl ResourceDecryptor for Plain {
    async fn decrypt(&self, resource: &EncryptedResource<'_>) -> Result<Vec<u8>, DecryptError> {
        Ok(resource.ciphertext.as_bytes().to_vec())
    }
}

/// Within the validity of the certificate among the seeds.
const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

static KEY: LazyLock<ApiV3Key> =
    LazyLock::new(|| ApiV3Key::new("a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb").expect("a key"));

static ROOT: LazyLock<Certificate> = LazyLock::new(|| {
    let pem = include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_certificate.pem");
    Certificate::from_pem(pem).expect("one of the test data")
});

fuzz_target!(|body: &[u8]| {
    for decryptor in [&*KEY as &dyn ResourceDecryptor, &Plain] {
        for root in [None, Some(&*ROOT)] {
            match run(certificate_list(body, decryptor, root, NOW)) {
                Err(error) => {
                    assert_good_error(&error);
                    assert_one_line(&format!("{error:?}"), 2400);
                }
                Ok(certificates) => {
                    assert!(!certificates.is_empty());
                    for listed in &certificates {
                        let serial = listed.certificate.serial_no().clone().into();
                        assert_eq!(listed.serial, serial);
                        assert!(listed.last_use() <= listed.certificate.not_after());
                        assert!(listed.certificate.not_after() >= NOW);
                        assert_one_line(&format!("{listed:?}"), 1200);
                    }
                    // Only its own is issued by the root: it is self-signed.
                    let is_own = |listed: &wxpay_security::PlatformCertificate| {
                        listed.certificate.as_der() == ROOT.as_der()
                    };
                    assert!(root.is_none() || certificates.iter().all(is_own));
                }
            }
        }
    }
});
