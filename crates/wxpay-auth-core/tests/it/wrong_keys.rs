//! Each wrong input has a specific error, with a hint.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use wxpay_auth_core::{
    Certificate, FileKeySigner, KeyError, KeyMaterial, KeyRing, Mchid, MchidError, PrivateKey,
    PublicKey, SerialNo, SerialNoError, Timestamp, WechatpaySerial,
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn private(name: &str) -> KeyError {
    PrivateKey::from_pem_file(path(name)).expect_err(name)
}

fn public(name: &str) -> KeyError {
    PublicKey::from_pem_file(path(name)).expect_err(name)
}

fn certificate(name: &str) -> KeyError {
    Certificate::from_pem_file(path(name)).expect_err(name)
}

macro_rules! assert_error {
    ($error:expr, $pattern:pat, $hint:expr) => {{
        let error = $error;
        assert!(matches!(error, $pattern), "{error:?}");
        assert!(error.hint().contains($hint), "{error}: {}", error.hint());
    }};
}

#[test]
fn files_that_are_not_there_or_cannot_be_read() {
    assert_error!(private("keys/nothing.pem"), KeyError::NotFound { .. }, "check the path");
    assert_error!(public("keys/nothing.pem"), KeyError::NotFound { .. }, "check the path");
    assert_error!(certificate("keys/nothing.pem"), KeyError::NotFound { .. }, "check the path");
    // A directory can be opened, but not read.
    #[cfg(unix)]
    assert_error!(private("keys"), KeyError::Unreadable { .. }, "not of its folder");
    assert!(private("keys/nothing.pem").to_string().contains("nothing.pem"));
    assert!(private("keys").source().is_some(), "what the operating system says is kept");
}

#[test]
fn files_of_any_size() {
    let read = |length: usize| {
        let file = TemporaryFile::new(&vec![b'x'; length]);
        PrivateKey::from_pem_file(&file.0).unwrap_err()
    };
    assert_error!(read(0), KeyError::NoPem, "PEM file as it is");
    assert_error!(read(1 << 20), KeyError::NoPem, "PEM file as it is");
    assert_error!(read((1 << 20) + 1), KeyError::Unreadable { .. }, "larger than 1 MiB");

    // A key may be far down in a file.
    let mut long = vec![b'\n'; 100_000];
    long.extend(fs::read(path("keys/merchant_private_key.pem")).unwrap());
    assert!(PrivateKey::from_pem_file(&TemporaryFile::new(&long).0).is_ok());
}

#[cfg(unix)]
#[test]
fn files_that_this_user_may_not_read() {
    use std::os::unix::fs::PermissionsExt;
    let file = TemporaryFile::new(&fs::read(path("keys/merchant_private_key.pem")).unwrap());
    fs::set_permissions(&file.0, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read everything; for other users it is an error with its own hint.
    let may_read = fs::File::open(&file.0).is_ok();
    match PrivateKey::from_pem_file(&file.0) {
        Ok(_) => assert!(may_read),
        Err(error) => assert_error!(error, KeyError::Unreadable { .. }, "right to read"),
    }
}

/// A file that is removed when dropped, also if a test fails.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(content: &[u8]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wxpay-wrong-keys-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn what_is_no_pem() {
    for pem in ["", "garbage", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"] {
        assert_error!(PrivateKey::from_pem(pem).unwrap_err(), KeyError::NoPem, "PEM file as it is");
    }
    assert_error!(PrivateKey::from_pem([0x30, 0x82, 0xff]).unwrap_err(), KeyError::NoPem, ".p12");
}

