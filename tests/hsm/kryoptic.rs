//! A signer on kryoptic.

use wxpay_auth::Signer;
use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11Signer};
use wxpay_tests::token::{Token, certificate, variable};
use wxpay_tests::token_checks::{
    comes_and_goes, conforms, connect, connect_at_last, shares, survives_closed_sessions,
    survives_logouts, terminates,
};
use wxpay_tests::{alone, chain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kryoptic: run scripts/test"]
async fn kryoptic_does_what_tokens_do() {
    alone!();
    let token = Token::kryoptic().faulty();
    conforms(&token).await;
    terminates(&token).await;
    shares(&token).await;
    comes_and_goes(&token, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kryoptic: run scripts/test"]
async fn logouts_on_kryoptic() {
    alone!();
    survives_logouts(&Token::kryoptic().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kryoptic: run scripts/test"]
async fn all_sessions_closed_on_kryoptic() {
    alone!();
    survives_closed_sessions(&Token::kryoptic().faulty(), 20, 100).await;
}

/// Without its settings, it initialises and shows no slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kryoptic: run scripts/test"]
async fn settings_of_kryoptic_come_late() {
    alone!();
    let token = Token::kryoptic().faulty();
    connect(&token).await.shut_down().await.unwrap();
    let settings = variable("KRYOPTIC_CONF");
    let away = format!("{settings}.away");
    std::fs::rename(&settings, &away).unwrap();
    cryptoki::context::Pkcs11::new(&token.module).unwrap().finalize().unwrap();
    let connecting = Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    let error = connecting.connect().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::TokenNotFound { .. }), "{}", chain(&error));
    std::fs::rename(&away, &settings).unwrap();
    let signer = connect_at_last(&token).await;
    signer.sign(b"message").await.unwrap();
    signer.shut_down().await.unwrap();
}
