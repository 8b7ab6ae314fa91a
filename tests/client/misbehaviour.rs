//! Each misbehaviour of the gateway, end to end: kind, delivery, outcome, hint, and the journal.

use std::time::Duration;

use wxpay_auth::VerifyError;
use wxpay_marketing::Error;
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, PlanState};
use wxpay_tests::{builder, chain, kind, plan_id, plans};
use wxpay_transport::{Delivery, Outcome, ResponseSignature, UnverifiedCause};

/// The operation in errors.
const OPERATION: &str = "delivery_plans.terminate";

async fn error_of(gateway: &Gateway, misbehaviour: Misbehaviour) -> Error {
    gateway.misbehave_once(misbehaviour);
    let plans = plans(gateway, &gateway.base_url());
    plans.terminate(&plan_id("12000")).await.expect_err("the gateway misbehaves")
}

/// Checks a 2xx that cannot be trusted: the plan *is* terminated, and the caller must not be told that it is
/// or is not.
async fn assert_unverified(misbehaviour: Misbehaviour, cause: &str, hint: &str) -> Error {
    let gateway = Gateway::start().await;
    let error = error_of(&gateway, misbehaviour.clone()).await;
    let shown = format!("{misbehaviour:?}: {} / {}", chain(&error), error.hint());
    assert_eq!(kind(&error), "unverified", "{shown}");
    assert_eq!(error.delivery(), Delivery::Unknown, "{shown}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{shown}");
    assert!(!error.may_retry(), "a termination is never repeated: {shown}");
    assert!(error.request_id().is_some(), "{shown}");
    assert!(chain(&error).contains(cause), "{shown}");
    assert!(error.hint().contains("read the state"), "{shown}");
    assert!(error.hint().contains(hint), "{shown}");
    assert_eq!(gateway.executions(), 1, "{shown}");
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated), "{shown}");
    error
}

fn verify_error(error: &Error) -> &VerifyError {
    match error {
        Error::Transport(wxpay_transport::Error::Unverified(e)) => match e.cause() {
            UnverifiedCause::Signature(e) => e,
            other => panic!("no signature error: {other:?}"),
        },
        other => panic!("not unverified: {other:?}"),
    }
}

#[tokio::test]
async fn an_unsigned_success_is_unknown() {
    let error =
        assert_unverified(Misbehaviour::UnsignedSuccess, "is not signed", "as forged").await;
    assert!(matches!(verify_error(&error), VerifyError::MissingHeader { .. }));
}

#[tokio::test]
async fn a_missing_header_is_named() {
    for name in
        ["Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial", "Wechatpay-Signature"]
    {
        assert_unverified(Misbehaviour::MissingHeader(name), name, "as forged").await;
    }
}

#[tokio::test]
async fn a_tampered_body_is_unknown() {
    let error = assert_unverified(Misbehaviour::TamperedBody, "does not fit", "do not trust").await;
    assert!(matches!(verify_error(&error), VerifyError::Mismatch { .. }));
}

#[tokio::test]
async fn the_serial_of_another_key_that_is_held_is_a_mismatch() {
    let error = assert_unverified(Misbehaviour::WrongSerial, "does not fit", "do not trust").await;
    assert!(matches!(verify_error(&error), VerifyError::Mismatch { .. }));
}

#[tokio::test]
async fn an_unknown_serial_is_named() {
    let error =
        assert_unverified(Misbehaviour::UnknownSerial, "which is not held", "key ring").await;
    let VerifyError::UnknownSerial { serial, .. } = verify_error(&error) else {
        panic!("{error:?}")
    };
    assert!(serial.starts_with("PUB_KEY_ID_"), "{serial}");
}

#[tokio::test]
async fn a_probe_is_named_as_one() {
    let error = assert_unverified(Misbehaviour::Probe, "probe", "tests now and then").await;
    assert!(matches!(verify_error(&error), VerifyError::Probe { .. }));
}

