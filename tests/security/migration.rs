//! The move from platform certificates to the public key, and back.

use wxpay_auth::Share;
use wxpay_security::{MigrationVerifier, RenewingVerifier, SerialPreference};
use wxpay_testing::{Gateway, SignWith};
use wxpay_tests::requests::list;
use wxpay_transport::Transport;

use crate::merchant::{downloads_of, merchant};
use wxpay_tests::callers::{CALLERS, Callers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_thousandth_to_all_and_back_without_a_refused_response() {
    let gateway = Gateway::start().await;
    gateway.sign_with(SignWith::AsRequested);
    let (certificates, downloads) = merchant(&gateway);
    certificates.refresh().await.unwrap();
    let public_key = wxpay_auth::PublicKey::from_pem(gateway.public_key_pem()).unwrap();
    certificates.ring().insert_public_key(gateway.public_key_id(), public_key).unwrap();
    let ring = certificates.ring().clone();
    let verifier = MigrationVerifier::new(RenewingVerifier::new(certificates.clone()), ring);
    let client = downloads.with_verifier(verifier.clone());
    assert_eq!(verifier.preference(), SerialPreference::Certificate);

    // The ring prefers the public key, but the preference does not.
    client.send(list()).await.unwrap();
    assert_eq!((verifier.counts().by_certificates(), verifier.counts().by_public_keys()), (1, 0));

    let callers = Callers::start(&client);
    for (percent, share) in [(0, 0.001), (10, 0.1), (50, 0.5)] {
        verifier.prefer(SerialPreference::PublicKeyShare(Share::new(share).unwrap()));
        callers.rounds(2).await;
        let before = verifier.counts();
        callers.rounds(10).await;
        let counts = verifier.counts().since(&before);
        let (new, all) =
            (counts.by_public_keys(), counts.by_certificates() + counts.by_public_keys());
        assert!(all >= 10 * CALLERS as u64, "{counts:?}");
        let off = (100 * new).abs_diff(percent * all);
        assert!(off <= 10 * all, "{new} of {all} at {percent} %");
    }

    verifier.prefer(SerialPreference::PublicKey);
    callers.rounds(2).await;
    let before = verifier.counts();
    callers.rounds(2).await;
    let counts = verifier.counts().since(&before);
    assert_eq!((counts.by_certificates(), counts.by_public_keys() > 0), (0, true), "complete");
    assert_eq!(counts.by_serial[0].serial, gateway.public_key_id());

    // WeChat Pay may sign with either at any time.
    gateway.sign_with_platform_certificate();
    callers.rounds(2).await;
    gateway.sign_with(SignWith::AsRequested);

    verifier.prefer(SerialPreference::Certificate);
    callers.rounds(2).await;
    let before = verifier.counts();
    callers.rounds(2).await;
    let counts = verifier.counts().since(&before);
    assert_eq!((counts.by_certificates() > 0, counts.by_public_keys()), (true, 0), "back");

    callers.assert_refused(0, "both kinds are accepted all the time");
    assert_eq!(verifier.counts().refused, 0);
    callers.stop().await;
    assert_eq!(downloads_of(&gateway), 1, "the move downloads nothing");
}

#[tokio::test]
async fn the_other_kind_is_asked_for_if_the_preferred_one_is_not_held() {
    let gateway = Gateway::start().await;
    gateway.sign_with(SignWith::AsRequested);
    let (certificates, downloads) = merchant(&gateway);
    certificates.refresh().await.unwrap();
    let ring = certificates.ring().clone();
    let verifier = MigrationVerifier::new(ring.clone(), ring);
    verifier.prefer(SerialPreference::PublicKey);
    downloads.with_verifier(verifier).send(list()).await.unwrap();
    let asked = gateway.journal().pop().unwrap();
    let serial = gateway.platform_certificates()[0].to_string();
    assert_eq!(asked.header("wechatpay-serial"), Some(&*serial));
}
