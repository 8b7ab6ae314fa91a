//! A signer on tokens behind p11-kit.

use wxpay_auth::pkcs11::Pkcs11Signer;
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::load::{Load, only};
use wxpay_tests::token::{Server, Token, certificate};
use wxpay_tests::token_checks::{
    comes_and_goes, conforms, connect, connect_at_last, shares, survives_closed_sessions,
    survives_logouts, terminates,
};
use wxpay_tests::{alone, chain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn p11_kit_client_does_what_tokens_do() {
    alone!();
    let token = Token::p11_kit_client().faulty();
    conforms(&token).await;
    terminates(&token).await;
    shares(&token).await;
    comes_and_goes(&token, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn p11_kit_proxy_does_what_tokens_do() {
    alone!();
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
    alone!();
    survives_logouts(&Token::p11_kit_client().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn logouts_on_p11_kit_proxy() {
    alone!();
    survives_logouts(&Token::p11_kit_proxy("served").faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn all_sessions_closed_on_p11_kit_client() {
    alone!();
    survives_closed_sessions(&Token::p11_kit_client().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-proxy: run scripts/test"]
async fn all_sessions_closed_on_p11_kit_proxy() {
    alone!();
    survives_closed_sessions(&Token::p11_kit_proxy("served").faulty(), 20, 100).await;
}

/// Together with the process that serves the client. The client finds the new server when it is initialised
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn the_server_of_p11_kit_client_is_killed() {
    alone!();
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

/// A client that starts before its server shows no slot until it is initialised again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client: run scripts/test"]
async fn the_server_of_p11_kit_client_comes_late() {
    alone!();
    let (token, server) = (Token::p11_kit_client().faulty(), Server::p11_kit());
    server.kill();
    let connecting = Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    let error = connecting.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
    server.start();
    let signer = connect_at_last(&token).await;
    signer.sign(b"message").await.unwrap();
    signer.shut_down().await.unwrap();
}
