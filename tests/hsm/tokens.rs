//! A signer on real tokens.

use wxpay_auth::Signer;
use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11KeyPair, Pkcs11Mechanism, Pkcs11Signer};
use wxpay_tests::log::Log;
use wxpay_tests::token::{PIN, Token, certificate, reference};
use wxpay_tests::token_checks::{
    comes_and_goes, conforms, conforms_with, connect_with, sign_at_once, terminates,
};
use wxpay_tests::{chain, own_process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn softhsm_conforms() {
    own_process!();
    conforms(&Token::softhsm("main")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn opencryptoki_conforms() {
    own_process!();
    let token = Token::opencryptoki();
    conforms_with(&token, Pkcs11Mechanism::RsaPkcs).await;
    let connected = Pkcs11Signer::builder(token.merchant())
        .certificate(certificate())
        .mechanism(Pkcs11Mechanism::Sha256RsaPkcs)
        .connect()
        .await;
    assert!(matches!(connected, Err(Pkcs11Error::Mechanism { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn softokn_conforms() {
    own_process!();
    conforms(&Token::softokn()).await;
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_plan_is_terminated_with_softhsm() {
    own_process!();
    terminates(&Token::softhsm("main")).await;
}

#[tokio::test]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn a_plan_is_terminated_with_opencryptoki() {
    own_process!();
    terminates(&Token::opencryptoki()).await;
}

#[tokio::test]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn a_plan_is_terminated_with_softokn() {
    own_process!();
    terminates(&Token::softokn()).await;
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_uri_is_enough_when_the_certificate_is_on_the_token() {
    own_process!();
    let token = Token::softhsm("main");
    let pin_file = std::env::temp_dir().join(format!("wxpay-pin-source-{}", std::process::id()));
    std::fs::write(&pin_file, format!("{PIN}\n")).unwrap();
    let uri = format!(
        "pkcs11:token=main;object=merchant;type=private?module-path={}&pin-source=file:{}",
        token.module.display(),
        pin_file.display(),
    );
    let signer = Pkcs11Signer::connect(&uri).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    std::fs::remove_file(&pin_file).unwrap();
    assert_eq!(signer.serial_no(), certificate().serial_no());
    assert_eq!(signer.public_key(), certificate().public_key());
    let signature = signer.sign(b"message").await.unwrap();
    assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
    signer.shut_down().await.unwrap();
}

/// Two keys on two tokens of one module, and a third module, all in one process at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM and opencryptoki: run scripts/test"]
async fn several_signers_share_modules_with_opencryptoki() {
    own_process!();
    let tokens = [
        Token::softhsm("main"),
        Token::softhsm("main"),
        Token::softhsm("other"),
        Token::opencryptoki(),
    ];
    let mut signers = Vec::new();
    for token in &tokens {
        signers.push(connect_with(token, Pkcs11Mechanism::RsaPkcs).await);
    }
    sign_at_once(&signers, 256).await;
    // Shutting down one signer does not affect the login of the other.
    signers.remove(0).shut_down().await.unwrap();
    signers[0].sign(b"still there").await.unwrap();
    for signer in signers {
        signer.shut_down().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn signers_come_and_go_on_softhsm() {
    own_process!();
    comes_and_goes(&Token::softhsm("main"), 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn signers_come_and_go_on_opencryptoki() {
    own_process!();
    comes_and_goes(&Token::opencryptoki(), 200).await;
}

/// Not even in the most verbose log.
#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn nothing_shows_the_pin() {
    own_process!();
    // For the whole process: the signer has its own threads.
    let log = Log::of_process();

    let token = Token::softhsm("main");
    let signer = connect_with(&token, Pkcs11Mechanism::RsaPkcs).await;
    signer.sign(b"message").await.unwrap();
    let pair = Pkcs11KeyPair::find(token.merchant()).await.unwrap();
    assert!(log.text().contains("connected to a PKCS#11 token"), "{}", log.text());
    for shown in [format!("{signer:?}"), format!("{pair:?}"), log.text()] {
        assert!(!shown.contains(PIN), "{shown}");
    }
    assert!(format!("{signer:?}").contains("5F1C72E2A8931B72A2E13AF8DEE92471EB397115"));
    signer.shut_down().await.unwrap();
}
