//! Wrong keys, access keys, clocks and certificates in a cloud.

use serde_json::json;
use wxpay_auth::SignErrorKind;
use wxpay_auth::kms::{Credentials, KmsError, KmsTls};

use crate::chain;
use crate::cloud::{Cloud, Roles, Setup, builder, credentials, double, secrets};
use crate::kms_service::KmsService;
use crate::token::{certificate, variable};

/// Connects and returns the error, which must be of this kind, have a hint, and show no secret.
async fn refused<C: Cloud>(setup: Setup<'_>, kind: SignErrorKind) -> KmsError {
    let double = setup.double;
    let error = builder::<C>(setup).without_certificate().connect().await.expect_err("an error");
    assert_eq!(error.kind(), kind, "{}", chain(&error));
    assert!(!error.hint().is_empty());
    for text in [format!("{error:?}"), chain(&error)] {
        for secret in secrets(double) {
            assert!(!text.contains(secret), "{text}");
        }
    }
    error
}

/// The key does not exist, is disabled, or has another usage.
pub async fn keys_that_do_not_fit<C: Cloud>() {
    let double = double::<C>();
    for (key, kind, code) in [
        ("disabled", SignErrorKind::Configuration, Some(C::CODES.disabled)),
        ("0a1b2c3d-0000-0000-0000-000000000000", SignErrorKind::KeyNotFound, Some(C::CODES.no_key)),
        ("ec", SignErrorKind::Unsupported, None),
        (C::OTHER_USE, SignErrorKind::Unsupported, Some(C::CODES.other_use)),
    ] {
        double.mend();
        let error = refused::<C>(Setup::new(&double, key), kind).await;
        assert_eq!(error.code(), code, "{key}: {}", chain(&error));
        assert_eq!(error.request_id().is_some(), code.is_some(), "{}", chain(&error));
        assert!(double.journal().len() <= 2, "it is not requested again: {:?}", double.journal());
    }
    // The certificate of another key.
    let other = builder::<C>(Setup::new(&double, "other")).certificate(certificate());
    let error = other.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(error.hint().contains("certificate"), "{}", error.hint());
}

/// The access key is unknown, has another secret, has expired, or may not sign.
pub async fn access_keys_that_are_refused<C: Cloud>() {
    let double = double::<C>();
    let [fixed, temporary, denied] =
        ["static", "temporary", "denied"].map(|name| credentials(&double, name));
    let id = fixed.id().to_owned();
    let token_of_another =
        Credentials::new(temporary.id(), double.text("/credentials/temporary/secret"))
            .with_session_token("n0t-the-token");
    builder::<C>(Setup::new(&double, "merchant").credentials(temporary.clone()))
        .certificate(certificate())
        .connect()
        .await
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    for (credentials, code) in [
        (Credentials::new(id, "n0t-the-secret"), Some(C::CODES.secret)),
        (Credentials::new("nobody", "n0t-the-secret"), Some(C::CODES.unknown)),
        (denied, Some(C::CODES.denied)),
        (token_of_another, None),
    ] {
        double.mend();
        let setup = Setup::new(&double, "merchant").credentials(credentials);
        let error = refused::<C>(setup, SignErrorKind::PermissionDenied).await;
        assert!(code.is_none() || error.code() == code, "{}", chain(&error));
        assert!(!format!("{error:?}").contains("n0t-the"), "{error:?}");
        assert!(error.request_id().is_some(), "{}", chain(&error));
        assert_eq!(double.journal().len(), 1, "there is no other key to try");
    }
    double.set(json!({"credentials": []}));
    for (credentials, code) in [(temporary, C::CODES.expired), (fixed, C::CODES.unknown)] {
        let setup = Setup::new(&double, "merchant").credentials(credentials);
        let error = refused::<C>(setup, SignErrorKind::PermissionDenied).await;
        assert_eq!(error.code(), Some(code), "{}", chain(&error));
    }
    // The settings contain a line break.
    let broken = Credentials::new("id\n", "n0t-the-secret");
    let setup = Setup::new(&double, "merchant").credentials(broken);
    refused::<C>(setup, SignErrorKind::Configuration).await;
}

