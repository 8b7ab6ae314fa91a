//! The command that an error names for a `.p12` file.

use std::process::Command;

use wxpay_auth::{KeyError, PrivateKey};
use wxpay_testing::Gateway;

/// WeChat Pay encrypts keys with RC2, as was usual: OpenSSL 3 opens such a file only with `-legacy`.
#[tokio::test]
#[ignore = "needs openssl: run scripts/test"]
async fn the_command_of_the_hint_opens_an_old_file() {
    let gateway = Gateway::start().await;
    let dir = std::env::temp_dir().join(format!("wxpay-pkcs12-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("key.pem"), gateway.merchant_key_pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), gateway.merchant_certificate_pem()).unwrap();
    let run = |command: &str| {
        let mut words = command.split_whitespace();
        let output = Command::new(words.next().unwrap()).args(words).current_dir(&dir).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("openssl pkcs12 -export -legacy -inkey key.pem -in cert.pem -out apiclient_cert.p12 \
         -passout pass:1900007291");

    let p12 = dir.join("apiclient_cert.p12");
    let error = PrivateKey::from_pem_file(&p12).unwrap_err();
    assert!(matches!(error, KeyError::NoPem), "{error}");
    let (_, command) = error.hint().split_once(": ").unwrap();
    let (command, _) = command.split_once(" (before").unwrap();
    run(&format!("{command} -passin pass:1900007291"));
    let key = PrivateKey::from_pem_file(dir.join("apiclient_key.pem")).unwrap();
    let expected = PrivateKey::from_pem(gateway.merchant_key_pem()).unwrap();
    assert_eq!(key.public_key(), expected.public_key());
    std::fs::remove_dir_all(&dir).unwrap();
}
