//! Checks of a signer on any token.

use std::sync::Arc;
use std::time::Duration;

use wxpay_auth::pkcs11::{Pkcs11Mechanism, Pkcs11Signer};
use wxpay_auth::{Certificate, SignErrorKind, Signer};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Gateway, PlanState, SignerConformance};
use wxpay_transport::{BaseUrl, Client, Outcome, Proxy};

use crate::load::{LIMIT, Load, only};
use crate::token::{Faults, PIN, Token, certificate, reference};
use crate::{chain, plan_id};

/// Connects like an application.
pub async fn connect(token: &Token) -> Pkcs11Signer {
    Pkcs11Signer::builder(token.merchant())
        .certificate(certificate())
        .connect()
        .await
        .unwrap_or_else(|e| panic!("{}: {}", token.name, chain(&e)))
}

/// Connects to a token that has just returned: restarts of its module are spaced out.
pub async fn connect_at_last(token: &Token) -> Pkcs11Signer {
    let connecting = async {
        loop {
            let builder = Pkcs11Signer::builder(token.merchant()).certificate(certificate());
            match builder.connect().await {
                Ok(signer) => return signer,
                Err(error) => {
                    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    tokio::time::timeout(LIMIT, connecting).await.expect("it does not return")
}

/// Connects a signer without a time limit: no check depends on the speed of a token.
pub async fn connect_with(token: &Token, mechanism: Pkcs11Mechanism) -> Pkcs11Signer {
    Pkcs11Signer::builder(token.merchant())
        .certificate(certificate())
        .mechanism(mechanism)
        .sign_timeout(Duration::from_secs(600))
        .connect()
        .await
        .unwrap_or_else(|e| panic!("{}: {}", token.name, chain(&e)))
}

/// Checks a token with both mechanisms.
pub async fn conforms(token: &Token) {
    conforms_with(token, Pkcs11Mechanism::RsaPkcs).await;
    conforms_with(token, Pkcs11Mechanism::Sha256RsaPkcs).await;
}

/// Checks that the signatures have the same bytes as those of the same key in this process, for messages of
/// any length, with many concurrent and cancelled callers.
pub async fn conforms_with(token: &Token, mechanism: Pkcs11Mechanism) {
    let signer = connect_with(token, mechanism).await;
    let conformance =
        SignerConformance::new(reference().public_key().clone(), certificate().serial_no().clone())
            .reference(reference())
            .limit(Duration::from_secs(300));
    conformance
        .check(Arc::new(signer.clone()))
        .await
        .unwrap_or_else(|e| panic!("{} with {mechanism}: {}", token.name, chain(&e)));
    assert_eq!(signer.waiting(), 0);
    signer.shut_down().await.unwrap();
    conformance
        .check_failing(Arc::new(signer), SignErrorKind::Unavailable, &[PIN])
        .await
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
}

/// Terminates a plan with the key in a token.
pub async fn terminates(token: &Token) {
    let gateway = Gateway::start().await;
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let signer =
        Pkcs11Signer::builder(token.merchant()).certificate(certificate).connect().await.unwrap();
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let plans: DeliveryPlans<Client<Pkcs11Signer, _>> = DeliveryPlans::new(client);
    plans.terminate(&plan_id("12000")).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated), "{}", token.name);

    // Without a signature from the token, nothing is sent.
    signer.shut_down().await.unwrap();
    let error = plans.terminate(&plan_id("12001")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(gateway.executions(), 1);
}

/// Signs this many messages concurrently, alternating between the signers, and verifies each signature.
pub async fn sign_at_once(signers: &[Pkcs11Signer], messages: u32) {
    let signing: Vec<_> = (0..messages)
        .map(|i| {
            let signer = signers[i as usize % signers.len()].clone();
            tokio::spawn(async move { (i, signer.sign(&i.to_be_bytes()).await.unwrap()) })
        })
        .collect();
    for ended in signing {
        let (i, signature) = ended.await.unwrap();
        assert_eq!(signature.as_bytes(), reference().sign(&i.to_be_bytes()).unwrap());
    }
}

/// Several signers on one token sign at the same time. Shutting down one does not affect the login of the
/// others.
pub async fn shares(token: &Token) {
    let mut signers = Vec::new();
    for _ in 0..3 {
        signers.push(connect_with(token, Pkcs11Mechanism::RsaPkcs).await);
    }
    sign_at_once(&signers, 96).await;
    while let Some(signer) = signers.pop() {
        signer.sign(b"still there").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
        signer.shut_down().await.unwrap();
    }
}

/// The last sessions of a token are closed at the same moment, repeatedly: closing the last one ends the
/// login, and opencryptoki crashes when two threads close the last session.
pub async fn comes_and_goes(token: &Token, times: usize) {
    for _ in 0..times {
        connect(token).await.shut_down().await.unwrap();
    }
}

/// Repeats a fault of a signer's sessions this many times, with at least this many signatures in between.
/// Returns the number of failures.
pub async fn survives(fault: &str, token: &Token, times: usize, signatures: usize) -> usize {
    let signer = connect(token).await;
    let (load, faults) = (Load::start(&signer), Faults);
    let mended_by = if fault == "logout" { "C_Login" } else { "C_OpenSession" };
    let before = faults.calls(mended_by);
    for _ in 0..times {
        load.sign_on(signatures).await;
        faults.once(fault, "");
    }
    load.sign_on(2 * signatures).await;
    // Each fault was noticed and repaired.
    let mended = faults.calls(mended_by) - before;
    assert!(mended >= times, "{mended} times {mended_by} after {times} times {fault}");
    let kinds = load.stop().await;
    // Tokens report it with different codes. Two faults within one signature exceed the single repair.
    let mut expected = vec![SignErrorKind::SessionLost, SignErrorKind::KeyNotFound];
    if token.says_general_error {
        expected.push(SignErrorKind::Unavailable);
    }
    only(&kinds, &expected);
    signer.shut_down().await.unwrap();
    kinds.values().sum()
}

/// Repeats logouts.
pub async fn survives_logouts(token: &Token, times: usize, signatures: usize) {
    let failed = survives("logout", token, times, signatures).await;
    assert!(failed <= 64 * times, "{failed} failed in {times} logouts");
}

/// Repeatedly closes all sessions.
pub async fn survives_closed_sessions(token: &Token, times: usize, signatures: usize) {
    survives("close-all", token, times, signatures).await;
}
