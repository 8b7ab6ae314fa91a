//! A signer on a TPM.

use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::born::the_whole_way;
use wxpay_tests::load::{Load, only};
use wxpay_tests::token::{Server, Token, certificate};
use wxpay_tests::token_checks::{
    comes_and_goes, conforms, connect, connect_at_last, shares, survives_logouts, terminates,
};
use wxpay_tests::{alone, chain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11 and swtpm: run scripts/test"]
async fn tpm_does_what_tokens_do() {
    alone!();
    let token = Token::tpm().faulty();
    conforms(&token).await;
    terminates(&token).await;
    shares(&token).await;
    comes_and_goes(&token, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11 and swtpm: run scripts/test"]
async fn logouts_on_tpm() {
    alone!();
    survives_logouts(&Token::tpm().faulty(), 5, 50).await;
}

/// The module finds a TPM that was absent only after it is initialised again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11 and swtpm: run scripts/test"]
async fn tpm_restarts() {
    alone!();
    let (signer, tpm) = (connect(&Token::tpm().faulty()).await, Server::tpm());
    let load = Load::start(&signer);
    // Between two signatures.
    load.sign_on(50).await;
    tpm.kill();
    tpm.start();
    load.sign_on(100).await;
    only(&load.kinds(), &[SignErrorKind::Unavailable, SignErrorKind::SessionLost]);

    // The TPM is absent, and the module does not initialise: callers get this error.
    let lost = || load.kinds().get("session lost").copied().unwrap_or_default();
    let before = lost();
    tpm.kill();
    load.fail_on(500).await;
    only(&load.kinds(), &[SignErrorKind::Unavailable, SignErrorKind::SessionLost]);
    // Each task may have been signing.
    assert!(lost() - before <= 64, "{:?}", load.kinds());
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(
        chain(&error).ends_with("C_Initialize answered CKR_GENERAL_ERROR"),
        "{}",
        chain(&error)
    );
    tpm.start();
    load.sign_on(100).await;
    only(&load.stop().await, &[SignErrorKind::Unavailable, SignErrorKind::SessionLost]);
    signer.shut_down().await.unwrap();
}

/// No user is logged in, so the first call that notices is a login. It must not block the PIN for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11 and swtpm: run scripts/test"]
async fn tpm_restarts_before_a_login() {
    alone!();
    let (token, tpm) = (Token::tpm().faulty(), Server::tpm());
    connect(&token).await.shut_down().await.unwrap();
    tpm.kill();
    let connecting = Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    let error = connecting.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
    tpm.start();
    let signer = connect_at_last(&token).await;
    signer.sign(b"message").await.unwrap();
    signer.shut_down().await.unwrap();
}

/// Both usages are one attribute there: a key that cannot encrypt cannot verify either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11 and swtpm: run scripts/test"]
async fn tpm_makes_no_key_that_only_signs() {
    alone!();
    let uri = Token::tpm().faulty().uri().object("sign only");
    let error = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::SignOnlyKeyRefused { .. }), "{}", chain(&error));
    assert_eq!(error.kind(), SignErrorKind::Unsupported);
    assert!(error.hint().contains("SignAndDecrypt"), "{}", error.hint());
    let found = Pkcs11KeyPair::find(uri).await;
    assert!(matches!(found, Err(Pkcs11Error::KeyNotFound { .. })), "{found:?}");
}

/// With the key usage that a TPM supports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11, swtpm and openssl: run scripts/test"]
async fn the_whole_way_on_tpm() {
    alone!();
    the_whole_way(&Token::tpm().faulty(), Pkcs11KeyUsage::SignAndDecrypt).await;
}
