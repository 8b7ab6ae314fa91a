//! Responses of a service, or of a proxy before it, that contain no valid signature.

use std::time::Duration;

use serde_json::{Value, json};
use wxpay_auth::kms::KmsSignerBuilder;
use wxpay_auth::{SignError, SignErrorKind, Signer};

use crate::chain;
use crate::cloud::{Cloud, Setup, builder, credentials, double, merchant, secrets};
use crate::kms_service::KmsService;
use crate::log::Log;
use crate::token::{certificate, reference};

/// A signature that does not verify is neither returned nor requested again.
pub async fn wrong_signatures<C: Cloud>() {
    let double = double::<C>();
    let signer = merchant::<C>(&double).await;
    for kind in ["pss", "rehash", "other-key"] {
        double.fault(json!({"kind": kind, "action": C::SIGN}));
        let error = signer.sign(b"message").await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::InvalidSignature, "{kind}: {}", chain(&error));
        assert_eq!(double.calls(C::SIGN).len(), 1, "{kind}");
        assert_eq!(double.journal()[0]["fault"], kind);

        // It is reported on connecting.
        double.fault(json!({"kind": kind, "action": C::SIGN}));
        let builder = builder::<C>(Setup::new(&double, "merchant")).certificate(certificate());
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::InvalidSignature, "{kind}: {}", chain(&error));
    }
    double.fault(json!({"kind": "other-key", "action": "GetPublicKey"}));
    let builder = builder::<C>(Setup::new(&double, "merchant")).certificate(certificate());
    let error = builder.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    signer.sign(b"message").await.unwrap();
}

/// Missing leading zeros of a signature are restored.
pub async fn short_signatures<C: Cloud>() {
    let double = double::<C>();
    let signer = merchant::<C>(&double).await;
    let signed = |number: u32| {
        let message = format!("message {number}");
        (reference().sign(message.as_bytes()).unwrap(), message)
    };
    let (expected, message) = (0..).map(signed).find(|(bytes, _)| bytes[0] == 0).unwrap();
    double.fault(json!({"kind": "strip", "times": -1}));
    let signature =
        signer.sign(message.as_bytes()).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(signature.as_bytes(), expected);
    assert_eq!(double.calls(C::SIGN)[0]["fault"], "strip");
}

fn patient<C: Cloud>(double: &KmsService, attempts: u32) -> KmsSignerBuilder<C::Backend> {
    builder::<C>(Setup::new(double, "merchant")).certificate(certificate()).attempts(attempts)
}

/// The time for a signature where a test has to wait for its end.
const HURRIED: Duration = Duration::from_secs(5);

/// Throttling passes, or is reported if it lasts, with the wait that the service names.
pub async fn throttling<C: Cloud>() {
    let double = double::<C>();
    let signer = patient::<C>(&double, 4).connect().await.unwrap();
    double.fault(json!({"kind": "throttle", "times": 3}));
    signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    let codes: Vec<_> = double.calls(C::SIGN).iter().map(|call| call["code"].clone()).collect();
    let throttled = C::CODES.throttled;
    assert_eq!(codes, [throttled, throttled, throttled, "ok"]);

    // It is waited for until the end of the time for a signature, however few the attempts.
    let signer = patient::<C>(&double, 2).attempt_timeout(HURRIED).sign_timeout(HURRIED);
    let signer = signer.connect().await.unwrap();
    double.fault(json!({"kind": "throttle", "times": -1}));
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(double.calls(C::SIGN).len() > 2);
    assert_eq!((error.kind(), error.code()), (SignErrorKind::Throttled, Some(throttled)));
    assert!(error.request_id().is_some() && error.retry_after().is_none(), "{}", chain(&error));

    // No attempt is made if the wait would exceed the deadline.
    double.fault(json!({"kind": "throttle", "times": -1, "retry_after": 3600}));
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(double.calls(C::SIGN).len(), 1);
}

async fn fails<C: Cloud>(double: &KmsService, fault: &Value) -> SignError {
    let signer = patient::<C>(double, 1).connect().await.unwrap();
    double.fault(fault.clone());
    let error = signer.sign(b"message").await.expect_err("an error");
    assert_eq!(double.journal()[0]["fault"], fault["kind"]);
    error
}