#[tokio::test]
async fn a_malformed_signature_is_named() {
    let error =
        assert_unverified(Misbehaviour::MalformedSignature, "not base64", "do not trust").await;
    assert!(matches!(verify_error(&error), VerifyError::MalformedSignature));
}

#[tokio::test]
async fn stale_and_future_timestamps_say_by_how_much() {
    for (misbehaviour, word, sign) in
        [(Misbehaviour::StaleTimestamp, "before", -1), (Misbehaviour::FutureTimestamp, "after", 1)]
    {
        let error = assert_unverified(misbehaviour, word, "local clock").await;
        let VerifyError::ClockSkew { seconds, .. } = verify_error(&error) else {
            panic!("{error:?}")
        };
        assert!((595..=605).contains(&(seconds * sign)), "{seconds}");
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_named() {
    let gateway = Gateway::start().await;
    gateway.misbehave(Misbehaviour::ExpiredCertificate);
    let client = wxpay_transport::Client::builder(
        gateway.mchid(),
        gateway.signer(),
        gateway.key_ring_with_expired_certificate(),
    )
    .base_url(gateway.base_url().parse().unwrap())
    .proxy(wxpay_transport::Proxy::none())
    .build()
    .unwrap();
    let plans = wxpay_marketing::DeliveryPlans::new(client);
    let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!((kind(&error), error.delivery()), ("unverified", Delivery::Unknown));
    assert!(matches!(verify_error(&error), VerifyError::KeyNotValid { .. }), "{error:?}");
    assert!(error.hint().contains("valid now"), "{}", error.hint());
    assert_eq!(gateway.executions(), 1);

    // A client without this certificate does not know the serial.
    let gateway = Gateway::start().await;
    let error = error_of(&gateway, Misbehaviour::ExpiredCertificate).await;
    assert!(matches!(verify_error(&error), VerifyError::UnknownSerial { .. }), "{error:?}");
}

#[tokio::test]
async fn an_oversized_response_is_cut_off() {
    let misbehaviour = Misbehaviour::Oversized((1 << 20) + 1);
    let error = assert_unverified(misbehaviour, "larger than 1048576 bytes", "limit").await;
    let Error::Transport(wxpay_transport::Error::Unverified(error)) = error else { panic!() };
    assert!(matches!(error.cause(), UnverifiedCause::TooLarge { limit: 1_048_576, .. }));
}

#[tokio::test]
async fn another_success_than_204_is_unknown_although_verified() {
    for (status, hint) in [(200, "not documented"), (202, "not finished")] {
        let gateway = Gateway::start().await;
        let body = "{}".to_owned();
        let error = error_of(&gateway, Misbehaviour::UnexpectedSuccess { status, body }).await;
        assert_eq!(kind(&error), "unexpected status", "{error}");
        assert_eq!(error.delivery(), Delivery::Answered);
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert!(!error.may_retry());
        assert!(error.hint().contains(hint), "{}", error.hint());
        assert!(error.to_string().contains(&format!("{status}, 204 was expected")), "{error}");
        assert!(error.request_id().is_some());
    }
}

#[tokio::test]
async fn a_refusal_in_json_is_a_rejection() {
    for (status, code, hint, may_retry) in [
        (400, "PARAM_ERROR", "fix the request", false),
        (400, "INVALID_REQUEST", "fix the request", false),
        (401, "SIGN_ERROR", "belong together", false),
        (403, "NO_AUTH", "permission", false),
        (404, "RESOURCE_NOT_EXISTS", "check the id", false),
        (409, "SOMETHING_NEW", "documentation", false),
        (429, "RATELIMIT_EXCEEDED", "slow down", true),
    ] {
        for signed in [true, false] {
            let gateway = Gateway::start().await;
            let body = ErrorBody::json(code, "参数错误");
            let misbehaviour = Misbehaviour::Status { status, body, signed, executed: false };
            let error = error_of(&gateway, misbehaviour).await;
            assert_eq!(kind(&error), "api", "{error}");
            assert_eq!(error.delivery(), Delivery::Answered);
            assert_eq!(error.outcome(), Outcome::Rejected);
            assert_eq!(error.may_retry(), may_retry, "{error}");
            assert!(error.hint().contains(hint), "{status}: {}", error.hint());
            let begin =
                format!("{OPERATION} answered {status} {code}: 参数错误 [request-id 08F5B8C2");
            assert!(error.to_string().starts_with(&begin), "{error}");
            let api = error.api().expect("a response");
            assert_eq!(api.code(), Some(code));
            let verified = matches!(api.signature(), ResponseSignature::Verified(_));
            let missing = matches!(api.signature(), ResponseSignature::Missing);
            assert_eq!((verified, missing), (signed, !signed), "{:?}", api.signature());
            assert_eq!(gateway.plan_state("12000"), Some(PlanState::Delivering));
        }
    }
}

/// A proxy or load balancer may respond this way after it forwarded the call: then the plan *is* terminated.
#[tokio::test]
async fn what_wechat_pay_did_not_say_is_no_refusal() {
    for status in [400, 403, 404, 429] {
        for (body, shown) in [
            (ErrorBody::Html, "with a web page"),
            (ErrorBody::Empty, "without a body"),
            (ErrorBody::Text, "with a text"),
            (ErrorBody::CodelessJson, ": no"),
            (ErrorBody::NonUtf8, "with a body that is no text"),
        ] {
            let gateway = Gateway::start().await;
            let (body, signed, executed) = (body, false, true);
            let misbehaviour = Misbehaviour::Status { status, body, signed, executed };
            let error = error_of(&gateway, misbehaviour).await;
            assert_eq!((kind(&error), error.delivery()), ("api", Delivery::Answered));
            assert_eq!((error.outcome(), error.may_retry()), (Outcome::Unknown, false), "{error}");
            assert!(
                error.to_string().starts_with(&format!("{OPERATION} answered {status}")),
                "{error}"
            );
            assert!(error.to_string().contains(shown), "{error}");
            assert!(error.hint().contains("read the state"), "{}", error.hint());
            assert!(error.hint().contains("something in front"), "{}", error.hint());
            assert_eq!((gateway.journal().len(), gateway.executions()), (1, 1));
        }
    }
}

/// With WeChat Pay's signature, the refusal is WeChat Pay's, whatever the body.
#[tokio::test]
async fn whatever_the_body_of_a_signed_refusal_its_status_counts() {
    for (body, shown) in [
        (ErrorBody::Html, "answered 403 with a web page"),
        (ErrorBody::Empty, "answered 403 without a body"),
        (ErrorBody::NonUtf8, "answered 403 with a body that is no text"),
    ] {
        let gateway = Gateway::start().await;
        let misbehaviour =
            Misbehaviour::Status { status: 403, body, signed: true, executed: false };
        let error = error_of(&gateway, misbehaviour).await;
        assert_eq!((kind(&error), error.outcome()), ("api", Outcome::Rejected));
        assert!(error.to_string().contains(shown), "{error}");
        assert!(error.hint().contains("permission"), "{}", error.hint());
    }
}

#[tokio::test]
async fn a_refusal_with_the_signature_of_another_body_is_not_believed() {
    for status in [400, 403, 404, 429] {
        for body in [ErrorBody::json("NO_AUTH", "no"), ErrorBody::Html, ErrorBody::Empty] {
            let gateway = Gateway::start().await;
            let misbehaviour = Misbehaviour::ForgedStatus { status, body, executed: true };
            let error = error_of(&gateway, misbehaviour).await;
            assert_eq!((error.outcome(), error.may_retry()), (Outcome::Unknown, false), "{error}");
            assert!(error.hint().contains("do not trust"), "{}", error.hint());
            assert_eq!(gateway.journal().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_coding_that_nobody_asked_for_is_named() {
    let error = assert_unverified(Misbehaviour::Encoded, "(gzip)", "encodes bodies").await;
    let Error::Transport(wxpay_transport::Error::Unverified(error)) = error else { panic!() };
    let UnverifiedCause::Encoded { coding, source, .. } = error.cause() else {
        panic!("{error:?}")
    };
    assert_eq!(coding, "gzip");
    assert!(matches!(source, VerifyError::Mismatch { .. }), "{source:?}");
    assert!(error.to_string().contains("changed the coding of its body"), "{error}");

    // The plan does not exist, so the correct response is a signed 404.
    let gateway = Gateway::start().await;
    gateway.misbehave(Misbehaviour::Encoded);
    let error =
        plans(&gateway, &gateway.base_url()).terminate(&plan_id("99999")).await.unwrap_err();
    assert_eq!((kind(&error), error.outcome()), ("api", Outcome::Unknown));
    let api = error.api().unwrap();
    assert_eq!((api.body_kind(), api.code()), (wxpay_transport::ErrorBody::Encoded, None));
    assert!(error.to_string().contains("answered 404 with a body in a coding"), "{error}");
    assert!(error.hint().contains("encodes bodies"), "{}", error.hint());
}

#[tokio::test]
async fn a_server_error_leaves_the_outcome_open() {
    for status in [500, 502, 503, 504] {
        for executed in [true, false] {
            for body in
                [ErrorBody::json("SYSTEM_ERROR", "系统错误"), ErrorBody::Html, ErrorBody::Empty]
            {
                let gateway = Gateway::start().await;
                let misbehaviour = Misbehaviour::Status { status, body, signed: false, executed };
                let error = error_of(&gateway, misbehaviour).await;
                assert_eq!((kind(&error), error.delivery()), ("api", Delivery::Answered));
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                assert!(!error.may_retry(), "{error}");
                assert!(error.hint().contains("read the state"), "{}", error.hint());
                assert_eq!(gateway.executions(), usize::from(executed));
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_with_a_bad_signature_is_not_believed() {
    let gateway = Gateway::start().await;
    // The plan does not exist, so the correct response is a signed 404.
    gateway.misbehave(Misbehaviour::TamperedBody);
    let error =
        plans(&gateway, &gateway.base_url()).terminate(&plan_id("99999")).await.unwrap_err();
    assert_eq!((kind(&error), error.delivery()), ("api", Delivery::Answered));
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(error.hint().contains("read the state"), "{}", error.hint());
    assert!(chain(&error).contains("does not fit"), "{}", chain(&error));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let gateway = Gateway::start().await;
    let error = error_of(&gateway, Misbehaviour::Redirect).await;
    assert_eq!((kind(&error), error.delivery()), ("api", Delivery::Answered));
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(!error.may_retry());
    assert!(error.hint().contains("redirects are not followed"), "{}", error.hint());
    assert_eq!(gateway.journal().len(), 1, "nothing was sent to the other path");
}

#[tokio::test]
async fn a_response_that_comes_too_late_is_unknown() {
    let gateway = Gateway::start().await;
    gateway.misbehave(Misbehaviour::Slow(Duration::from_secs(60)));
    let client = builder(&gateway, &gateway.base_url())
        .attempt_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let plans = wxpay_marketing::DeliveryPlans::new(client);
    let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!((kind(&error), error.delivery()), ("timeout", Delivery::Unknown), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.hint().contains("read the state"), "{}", error.hint());
    assert!(error.to_string().contains("waiting for the response"), "{error}");
    assert_eq!(gateway.executions(), 1);
}

#[tokio::test]
async fn what_the_gateway_refuses_is_a_rejection() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    plans.terminate(&plan_id("12000")).await.expect("the gateway works");
    for (id, code) in [("12000", "INVALID_REQUEST"), ("99999", "RESOURCE_NOT_EXISTS")] {
        let error = plans.terminate(&plan_id(id)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        assert_eq!(error.api().unwrap().code(), Some(code));
    }
}

#[tokio::test]
async fn both_kinds_of_key_verify() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let by_public_key = plans.terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(by_public_key.signed_by, gateway.public_key_id());
    gateway.sign_with_platform_certificate();
    let by_certificate = plans.terminate(&plan_id("12001")).await.unwrap();
    assert!(!by_certificate.signed_by.is_public_key_id());
}
