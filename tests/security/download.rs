//! The download of platform certificates.

use serde_json::{Value, json};
use wxpay_auth::{
    ApiV3Key, Certificate, DecryptError, KeyRing, PublicKey, Timestamp, Verifier, VerifyError,
};
use wxpay_security::{
    CertificateDownload, CertificateError, CertificateListError, CertificateState,
    DownloadVerifier, RenewingVerifier,
};
use wxpay_testing::{CustomResponse, ErrorBody, Gateway, Misbehaviour, SignWith};
use wxpay_tests::requests::list;
use wxpay_transport::{Error, Request, Target, Transport, UnverifiedCause};

use crate::merchant::{downloads, downloads_of, merchant, verifier};

/// Downloads with this verifier.
async fn download(
    gateway: &Gateway,
    verifier: DownloadVerifier,
) -> Result<wxpay_security::CertificateList, CertificateError> {
    CertificateDownload::new(downloads(gateway, verifier.clone()), verifier).list().await
}

fn root(gateway: &Gateway) -> Certificate {
    Certificate::from_pem(gateway.root_certificate_pem()).unwrap()
}

/// Returns the error of the list.
fn list_error(result: Result<wxpay_security::CertificateList, CertificateError>) -> String {
    match result {
        Err(CertificateError::List(error)) => {
            assert!(error.hint().len() > 10);
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_download_fills_an_empty_ring_and_calls_succeed() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let (certificates, downloads) = merchant(&gateway);
    let client = downloads.with_verifier(RenewingVerifier::new(certificates.clone()));

    let error = client.send(list()).await.unwrap_err();
    assert!(matches!(error, Error::Verifier(_)), "nothing is sent before: {error:?}");
    // The call has begun a download, which is joined unless it has ended.
    let listed = certificates.refresh().await.unwrap();
    let downloads = downloads_of(&gateway);
    assert!((1..=2).contains(&downloads), "{downloads}");
    assert_eq!(listed.signed_by, gateway.platform_certificates()[0]);
    assert_eq!(certificates.ring().serials(), gateway.platform_certificates());
    assert_eq!(listed.newest().unwrap().serial, gateway.platform_certificates()[0]);
    client.send(list()).await.unwrap();
    let journal = gateway.journal();
    assert_eq!(journal[0].header("wechatpay-serial"), None, "the download has no such header");
    let serial = gateway.platform_certificates()[0].to_string();
    assert_eq!(journal[downloads].header("wechatpay-serial"), Some(&*serial));
    assert_eq!(journal.len(), downloads + 1);
}

#[tokio::test]
async fn a_root_that_is_pinned_must_have_issued_the_certificates() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let pinned = verifier(&gateway).with_root(root(&gateway));
    assert_eq!(download(&gateway, pinned).await.unwrap().certificates.len(), 1);
    let other = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
    let wrong = verifier(&gateway).with_root(other);
    let shown = list_error(download(&gateway, wrong).await);
    assert!(shown.contains("does not come from the authority"), "{shown}");
}

#[tokio::test]
async fn public_keys_in_the_ring_stay_and_removed_certificates_do_not() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let (certificates, _) = merchant(&gateway);
    let public_key = PublicKey::from_pem(gateway.public_key_pem()).unwrap();
    certificates.ring().insert_public_key(gateway.public_key_id(), public_key).unwrap();
    certificates.refresh().await.unwrap();
    let old = gateway.platform_certificates()[0].clone();
    let new = gateway.add_platform_certificate();
    assert!(gateway.remove_platform_certificate(&old));
    gateway.sign_with(SignWith::Certificate(new.clone()));
    // Signed by a key that is not held yet.
    certificates.refresh().await.unwrap();
    assert_eq!(certificates.ring().serials(), [gateway.public_key_id(), new.clone()]);
    let shown = certificates.ring().serials()[1].to_string();
    assert!(shown.starts_with("0C0C") && shown.len() == 40, "its leading zero is kept: {shown}");
}