/// Errors with status 200, proxy pages, truncated and endless responses. Transient ones succeed on retry.
pub async fn other_responses<C: Cloud>() {
    let double = double::<C>();
    let (broken, denied) = (C::CODES.broken, C::CODES.denied);
    for (fault, kind) in [
        (json!({"kind": "error", "code": broken, "status": 200}), SignErrorKind::Unavailable),
        (json!({"kind": "error", "code": broken, "status": 500}), SignErrorKind::Unavailable),
        (json!({"kind": "error", "code": denied, "status": 200}), SignErrorKind::PermissionDenied),
        (json!({"kind": "error", "code": "Brand.New", "status": 200}), SignErrorKind::Other),
        (json!({"kind": "html", "status": 200}), SignErrorKind::Configuration),
        (json!({"kind": "html", "status": 407}), SignErrorKind::Configuration),
        (json!({"kind": "html", "status": 502}), SignErrorKind::Unavailable),
        (json!({"kind": "html", "status": 504}), SignErrorKind::Timeout),
        (json!({"kind": "truncate"}), SignErrorKind::Configuration),
        (json!({"kind": "huge"}), SignErrorKind::Unavailable),
        (json!({"kind": "close"}), SignErrorKind::Unavailable),
    ] {
        let error = fails::<C>(&double, &fault).await;
        assert_eq!(error.kind(), kind, "{fault}: {}", chain(&error));
        if fault["kind"] == "error" {
            assert_eq!(error.code(), fault["code"].as_str());
            assert!(error.request_id().is_some(), "{}", chain(&error));
        }
        assert!(!chain(&error).contains("<html>"), "{}", chain(&error));

        let signer = patient::<C>(&double, 2).connect().await.unwrap();
        double.fault(fault.clone());
        assert_eq!(signer.sign(b"message").await.is_ok(), kind.is_transient(), "{fault}");
    }
}

/// A request without a response is abandoned, and sent again.
pub async fn hanging<C: Cloud>() {
    let double = double::<C>();
    // Long enough for requests that do not hang, even on a busy machine.
    let attempt_timeout = Duration::from_secs(3);
    let signer = patient::<C>(&double, 1).attempt_timeout(attempt_timeout).connect().await.unwrap();
    double.fault(json!({"kind": "hang", "times": -1}));
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Timeout, "{}", chain(&error));
    double.mend();
    let signer = patient::<C>(&double, 3).attempt_timeout(attempt_timeout).connect().await.unwrap();
    double.fault(json!({"kind": "hang"}));
    signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
}

/// The response must name the requested key.
pub async fn answers_about_another_key<C: Cloud>() {
    let double = double::<C>();
    double.fault(json!({"kind": "wrong-key-id"}));
    let error = patient::<C>(&double, 4).connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(error.to_string().contains("answered for the key "), "{error}");
    assert_eq!(double.journal().len(), 1);
}

/// No secret, session token or request signature is shown in a log, an error or a `Debug`.
pub async fn secrets_stay_secret<C: Cloud>() {
    let double = double::<C>();
    // For the whole process, including its other tests: a subscriber for this task only would miss callsites
    // that other tests reached first.
    let log = Log::of_process();
    let shown = async {
        let setup =
            || Setup::new(&double, "merchant").credentials(credentials(&double, "temporary"));
        let mut shown = format!("{:?} {:?}", C::backend(setup()).unwrap(), builder::<C>(setup()));
        let signer = builder::<C>(setup()).certificate(certificate()).attempts(2);
        let signer = signer.connect().await.unwrap();
        shown += &format!("{signer:?} {:?}", signer.backend());
        for code in [C::CODES.broken, C::CODES.secret, C::CODES.expired, C::CODES.denied] {
            let temporary = "/credentials/temporary";
            let message = format!(
                "{} {}",
                double.text(&format!("{temporary}/secret")),
                double.text(&format!("{temporary}/token"))
            );
            double.fault(json!({"kind": "error", "code": code, "message": message, "times": -1}));
            let error = signer.sign(b"message").await.unwrap_err();
            shown += &format!("{error:?} {}", chain(&error));
        }
        shown
    };
    let shown = shown.await;
    let log = log.text();
    assert!(log.contains("a key service failed"), "{log}");
    for text in [&shown, &log] {
        for secret in secrets(&double) {
            assert!(!text.contains(secret), "{secret} is shown: {text}");
        }
        assert!(!text.contains("Signature="), "{text}");
    }
}
