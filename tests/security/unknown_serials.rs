//! Responses that name certificates that do not exist.

use std::time::Duration;

use tokio::task::JoinSet;
use wxpay_security::RenewingVerifier;
use wxpay_testing::{Gateway, Misbehaviour, SignWith};
use wxpay_tests::requests::list;
use wxpay_transport::Transport;

use crate::merchant::{downloads_of, merchant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_them_causes_one_download() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let (certificates, downloads) = merchant(&gateway);
    certificates.refresh().await.unwrap();
    let verifier = RenewingVerifier::new(certificates)
        .with_min_interval(Duration::from_secs(3600))
        .with_max_wait(Duration::from_secs(60));
    let client = downloads.with_verifier(verifier);

    let held = gateway.platform_certificates()[0].clone();
    for made_up in ["0C4AEF34B89340881BB2B25226393DC2E47F094B", "5F", "7000"] {
        gateway.sign_with(SignWith::Certificate(made_up.parse().unwrap()));
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let client = client.clone();
            calls.spawn(async move { client.send(list()).await });
        }
        while let Some(ended) = calls.join_next().await {
            ended.unwrap().unwrap_err();
        }
        assert_eq!(downloads_of(&gateway), 2, "{made_up}");
    }
    gateway.sign_with(SignWith::Certificate(held));
    client.send(list()).await.unwrap();
}

#[tokio::test]
async fn probes_and_unknown_public_keys_cause_none() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let (certificates, downloads) = merchant(&gateway);
    certificates.refresh().await.unwrap();
    let client = downloads.with_verifier(RenewingVerifier::new(certificates));
    for misbehaviour in [
        Misbehaviour::Probe,
        Misbehaviour::UnknownSerial,
        Misbehaviour::Unsigned,
        Misbehaviour::MalformedSignature,
        Misbehaviour::TamperedBody,
    ] {
        gateway.misbehave_once(misbehaviour);
        client.send(list()).await.unwrap_err();
    }
    assert_eq!(downloads_of(&gateway), 1);
}
