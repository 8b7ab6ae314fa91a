//! Secrets that systemd passes to a service: `LoadCredential=`.

use std::path::{Path, PathBuf};

use wxpay_auth::pkcs11::{Pin, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer, signer_from_uri};
use wxpay_tests::token::{PIN, Token, certificate, reference, variable};
use wxpay_tests::{chain, own_process, this_test};

const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Runs the test of this name again, as a service with these credentials.
fn as_a_service(test: &str, credentials: &[(&str, &str)]) {
    let name = format!("wxpay-{}-{}", test.replace("::", "-"), std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    std::fs::create_dir_all(&folder.0).unwrap();
    for (name, content) in credentials {
        write(&folder.0.join(name), content);
    }
    own_process::run(test, &[(DIRECTORY, folder.0.as_os_str())]);
}

/// Deletes the folder when the test ends, even by a panic.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// systemd grants the service access with an access list, which appears as group permissions.
fn write(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o440)).unwrap();
}

fn is_service() -> bool {
    std::env::var_os(DIRECTORY).is_some()
}

#[tokio::test]
async fn keys_certificates_and_tokens_are_credentials() {
    let file = "file:credential:apiclient_key?certificate=credential:apiclient_cert";
    let vault = "vault:merchant?address=http://127.0.0.1:1&token_file=credential:vault_token&serial_no=\
                 5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
    if !is_service() {
        for address in [file, vault] {
            let error = signer_from_uri(address).await.unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
            assert!(
                chain(&error).contains("$CREDENTIALS_DIRECTORY is not set"),
                "{}",
                chain(&error)
            );
            assert!(error.hint().contains("LoadCredential="), "{}", error.hint());
        }
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wxpay-auth-core/testdata/keys");
        let read = |name: &str| std::fs::read_to_string(format!("{keys}/{name}")).unwrap();
        let credentials = [
            ("apiclient_key", read("merchant_private_key.pem")),
            ("apiclient_cert", read("issued_merchant_certificate.pem")),
            ("vault_token", "hvs.token".to_owned()),
        ];
        let credentials: Vec<_> = credentials.iter().map(|(name, text)| (*name, &**text)).collect();
        return as_a_service(&this_test!(), &credentials);
    }
    let log = wxpay_tests::log::Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let signer = signer_from_uri(file).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    let signature = signer.sign(b"message").await.unwrap();
    assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
    assert_eq!(signature.serial_no(), certificate().serial_no());
    // There is no server, so the token has been read.
    let error = signer_from_uri(vault).await.unwrap_err();
    assert_ne!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    let missing =
        signer_from_uri("file:credential:other?certificate=credential:apiclient_cert").await;
    assert_eq!(missing.unwrap_err().kind(), SignErrorKind::Configuration);
    assert!(!log.text().contains("can read"), "{}", log.text());
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_pin_is_a_credential() {
    let token = Token::softhsm("main");
    let module = variable("WXPAY_TEST_SOFTHSM");
    let uri = format!(
        "pkcs11:token=main;object=merchant?module-path={module}&pin-source=credential:hsm_pin"
    );
    let builder = Pkcs11Signer::builder(token.merchant().pin(Pin::credential("hsm_pin")));
    if !is_service() {
        for error in
            [Pkcs11Signer::connect(&uri).await.unwrap_err(), builder.connect().await.unwrap_err()]
        {
            assert!(
                chain(&error).contains("$CREDENTIALS_DIRECTORY is not set"),
                "{}",
                chain(&error)
            );
            assert!(error.hint().contains("LoadCredential="), "{}", error.hint());
        }
        return as_a_service(&this_test!(), &[("hsm_pin", &format!("{PIN}\n"))]);
    }
    for signer in [Pkcs11Signer::connect(&uri).await, builder.connect().await] {
        signer.unwrap_or_else(|e| panic!("{}", chain(&e))).shut_down().await.unwrap();
    }
}
