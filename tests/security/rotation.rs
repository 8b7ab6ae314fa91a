//! The exchange of platform certificates, under load.

use std::time::Duration;

use wxpay_auth::{Clock, SystemClock, Timestamp};
use wxpay_security::RenewingVerifier;
use wxpay_testing::{Gateway, Misbehaviour, SignWith};
use wxpay_tests::requests::list;
use wxpay_tests::until::until;
use wxpay_transport::Transport;

use crate::merchant::{downloads_of, merchant};
use wxpay_tests::callers::Callers;

const MINUTE: Duration = Duration::from_secs(60);

/// The faults that are mixed in. None of them causes a download.
const BAD: [Misbehaviour; 4] = [
    Misbehaviour::TamperedBody,
    Misbehaviour::UnknownSerial,
    Misbehaviour::WrongSerial,
    Misbehaviour::Probe,
];

/// Has the gateway send bad responses, and waits until all have arrived. Returns their number.
async fn mix_in_bad_ones(gateway: &Gateway, callers: &Callers) -> usize {
    const EACH: usize = 8;
    let (before, sent) = (callers.refused(), EACH * BAD.len());
    for bad in BAD {
        gateway.misbehave_times(EACH, bad);
    }
    until("the bad responses have arrived", || callers.refused() >= before + sent).await;
    callers.rounds(2).await;
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_good_response_is_refused_and_no_bad_one_accepted_while_certificates_are_exchanged() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let old = gateway.platform_certificates()[0].clone();
    let (certificates, downloads) = merchant(&gateway);
    certificates.refresh().await.unwrap();
    // No result depends on the speed of the machine.
    let verifier = RenewingVerifier::new(certificates.clone()).with_max_wait(MINUTE);
    let client = downloads.with_verifier(verifier);
    let callers = Callers::start(&client);
    callers.rounds(2).await;
    let mut bad = mix_in_bad_ones(&gateway, &callers).await;
    callers.assert_refused(bad, "with the old certificate");

    // The new certificate is in the list, and the end of the old one is moved ahead, before its own.
    let new = gateway.add_platform_certificate();
    let end = SystemClock.now().as_unix_secs() + 86_400;
    assert!(gateway.set_expire_time(&old, Timestamp::from_unix_secs(end)));
    callers.rounds(1).await;
    gateway.sign_with(SignWith::InTurn);
    callers.rounds(3).await;
    callers.assert_refused(bad, "both certificates sign, and all callers wait for one download");
    assert_eq!(downloads_of(&gateway), 2);
    assert_eq!(certificates.ring().serials().len(), 2);
    let until_when = certificates.status().covered_until.unwrap();
    assert!(until_when > Timestamp::from_unix_secs(end), "the new one is of use for longer");
    bad += mix_in_bad_ones(&gateway, &callers).await;
    callers.assert_refused(bad, "with both certificates");

    gateway.sign_with(SignWith::Certificate(new.clone()));
    callers.rounds(2).await;
    assert!(gateway.remove_platform_certificate(&old));
    certificates.refresh().await.unwrap();
    assert_eq!(certificates.ring().serials(), [new]);
    bad += mix_in_bad_ones(&gateway, &callers).await;
    callers.assert_refused(bad, "with the new certificate");
    let good = callers.stop().await;
    assert!(good > 600, "{good}");

    // What was signed before the list changed may arrive after it: for ten minutes it is accepted.
    gateway.sign_with(SignWith::Certificate(old.clone()));
    client.send(list()).await.unwrap();
    assert!(certificates.ring().remove(&old));
    client.send(list()).await.unwrap_err();
}
