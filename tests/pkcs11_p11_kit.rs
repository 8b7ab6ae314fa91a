//! A signer on tokens behind p11-kit.

use std::process::Command;

use wxpay_auth::pkcs11::{Pin, Pkcs11Error, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::chain;
use wxpay_tests::load::{Load, only};
use wxpay_tests::token::{PIN, Server, Token, alone, certificate};
use wxpay_tests::token_checks::{
    comes_and_goes, conforms, connect, shares, survives_closed_sessions, survives_logouts,
    terminates,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn p11_kit_client_does_what_tokens_do() {
    let _alone = alone().await;
    let token = Token::p11_kit_client().faulty();
    conforms(&token).await;
    terminates(&token).await;
    shares(&token).await;
    comes_and_goes(&token, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn p11_kit_proxy_does_what_tokens_do() {
    let _alone = alone().await;
    for label in ["served", "tpm"] {
        let token = Token::p11_kit_proxy(label).faulty();
        conforms(&token).await;
        terminates(&token).await;
        shares(&token).await;
        comes_and_goes(&token, 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn logouts_on_p11_kit_client() {
    survives_logouts(&Token::p11_kit_client().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn logouts_on_p11_kit_proxy() {
    survives_logouts(&Token::p11_kit_proxy("served").faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn all_sessions_closed_on_p11_kit_client() {
    survives_closed_sessions(&Token::p11_kit_client().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn all_sessions_closed_on_p11_kit_proxy() {
    survives_closed_sessions(&Token::p11_kit_proxy("served").faulty(), 20, 100).await;
}

/// The numbers of its slots are positions: with one token more, those behind it move when the module is restarted.
/// Neither the signer nor what is known of PINs goes by them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn slots_of_p11_kit_proxy_move() {
    let _alone = alone().await;
    let (token, tpm) = (Token::p11_kit_proxy("tpm").faulty(), Server::tpm());
    let wrong = || Pkcs11Signer::builder(token.merchant().pin(Pin::new("wr0ng"))).connect();
    let error = wrong().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::PinRefused { sent: true, .. }), "{}", chain(&error));
    let signer = connect(&token).await;
    let (_, before) = token.back_door();

    let new_token = ["--init-token", "--free", "--label", "new", "--so-pin", "12345678"];
    let made = Command::new("softhsm2-util").args(new_token).args(["--pin", PIN]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let load = Load::start(&signer);
    load.sign_on(20).await;
    tpm.kill();
    tpm.start();
    load.sign_on(100).await;
    only(&load.stop().await, &[SignErrorKind::Unavailable, SignErrorKind::SessionLost]);
    let (_, after) = token.back_door();
    assert_ne!(before, after);
    signer.shut_down().await.unwrap();
    let error = wrong().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::PinRefused { sent: false, .. }), "{}", chain(&error));
}

/// With the process that serves the client. The client finds the new server when it is initialised anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn p11_kit_client_loses_its_server() {
    let _alone = alone().await;
    let (signer, server) = (connect(&Token::p11_kit_client().faulty()).await, Server::p11_kit());
    let load = Load::start(&signer);
    for _ in 0..2 {
        load.sign_on(100).await;
        server.kill();
        load.fail_on(500).await;
        server.start();
        load.sign_on(200).await;
    }
    only(&load.stop().await, &[SignErrorKind::Unavailable, SignErrorKind::SessionLost]);
    signer.shut_down().await.unwrap();
}

/// Without a server, the client comes up and shows no slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn the_server_of_p11_kit_client_comes_late() {
    let _alone = alone().await;
    let (token, server) = (Token::p11_kit_client().faulty(), Server::p11_kit());
    connect(&token).await.shut_down().await.unwrap();
    server.kill();
    cryptoki::context::Pkcs11::new(&token.module).unwrap().finalize().unwrap();
    let connecting = || Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    let error = connecting().connect().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::TokenNotFound { .. }), "{}", chain(&error));
    server.start();
    let signer = loop {
        // Restarts are spaced out.
        match connecting().connect().await {
            Ok(signer) => break signer,
            Err(error) => assert!(matches!(error, Pkcs11Error::TokenNotFound { .. }), "{error}"),
        }
    };
    signer.sign(b"message").await.unwrap();
    signer.shut_down().await.unwrap();
}
