//! Each wrong input has its own error, which says what to do.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

use wxpay_auth::{
    Certificate, FileKeySigner, KeyError, KeyMaterial, KeyRing, PrivateKey, PublicKey, Timestamp,
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
    // A folder can be opened, and not read, by whoever asks.
    assert_error!(private("keys"), KeyError::Unreadable { .. }, "right to read");
    assert!(private("keys/nothing.pem").to_string().contains("nothing.pem"));

    let large = std::env::temp_dir().join(format!("wxpay-large-{}", std::process::id()));
    fs::write(&large, vec![b'x'; (1 << 20) + 1]).unwrap();
    let error = PrivateKey::from_pem_file(&large).unwrap_err();
    fs::remove_file(&large).unwrap();
    assert!(matches!(error, KeyError::Unreadable { .. }), "{error:?}");
}

#[test]
fn files_that_only_their_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let file = std::env::temp_dir().join(format!("wxpay-forbidden-{}", std::process::id()));
    fs::copy(path("keys/merchant_private_key.pem"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads everything: for anybody else it is an error with its own name.
    let may_read = fs::File::open(&file).is_ok();
    let key = PrivateKey::from_pem_file(&file);
    fs::remove_file(&file).unwrap();
    match key {
        Ok(_) => assert!(may_read),
        Err(error) => assert!(matches!(error, KeyError::Unreadable { .. }), "{error:?}"),
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

/// Changes the text between the armour.
fn with_body(name: &str, change: impl Fn(&str) -> String) -> String {
    let pem = fs::read_to_string(path(name)).unwrap();
    let body = pem.lines().filter(|l| !l.starts_with("-----")).collect::<Vec<_>>().join("\n");
    pem.replace(&body, &change(&body))
}

#[test]
fn damaged_keys() {
    let key = "keys/merchant_private_key.pem";
    let cut = with_body(key, |body| body[..body.len() / 2].to_owned());
    let garbage = with_body(key, |body| body.replace('A', "*"));
    let letters = with_body(key, |body| body.replace('A', "B"));
    let no_end = fs::read_to_string(path(key)).unwrap().replace("-----END", "");
    for pem in [cut, garbage, letters, no_end] {
        assert_error!(
            PrivateKey::from_pem(pem).unwrap_err(),
            KeyError::Malformed { .. },
            "get the file anew"
        );
    }
    let cut = with_body("keys/merchant_certificate.pem", |body| body[..200].to_owned());
    assert_error!(
        Certificate::from_pem(cut).unwrap_err(),
        KeyError::Malformed { .. },
        "get the file anew"
    );
    let cut = with_body("keys/wechat_pay_public_key.pem", |body| body[..200].to_owned());
    assert_error!(PublicKey::from_pem(cut).unwrap_err(), KeyError::Malformed { .. }, "anew");
}

#[test]
fn numbers_that_do_not_fit_each_other() {
    use base64::Engine;
    let pem = fs::read_to_string(path("odd/merchant_pkcs1.pem")).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    // In the middle of one of the primes.
    let position = der.len() - 500;
    der[position] ^= 4;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n");
    assert_error!(PrivateKey::from_pem(pem).unwrap_err(), KeyError::Malformed { .. }, "anew");
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
fn the_forms_of_one_key_are_equal() {
    let pkcs8 = PrivateKey::from_pem_file(path("keys/merchant_private_key.pem")).unwrap();
    let pkcs1 = PrivateKey::from_pem_file(path("odd/merchant_pkcs1.pem")).unwrap();
    assert_eq!(pkcs8.public_key(), pkcs1.public_key());
    assert_eq!(pkcs8.sign(b"message").unwrap(), pkcs1.sign(b"message").unwrap());

    let spki = PublicKey::from_pem_file(path("keys/wechat_pay_public_key.pem")).unwrap();
    let pkcs1 = PublicKey::from_pem_file(path("odd/wechat_pay_public_pkcs1.pem")).unwrap();
    assert_eq!(spki, pkcs1);
    assert_ne!(&spki, pkcs8.public_key());
}

#[test]
fn other_line_ends_and_widths_are_read() {
    let key = "keys/merchant_private_key.pem";
    let original = PrivateKey::from_pem_file(path(key)).unwrap();
    let crlf = fs::read_to_string(path(key)).unwrap().replace('\n', "\r\n");
    let one_line = with_body(key, |body| body.replace('\n', ""));
    let narrow = with_body(key, |body| {
        let body = body.replace('\n', "");
        let lines: Vec<&str> =
            (0..body.len()).step_by(20).map(|i| &body[i..body.len().min(i + 20)]).collect();
        lines.join("  \n\t")
    });
    let surrounded =
        format!("Bag Attributes\n  key: x\n{}\ntrailing", fs::read_to_string(path(key)).unwrap());
    for pem in [crlf, one_line, narrow, surrounded] {
        assert_eq!(PrivateKey::from_pem(&pem).unwrap().public_key(), original.public_key());
    }
}

#[test]
fn a_short_serial_is_padded() {
    let certificate = Certificate::from_pem_file(path("odd/short_serial.pem")).unwrap();
    assert_eq!(certificate.serial_no().as_str(), format!("{:0>40}", "A01"));
}