#[tokio::test]
async fn a_list_that_was_changed_is_refused_whether_keys_are_held_or_not() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    for held in [false, true] {
        let verifier = verifier(&gateway);
        if held {
            let certificate = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
            verifier.ring().insert_certificate(&certificate).unwrap();
        }
        gateway.misbehave_once(Misbehaviour::TamperedBody);
        let error = download(&gateway, verifier.clone()).await.unwrap_err();
        let CertificateError::Transport(Error::Unverified(unverified)) = &error else {
            panic!("{error:?}")
        };
        let UnverifiedCause::Signature(cause) = unverified.cause() else { panic!("{error:?}") };
        assert!(matches!(cause, VerifyError::Mismatch { .. }), "{cause}");
        for misbehaviour in [
            Misbehaviour::Unsigned,
            Misbehaviour::Probe,
            Misbehaviour::StaleTimestamp,
            Misbehaviour::MalformedSignature,
            Misbehaviour::UnknownSerial,
        ] {
            gateway.misbehave_once(misbehaviour.clone());
            let result = download(&gateway, verifier.clone()).await;
            assert!(result.is_err(), "{misbehaviour:?}");
        }
        assert!(download(&gateway, verifier).await.is_ok());
    }
}

/// Returns a list as the gateway sends it.
async fn genuine(gateway: &Gateway) -> Value {
    let request = Request::get("certificates.list", Target::new("/v3/certificates").unwrap());
    downloads(gateway, verifier(gateway)).send(request).await.unwrap().json().unwrap()
}

