//! One key in several forms: PKCS#1 and PKCS#8, different line ends, different text around it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth_core::{Certificate, KeyError, PrivateKey, PublicKey, SerialNo};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// Returns the text between the BEGIN and END lines.
fn base64_of(name: &str) -> String {
    text(name).lines().filter(|line| !line.starts_with("-----")).collect()
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
    let name = "keys/merchant_private_key.pem";
    let (original, body) = (text(name), base64_of(name));
    let key = PrivateKey::from_pem(&original).unwrap();
    let armoured =
        |body: &str| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
    let in_lines = |width: usize, end: &str| {
        let lines: Vec<_> =
            (0..body.len()).step_by(width).map(|i| &body[i..body.len().min(i + width)]).collect();
        armoured(&lines.join(end))
    };
    for (what, pem) in [
        ("CRLF", original.replace('\n', "\r\n")),
        ("CR", original.replace('\n', "\r")),
        ("one line", armoured(&body)),
        ("one character a line", in_lines(1, "\n")),
        ("76 characters a line", in_lines(76, "\r\n")),
        ("blanks and tabs", in_lines(20, "  \n\t")),
        ("a byte order mark", format!("\u{feff}{original}")),
        ("text around it", format!("Bag Attributes\n  localKeyID: 01\n{original}\nthe end")),
        ("line ends of a variable", original.replace('\n', "\\n")),
        ("the certificate before it", text("keys/merchant_certificate.pem") + &original),
    ] {
        let read = PrivateKey::from_pem(&pem).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(read.public_key(), key.public_key(), "{what}");
        assert_eq!(read.sign(b"message").unwrap(), key.sign(b"message").unwrap(), "{what}");
    }
}

/// As `openssl pkcs12` writes a Chinese key name from Windows.
#[test]
fn what_stands_around_a_key_need_not_be_utf_8() {
    let pem = fs::read(path("keys/merchant_private_key.pem")).unwrap();
    let key = PrivateKey::from_pem(&pem).unwrap();
    let bag = b"Bag Attributes\n    friendlyName: \xc9\xcc\xbb\xa7\xd6\xa4\xca\xe9\n".as_slice();
    for pem in [[bag, &pem].concat(), [&pem, bag].concat()] {
        assert_eq!(PrivateKey::from_pem(pem).unwrap().public_key(), key.public_key());
    }
    let certificate = fs::read(path("keys/merchant_certificate.pem")).unwrap();
    assert!(Certificate::from_pem([bag, &certificate].concat()).is_ok());
    let public = fs::read(path("keys/wechat_pay_public_key.pem")).unwrap();
    assert!(PublicKey::from_pem([bag, &public].concat()).is_ok());
}

#[test]
fn a_short_serial_is_padded() {
    let certificate = Certificate::from_pem_file(path("odd/short_serial.pem")).unwrap();
    assert_eq!(certificate.serial_no().as_str(), format!("{:0>40}", "A01"));
}

/// `openssl x509 -serial` prints 38 digits for a serial that begins with a zero byte.
#[test]
fn a_serial_of_38_digits_is_that_of_its_certificate() {
    let digits = "0A".repeat(19);
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(vec![0x0a; 19].into());
    let key = rcgen::KeyPair::from_pem(&text("keys/merchant_private_key.pem")).unwrap();
    let certificate = Certificate::from_pem(params.self_signed(&key).unwrap().pem()).unwrap();
    assert_eq!(&SerialNo::new(digits).unwrap(), certificate.serial_no());
}

#[test]
fn a_public_key_in_der() {
    let name = "keys/wechat_pay_public_key.pem";
    let key = PublicKey::from_pem_file(path(name)).unwrap();
    let der = STANDARD.decode(base64_of(name)).unwrap();
    assert_eq!(PublicKey::from_spki_der(&der).unwrap(), key);

    let of_ec = STANDARD.decode(base64_of("odd/ec_public.pem")).unwrap();
    let refused = PublicKey::from_spki_der(&of_ec).unwrap_err();
    assert!(matches!(refused, KeyError::NotRsa { .. }), "{refused:?}");
    for cut in [0, 1, 20, der.len() - 1] {
        let refused = PublicKey::from_spki_der(&der[..cut]).unwrap_err();
        assert!(matches!(refused, KeyError::Malformed { .. }), "{cut} bytes: {refused:?}");
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert!(PublicKey::from_spki_der(&longer).is_err(), "nothing may follow");
}

#[test]
fn a_certificate_has_the_key_that_it_was_made_for() {
    let certificate = Certificate::from_pem_file(path("keys/wechat_pay_certificate.pem")).unwrap();
    let key = PublicKey::from_pem_file(path("keys/wechat_pay_public_key.pem")).unwrap();
    assert_eq!(certificate.public_key(), &key);
    // As `openssl x509 -noout -dates` prints them: 10 May 2022 and 9 May 2025, 02:04:30 GMT.
    assert_eq!(certificate.not_before().as_unix_secs(), 1_652_148_270);
    assert_eq!(certificate.not_after().as_unix_secs(), 1_746_756_270);
    let der = STANDARD.decode(base64_of("keys/wechat_pay_certificate.pem")).unwrap();
    assert_eq!(Certificate::from_der(&der).unwrap(), certificate);
}
