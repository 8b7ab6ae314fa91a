//! Checks with OpenSSL: certificate requests, and encrypted fields.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth::{Certificate, CertificateRequest, CertificateSubject, PublicKey, Signer};

/// Lets a signer sign a certificate request, and checks with OpenSSL the signature, the subject, the key, and
/// a certificate issued from it.
pub async fn check_request(
    subject: &CertificateSubject,
    public_key: &PublicKey,
    signer: &dyn Signer,
) -> CertificateRequest {
    let request = CertificateRequest::sign(subject, public_key, signer).await.expect("a request");
    let pem = request.to_pem();
    let verified = openssl(&["req", "-verify", "-noout"], &pem);
    assert_eq!(verified.stderr.trim(), "Certificate request self-signature verify OK");

    let name =
        openssl(&["req", "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus_space"], &pem);
    assert_eq!(name.stdout.trim(), format!("subject={subject}"));

    let key = openssl(&["req", "-noout", "-pubkey"], &pem).stdout;
    assert_eq!(PublicKey::from_pem(key).expect("a key"), *public_key);

    // An OpenSSL authority issues a certificate from it.
    let dir =
        std::env::temp_dir().join(format!("wxpay-ca-{}-{:p}", std::process::id(), &raw const pem));
    std::fs::create_dir_all(&dir).expect("a folder");
    let file = |name: &str| dir.join(name).to_str().expect("text").to_owned();
    let (ca_key, ca) = (file("ca.key"), file("ca.pem"));
    let new_ca =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1"];
    openssl(&[&new_ca[..], &["-keyout", &ca_key, "-out", &ca]].concat(), "");
    let sign =
        ["x509", "-req", "-days", "1", "-set_serial", "0x5F1C72E2A8931B72A2E13AF8DEE92471EB397115"];
    let issued = openssl(&[&sign[..], &["-CA", &ca, "-CAkey", &ca_key]].concat(), &pem).stdout;
    let key = openssl(&["x509", "-noout", "-pubkey"], &issued).stdout;
    assert_eq!(PublicKey::from_pem(key).expect("a key"), *public_key);
    let certificate = Certificate::from_pem(&issued).expect("a certificate");
    certificate.require_key(public_key).expect("the key's certificate");
    assert_eq!(certificate.serial_no().as_str(), "5F1C72E2A8931B72A2E13AF8DEE92471EB397115");
    let _ = std::fs::remove_dir_all(&dir);
    request
}

/// Encrypts a field as WeChat Pay does, with the key of a certificate in PEM. Returns Base64.
pub fn encrypt_field(certificate_pem: &str, text: &str) -> String {
    let certificate = KeyFile::new(certificate_pem);
    let key = ["pkeyutl", "-encrypt", "-certin", "-inkey", certificate.path()];
    STANDARD.encode(run(&[&key[..], &OAEP_SHA1].concat(), text.as_bytes()).0)
}

/// Decrypts a field in Base64, with a private key in PEM.
pub fn decrypt_field(key_pem: &str, field: &str) -> String {
    let key = KeyFile::new(key_pem);
    let key = ["pkeyutl", "-decrypt", "-inkey", key.path()];
    let ciphertext = STANDARD.decode(field).expect("Base64");
    String::from_utf8(run(&[&key[..], &OAEP_SHA1].concat(), &ciphertext).0).expect("text")
}

const OAEP_SHA1: [&str; 4] = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1"];

/// A key or certificate in a file, which is deleted on drop.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(pem: &str) -> Self {
        let name = format!("wxpay-openssl-{}-{:p}", std::process::id(), pem.as_ptr());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, pem).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Said {
    stdout: String,
    stderr: String,
}

fn openssl(arguments: &[&str], input: &str) -> Said {
    let (stdout, stderr) = run(arguments, input.as_bytes());
    Said { stdout: String::from_utf8(stdout).expect("text"), stderr }
}

/// Runs OpenSSL, and returns what it wrote to its standard output and error.
fn run(arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("a pipe").write_all(input).expect("an open pipe");
    let output = child.wait_with_output().expect("an end");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "openssl {arguments:?}: {stderr}");
    (output.stdout, stderr)
}