#[test]
fn labels_that_do_not_fit() {
    let text = |name: &str| fs::read_to_string(path(name)).unwrap();
    let relabelled = |name: &str, from: &str, to: &str| {
        text(name).replace(&format!("BEGIN {from}"), &format!("BEGIN {to}"))
    };
    for (name, label, wrong) in [
        ("keys/merchant_private_key.pem", "PRIVATE KEY", "RSA PRIVATE KEY"),
        ("odd/merchant_pkcs1.pem", "RSA PRIVATE KEY", "PRIVATE KEY"),
    ] {
        let error = PrivateKey::from_pem(relabelled(name, label, wrong)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the block is labelled {wrong}, but its content belongs under {label}")
        );
        assert_error!(error, KeyError::WrongLabel { .. }, "the right label");
    }
    for (name, label, wrong) in [
        ("keys/wechat_pay_public_key.pem", "PUBLIC KEY", "RSA PUBLIC KEY"),
        ("odd/wechat_pay_public_pkcs1.pem", "RSA PUBLIC KEY", "PUBLIC KEY"),
    ] {
        let error = PublicKey::from_pem(relabelled(name, label, wrong)).unwrap_err();
        assert!(error.to_string().contains(&format!("labelled {wrong},")), "{error}");
        assert_error!(error, KeyError::WrongLabel { .. }, "the right label");
    }
}