/// The role of the machine: with and without its name, missing, or unavailable.
pub async fn roles<C: Roles>() {
    let double = double::<C>();
    let setup = |name| {
        let mut setup = Setup::new(&double, "merchant");
        setup.credentials = C::role(&double, name);
        setup
    };
    for name in [None, Some(double.text("/role"))] {
        double.mend();
        let signer = builder::<C>(setup(name)).certificate(certificate()).connect().await;
        let signer = signer.unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert!(format!("{signer:?}").contains("Role"), "{signer:?}");
        let asked: Vec<_> =
            double.calls("metadata").iter().map(|c| c["path"].to_string()).collect();
        // One request for two signatures; the name is requested only if it is not given.
        let names = asked.iter().filter(|path| path.ends_with("-credentials/\"")).count();
        let keys =
            asked.iter().filter(|path| path.ends_with("-credentials/wxpay-signer\"")).count();
        assert_eq!((names, keys), (usize::from(name.is_none()), 1), "{asked:?}");
    }
    for name in ["other", "../token", ""] {
        refused::<C>(setup(Some(name)), SignErrorKind::Configuration).await;
    }
    let fault =
        |kind, status| json!({"kind": kind, "status": status, "action": "metadata", "times": -1});
    for (fault, kind) in [
        (fault("html", 200), SignErrorKind::Configuration),
        (fault("html", 502), SignErrorKind::Unavailable),
        (json!({"kind": "close", "action": "metadata"}), SignErrorKind::Unavailable),
    ] {
        double.fault(fault);
        refused::<C>(setup(None), kind).await;
    }
    double.mend();
    double.set(json!({"role": null}));
    let error = refused::<C>(setup(None), SignErrorKind::Configuration).await;
    assert!(error.hint().contains("role"), "{}", error.hint());
}

/// A wrong clock is reported, whether fast or slow, and is not retried.
pub async fn a_clock_that_is_off<C: Cloud>() {
    let double = double::<C>();
    for ahead in [3600, -3600] {
        double.mend();
        let mut setup = Setup::new(&double, "merchant");
        setup.clock_ahead = ahead;
        let error = refused::<C>(setup, SignErrorKind::Configuration).await;
        assert_eq!(error.code(), Some(C::CODES.clock), "{}", chain(&error));
        assert!(error.hint().contains("clock"), "{}", error.hint());
        assert_eq!(double.journal().len(), 1);
    }
}

/// The signer connects only to the service itself: its host, with a trusted CA.
pub async fn tls<C: Cloud>() {
    let ca = || KmsTls::new().ca_pem_file(variable("WXPAY_TEST_VAULT_CA")).unwrap();
    let good = ("WXPAY_TEST_KMS_CERTIFICATE", "WXPAY_TEST_KMS_KEY");
    let elsewhere = ("WXPAY_TEST_KMS_WRONG_HOST_CERTIFICATE", "WXPAY_TEST_KMS_WRONG_HOST_KEY");
    for ((certificate_file, key_file), tls, problem) in [
        (good, ca(), None),
        (elsewhere, ca(), Some("not valid for name")),
        (good, KmsTls::new(), Some("UnknownIssuer")),
    ] {
        let double = KmsService::start_tls(C::PROGRAM, certificate_file, key_file);
        let mut setup = Setup::new(&double, "merchant");
        setup.tls = tls;
        let Some(problem) = problem else {
            let signer = builder::<C>(setup).certificate(certificate()).connect().await;
            signer.unwrap_or_else(|e| panic!("{}", chain(&e)));
            continue;
        };
        let error = refused::<C>(setup, SignErrorKind::Configuration).await;
        assert!(error.to_string().contains(problem), "{}", chain(&error));
        assert!(error.hint().contains("CA"), "{}", error.hint());
    }
}