#[tokio::test]
async fn a_signed_list_with_a_fault_is_refused_by_name() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let good = genuine(&gateway).await;
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let sealed = |text: &str| {
        let key = ApiV3Key::new(gateway.api_v3_key()).unwrap();
        let sealed = key.seal("61f9c719728a", Some("certificate"), text.as_bytes()).unwrap();
        let mut body = changed("/data/0/encrypt_certificate/nonce", "61f9c719728a".into());
        body["data"][0]["encrypt_certificate"]["ciphertext"] = (*sealed.ciphertext).into();
        body
    };
    for (body, says) in [
        (json!({"data": []}), "is empty"),
        (json!({"data": [{"serial_no": "1"}]}), "is no list of platform certificates"),
        (changed("/data/0/serial_no", "5F".into()), "names the platform certificate 44"),
        (changed("/data/0/encrypt_certificate/nonce", "x".into()), "could not be decrypted"),
        (
            changed("/data/0/encrypt_certificate/ciphertext", "AAAA".into()),
            "could not be decrypted",
        ),
        (changed("/data/0/encrypt_certificate/algorithm", "X".into()), "could not be decrypted"),
        (sealed("no certificate"), "is not one"),
        (sealed(gateway.merchant_certificate_pem()), "names the platform certificate"),
    ] {
        let sent = body.clone();
        gateway.on("GET", "/v3/certificates", move |_| CustomResponse::json(200, &sent));
        for held in [false, true] {
            let verifier = verifier(&gateway);
            if held {
                let certificate = Certificate::from_pem(gateway.platform_certificate_pem());
                verifier.ring().insert_certificate(&certificate.unwrap()).unwrap();
            }
            let shown = list_error(download(&gateway, verifier).await);
            assert!(shown.contains(says), "held: {held}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_refresh_that_fails_changes_nothing() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let (certificates, downloads) = merchant(&gateway);
    certificates.refresh().await.unwrap();
    let held = certificates.ring().serials();
    let client = downloads.with_verifier(RenewingVerifier::new(certificates.clone()));
    gateway.on("GET", "/v3/certificates", |_| CustomResponse::json(200, &json!({"data": []})));
    let error = certificates.refresh().await.unwrap_err();
    assert!(
        matches!(&*error, CertificateError::List(list) if matches!(**list, CertificateListError::Empty))
    );
    assert_eq!((certificates.ring().serials(), certificates.status().failures), (held, 1));
    client.send(list()).await.unwrap();
}

#[tokio::test]
async fn another_api_v3_key_is_named() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let wrong = || ApiV3Key::new("0123456789abcdefghijklmnopqrstuv").unwrap();
    let full = KeyRing::new();
    full.replace_with(&gateway.key_ring());
    for ring in [KeyRing::new(), full] {
        let error = download(&gateway, DownloadVerifier::new(ring, wrong())).await.unwrap_err();
        let CertificateError::List(list) = &error else { panic!("{error:?}") };
        let CertificateListError::Decrypt { source, .. } = &**list else { panic!("{list:?}") };
        assert!(matches!(source, DecryptError::Mismatch), "{source}");
        assert!(error.hint().contains("APIv3 key"), "{error:?}");
    }
}

#[tokio::test]
async fn expired_certificates_are_left_out_and_told_if_there_is_no_other() {
    let gateway = Gateway::start().await;
    let at = Timestamp::from_unix_secs;
    let expired = gateway.add_platform_certificate_valid(at(1_500_000_000), at(1_600_000_000));
    gateway.sign_with_platform_certificate();
    let listed = download(&gateway, verifier(&gateway)).await.unwrap();
    assert_eq!(listed.certificates.len(), 1);
    assert_ne!(listed.certificates[0].serial, expired);

    // The only one left. The public key is held, and signs.
    let first = gateway.platform_certificates()[0].clone();
    gateway.remove_platform_certificate(&first);
    gateway.sign_with(SignWith::PublicKey);
    let verifier = verifier(&gateway);
    verifier.ring().replace_with(&gateway.key_ring());
    let shown = list_error(download(&gateway, verifier).await);
    assert!(shown.starts_with("all platform certificates in the list have expired"), "{shown}");
}

#[tokio::test]
async fn a_merchant_with_only_the_public_key_is_told_so() {
    let gateway = Gateway::start().await;
    gateway.public_key_mode();
    let (certificates, downloads) = merchant(&gateway);
    // The 404 is signed by the public key, which is not held, and then is.
    for held in [false, true] {
        if held {
            let public_key = PublicKey::from_pem(gateway.public_key_pem()).unwrap();
            certificates.ring().insert_public_key(gateway.public_key_id(), public_key).unwrap();
        }
        let error = certificates.refresh().await.unwrap_err();
        let CertificateError::PublicKeyMode(no_more) = &*error else { panic!("{error:?}") };
        assert_eq!(no_more.code(), "RESOURCE_NOT_EXISTS");
        assert!(error.request_id().is_some() && error.hint().contains("微信支付公钥"));
        assert_eq!(certificates.status().state, CertificateState::PublicKeyMode);
    }
    let verifier = RenewingVerifier::new(certificates.clone());
    assert_eq!(verifier.readiness(Timestamp::from_unix_secs(1_700_000_000)), Ok(()));
    downloads.with_verifier(verifier).send(list()).await.unwrap();
}

#[tokio::test]
async fn nothing_else_is_taken_for_public_key_mode() {
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let (certificates, _) = merchant(&gateway);
    let status = |status, code: &str, signed| Misbehaviour::Status {
        status,
        body: ErrorBody::json(code, "no"),
        signed,
        executed: false,
    };
    let forged = Misbehaviour::ForgedStatus {
        status: 404,
        body: ErrorBody::json("RESOURCE_NOT_EXISTS", "no"),
        executed: false,
    };
    certificates.refresh().await.unwrap();
    // A refusal on a kept connection is confirmed by another attempt.
    let refused_with = async |misbehaviour: &Misbehaviour| {
        gateway.misbehave(misbehaviour.clone());
        let error = certificates.refresh().await.unwrap_err();
        gateway.behave();
        error
    };
    for (failures, misbehaviour) in (1..).zip([
        status(500, "SYSTEM_ERROR", true),
        status(500, "RESOURCE_NOT_EXISTS", true),
        status(404, "SOMETHING_ELSE", true),
        status(403, "NO_AUTH", true),
        status(429, "RATELIMIT_EXCEEDED", true),
        forged,
        // While a certificate is valid, nobody can end the downloads without a signature.
        status(404, "NOT_FOUND", false),
        status(404, "RESOURCE_NOT_EXISTS", false),
        status(403, "RESOURCE_NOT_EXISTS", false),
        // The certificates of WeChat Pay have expired.
        status(403, "NOT_ENOUGH", true),
        status(403, "NOT_ENOUGH", false),
    ]) {
        let error = refused_with(&misbehaviour).await;
        assert!(matches!(&*error, CertificateError::Transport(Error::Api(_))), "{error:?}");
        let status = certificates.status();
        assert_eq!(status.state, CertificateState::Active, "{misbehaviour:?}");
        assert_eq!(status.failures, failures, "{misbehaviour:?}");
    }
    for misbehaviour in [status(404, "NOT_FOUND", true), status(404, "RESOURCE_NOT_EXISTS", true)] {
        let error = refused_with(&misbehaviour).await;
        assert!(error.is_public_key_mode(), "{misbehaviour:?}: {error:?}");
        certificates.refresh().await.expect("and back");
        assert_eq!(certificates.status().state, CertificateState::Active);
    }
}