#[test]
fn utf_16() {
    let key = fs::read_to_string(path("keys/merchant_private_key.pem")).unwrap();
    let wide: Vec<u8> =
        format!("\u{feff}{key}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_error!(PrivateKey::from_pem(&wide).unwrap_err(), KeyError::Utf16, "save it as UTF-8");
    assert_error!(Certificate::from_pem(&wide).unwrap_err(), KeyError::Utf16, "save it as UTF-8");
}

#[test]
fn an_invisible_character_in_a_path() {
    let unseen = "\u{202a}/etc/wxpay/apiclient_key.pem";
    let error = PrivateKey::from_pem_file(unseen).unwrap_err();
    assert!(error.to_string().ends_with("in the path, U+202A)"), "{error}");
    assert_error!(error, KeyError::NotFound { .. }, "type the path again");
}

/// Valid keys: they sign with the library that accepts them.
#[test]
fn keys_that_ring_does_not_take() {
    for (name, reason) in [
        ("odd/rsa_exponent_3.pem", "smaller than 65537"),
        ("odd/rsa_unequal_primes.pem", "not of 1024 bits each"),
    ] {
        let error = private(name);
        let text = error.to_string();
        assert!(
            text.starts_with("ring does not accept this key") && text.contains(reason),
            "{text}"
        );
        assert_error!(error, KeyError::NotTaken { .. }, "aws-lc-rs");
        #[cfg(feature = "aws-lc-rs")]
        {
            let aws_lc_rs = wxpay_auth_core::Backend::AwsLcRs;
            let key = PrivateKey::from_pem_file_with(aws_lc_rs, path(name)).expect(name);
            let signature = key.sign(b"message").unwrap();
            let ring =
                key.public_key().clone().with_backend(wxpay_auth_core::Backend::Ring).unwrap();
            assert!(ring.verifies(b"message", &signature), "{name}");
        }
    }
}

#[test]
fn encrypted_keys() {
    for name in ["odd/encrypted_pkcs8.pem", "odd/encrypted_traditional.pem"] {
        assert_error!(private(name), KeyError::Encrypted, "openssl pkey");
    }
}

#[test]
fn one_thing_in_place_of_another() {
    use KeyMaterial::{Certificate as Cert, Other, PrivateKey as Priv, PublicKey as Pub};
    let wrong = |error: KeyError| match error {
        KeyError::WrongMaterial { expected, found, .. } => (expected, found),
        other => panic!("{other:?}"),
    };
    for (error, expected, found, hint) in [
        (private("keys/merchant_certificate.pem"), Priv, Cert, "apiclient_key.pem, not"),
        (private("keys/wechat_pay_public_key.pem"), Priv, Pub, "the merchant's private key"),
        (private("odd/request.pem"), Priv, Other, "the merchant's private key"),
        (public("keys/merchant_private_key.pem"), Pub, Priv, "does not belong here"),
        (public("keys/wechat_pay_certificate.pem"), Pub, Cert, "as a certificate"),
        (certificate("keys/merchant_private_key.pem"), Cert, Priv, "give a certificate"),
        (certificate("keys/wechat_pay_public_key.pem"), Cert, Pub, "give a certificate"),
    ] {
        assert!(error.hint().contains(hint), "{error}: {}", error.hint());
        assert_eq!(wrong(error), (expected, found));
    }
}

#[test]
fn keys_of_another_kind() {
    let algorithm = |error: KeyError| match error {
        KeyError::NotRsa { algorithm, .. } => algorithm,
        other => panic!("{other:?}"),
    };
    for (error, expected) in [
        (private("odd/ec_pkcs8.pem"), "EC"),
        (private("odd/ec_sec1.pem"), "EC"),
        (private("odd/ec_with_parameters.pem"), "EC"),
        (private("odd/ed25519.pem"), "Ed25519"),
        (private("odd/rsa_pss.pem"), "RSA-PSS"),
        (public("odd/ec_public.pem"), "EC"),
        (certificate("odd/ec_certificate.pem"), "EC"),
    ] {
        assert!(error.hint().contains("RSA keys of 2048 bits"), "{}", error.hint());
        assert_eq!(algorithm(error), expected);
    }
}

#[test]
fn keys_of_another_size() {
    for (error, expected) in [
        (private("odd/rsa_1024.pem"), 1024),
        (private("odd/rsa_3072.pem"), 3072),
        (private("odd/rsa_4096.pem"), 4096),
        (public("odd/rsa_4096_public.pem"), 4096),
    ] {
        assert!(error.to_string().contains(&format!("one of {expected} bits")), "{error}");
        assert_error!(error, KeyError::WrongSize { .. }, "2048 bits");
    }
}

#[test]
fn a_certificate_of_another_key() {
    let key = PrivateKey::from_pem_file(path("keys/apiclient_test_key.pem")).unwrap();
    let certificate = Certificate::from_pem_file(path("keys/merchant_certificate.pem")).unwrap();
    assert_error!(
        FileKeySigner::with_certificate(key, &certificate).unwrap_err(),
        KeyError::CertificateMismatch { .. },
        "made together"
    );
}

#[test]
fn an_expired_platform_certificate() {
    let certificate = Certificate::from_pem_file(path("keys/wechat_pay_certificate.pem")).unwrap();
    assert_eq!(certificate.serial_no().as_str(), "440024045C4A427599D09BB4E3DE0279F2E813FD");
    let last = certificate.not_after();
    assert_eq!(last.as_unix_secs(), 1_746_756_270);
    assert_error!(
        KeyRing::new().insert_certificate(&certificate).unwrap_err(),
        KeyError::CertificateExpired { .. },
        "valid now"
    );
    let after = Timestamp::from_unix_secs(last.as_unix_secs() + 1);
    assert!(KeyRing::with_clock(move || after).insert_certificate(&certificate).is_err());
    assert!(KeyRing::with_clock(move || last).insert_certificate(&certificate).is_ok());
}

#[test]
fn names_that_cannot_be_right() {
    let mchid = |given| Mchid::new(given).expect_err(given);
    assert_eq!(mchid(""), MchidError::Empty);
    assert!(matches!(mchid("wx678efh567hg6787"), MchidError::NotADigit { position: 0, .. }));
    assert!(matches!(mchid("1900007291\n"), MchidError::NotADigit { position: 10, .. }));
    assert!(mchid("x").hint().contains("商户号"), "{}", mchid("x").hint());

    let serial_no = |given| SerialNo::new(given).expect_err(given);
    let malformed = [
        ("", SerialNoError::WrongLength { length: 0 }),
        ("408B07E79B8269FEC3D5", SerialNoError::WrongLength { length: 20 }),
        ("40:8B:07:E7:9B:82:69:FE", SerialNoError::NotHex { position: 2 }),
        ("serial=408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB", SerialNoError::NotHex { position: 0 }),
    ];
    for (given, error) in malformed {
        assert!(error.hint().contains("without colons"), "{}", error.hint());
        assert_eq!(serial_no(given), error);
    }
    let public_key_id = serial_no("PUB_KEY_ID_0000000000000024101100397200000006");
    assert_eq!(public_key_id, SerialNoError::PublicKeyId);
    assert!(public_key_id.hint().contains("openssl x509 -in apiclient_cert.pem"));
    assert!(public_key_id.hint().contains("verifies responses"), "{}", public_key_id.hint());

    for given in ["", "apiclient_cert.pem", "40:8B:07:E7:9B:82:69:FE", "PUB_KEY_ID_"] {
        let hint = WechatpaySerial::new(given).expect_err(given).hint();
        assert!(hint.contains("PUB_KEY_ID_…"), "{hint}");
    }
}
