//! The warning about a private key that others than its owner can read.
//!
//! A program of its own: these tests subscribe on their own thread only, and `tracing` may disable a call site for
//! good when another thread without a subscriber reaches it first.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]
#![cfg(unix)]

mod log;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use log::Log;
use wxpay_auth_core::{Certificate, FileKeySigner, KeyError, PrivateKey, PublicKey};

const KEY: &str = include_str!("../testdata/keys/merchant_private_key.pem");
const CERTIFICATE: &str = include_str!("../testdata/keys/merchant_certificate.pem");
const PUBLIC_KEY: &str = include_str!("../testdata/keys/wechat_pay_public_key.pem");

/// Returns everything that is logged, at all levels.
fn log_of(work: impl FnOnce()) -> String {
    let log = Log::default();
    tracing::subscriber::with_default(log.subscriber(), work);
    log.text()
}

/// A file that is removed when dropped, also if a test fails.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, content: &str, mode: u32) -> Self {
        let name = format!("wxpay-{name}-{}.pem", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        fs::write(&file.0, content).unwrap();
        fs::set_permissions(&file.0, Permissions::from_mode(mode)).unwrap();
        file
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn it_names_the_file_and_shows_nothing_of_it() {
    for (mode, warns) in
        [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o644, true)]
    {
        let file = TemporaryFile::new("exposed", KEY, mode);
        let text = log_of(|| {
            PrivateKey::from_pem_file(&file.0).expect("it is read all the same");
        });
        assert_eq!(text.contains("WARN"), warns, "{mode:o}: {text}");
        assert_eq!(text.contains("other users can read this private key"), warns, "{text}");
        assert_eq!(text.contains(&file.0.display().to_string()), warns, "{text}");
        assert_eq!(text.contains("chmod 600"), warns, "{text}");
        assert_eq!(text.contains(&format!("mode={mode:03o}")), warns, "{text}");
        let shown = KEY.lines().find(|line| text.contains(line));
        assert_eq!(shown, None, "{text}");
    }
}

#[test]
fn every_way_to_read_a_private_key_gives_it_once() {
    let file = TemporaryFile::new("every-way", KEY, 0o644);
    let serial_no = Certificate::from_pem(CERTIFICATE).unwrap().serial_no().clone();
    let text = log_of(|| {
        FileKeySigner::from_pem_file(&file.0, serial_no).unwrap();
    });
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    // A file that is not a usable key may still have exposed one.
    let file =
        TemporaryFile::new("encrypted", &KEY.replace(" PRIVATE", " ENCRYPTED PRIVATE"), 0o644);
    let text = log_of(|| {
        let refused = PrivateKey::from_pem_file(&file.0).unwrap_err();
        assert!(matches!(refused, KeyError::Encrypted), "{refused:?}");
    });
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
}

#[test]
fn what_is_public_gives_none() {
    let certificate = TemporaryFile::new("certificate", CERTIFICATE, 0o644);
    let public_key = TemporaryFile::new("public-key", PUBLIC_KEY, 0o644);
    let text = log_of(|| {
        Certificate::from_pem_file(&certificate.0).unwrap();
        PublicKey::from_pem_file(&public_key.0).unwrap();
    });
    assert_eq!(text, "");
}
