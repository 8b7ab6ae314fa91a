//! Each misbehaviour does what its name says.

use std::time::{Duration, Instant};

use crate::common::{Call, PLANS, Response, terminate};
use wxpay_auth::{SystemClock, VerifyError, verify_response};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, PlanState};

/// Terminates a plan under a misbehaviour, and returns the response and the result of verifying it.
async fn under(misbehaviour: Misbehaviour) -> (Gateway, Response, Result<(), VerifyError>) {
    let gateway = Gateway::start().await;
    gateway.misbehave(misbehaviour);
    let response = Call::post(&gateway, &terminate("12000")).send(&gateway.base_url()).await;
    let ring = gateway.key_ring_with_expired_certificate();
    let body = response.body.as_slice();
    let verified = verify_response(&ring, &SystemClock, &response.headers, body).await.map(|_| ());
    (gateway, response, verified)
}

/// Expects a 2xx that was carried out, and does not verify.
async fn unverified(misbehaviour: Misbehaviour) -> (Gateway, Response, VerifyError) {
    let (gateway, response, verified) = under(misbehaviour).await;
    assert!((200..300).contains(&response.status), "{}", response.status);
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated), "it is carried out");
    assert_eq!(gateway.executions(), 1);
    let error = verified.unwrap_err();
    (gateway, response, error)
}

#[tokio::test]
async fn an_unsigned_success_has_no_signature() {
    for misbehaviour in [Misbehaviour::UnsignedSuccess, Misbehaviour::Unsigned] {
        let (_, response, _) = unverified(misbehaviour).await;
        assert!(!wxpay_auth::is_signed(&response.headers));
        assert!(response.header("request-id").is_some(), "the rest is there");
    }
}

#[tokio::test]
async fn each_header_can_be_missing() {
    for name in
        ["Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"]
    {
        let (_, _, error) = unverified(Misbehaviour::MissingHeader(name)).await;
        assert!(
            matches!(error, VerifyError::MissingHeader { name: n, .. } if n == name),
            "{error}"
        );
    }
    let (_, response, verified) = under(Misbehaviour::MissingHeader("Request-ID")).await;
    assert!(verified.is_ok());
    assert_eq!(response.header("request-id"), None);
}

#[tokio::test]
async fn a_tampered_body_does_not_fit_its_signature() {
    let (gateway, response, error) = unverified(Misbehaviour::TamperedBody).await;
    assert!(matches!(error, VerifyError::Mismatch { .. }), "{error}");
    assert_eq!((response.status, response.json()["tampered"].as_bool()), (200, Some(true)));

    // The same on a body that is there: still JSON, one byte more.
    let target = format!("{PLANS}/1004/delivery-plans");
    let tampered = Call::get(&gateway, &target).send(&gateway.base_url()).await;
    gateway.behave();
    let right = Call::get(&gateway, &target).send(&gateway.base_url()).await;
    assert_eq!(tampered.json(), right.json());
    assert_ne!(tampered.body, right.body);
}

#[tokio::test]
async fn the_serial_of_the_other_key_is_a_mismatch() {
    let (gateway, _, error) = unverified(Misbehaviour::WrongSerial).await;
    let VerifyError::Mismatch { serial, .. } = error else { panic!("{error}") };
    assert!(!serial.is_public_key_id());
    assert!(gateway.key_ring().serials().contains(&serial), "it is a key that is held");
}

#[tokio::test]
async fn an_unknown_serial_is_not_held() {
    let (gateway, response, error) = unverified(Misbehaviour::UnknownSerial).await;
    let VerifyError::UnknownSerial { serial, .. } = error else { panic!("{error}") };
    assert_eq!(response.header("wechatpay-serial"), Some(serial.as_str()));
    // The signature itself is valid: it verifies with the right serial.
    let mut headers = response.headers.clone();
    let right = gateway.public_key_id().as_str().parse().unwrap();
    headers.insert("wechatpay-serial", right);
    let ring = gateway.key_ring();
    verify_response(&ring, &SystemClock, &headers, b"").await.unwrap();
}

#[tokio::test]
async fn a_probe_is_the_real_one() {
    let (_, response, error) = unverified(Misbehaviour::Probe).await;
    assert!(matches!(error, VerifyError::Probe { .. }), "{error}");
    let signature = response.header("wechatpay-signature").unwrap();
    assert!(signature.starts_with("WECHATPAY/SIGNTEST/"));
    assert_eq!(signature.len(), 355);
    let serial = response.header("wechatpay-serial");
    assert_eq!(serial, Some("51856640BA57CBD6343BA9EA2D409A9E9AC5EB65"));
}

#[tokio::test]
async fn a_malformed_signature_is_no_base64() {
    let (_, _, error) = unverified(Misbehaviour::MalformedSignature).await;
    assert!(matches!(error, VerifyError::MalformedSignature), "{error}");
}

#[tokio::test]
async fn timestamps_are_ten_minutes_off() {
    for (misbehaviour, expected) in
        [(Misbehaviour::StaleTimestamp, -600), (Misbehaviour::FutureTimestamp, 600)]
    {
        let (_, _, error) = unverified(misbehaviour).await;
        let VerifyError::ClockSkew { seconds, .. } = error else { panic!("{error}") };
        assert!((seconds - expected).abs() <= 5, "{seconds}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_held_and_not_valid() {
    let (gateway, _, error) = unverified(Misbehaviour::ExpiredCertificate).await;
    let VerifyError::KeyNotValid { serial, .. } = error else { panic!("{error}") };
    let expired = wxpay_auth::Certificate::from_pem(gateway.expired_certificate_pem()).unwrap();
    assert_eq!(serial.as_str(), expired.serial_no().as_str());
    assert!(!gateway.key_ring().serials().contains(&serial), "the usual ring has it not");
}

#[tokio::test]
async fn another_status_is_signed_and_executed_as_asked() {
    for (signed, executed) in [(false, false), (false, true), (true, false), (true, true)] {
        for (body, expected) in [
            (
                ErrorBody::json("SYSTEM_ERROR", "x"),
                &br#"{"code":"SYSTEM_ERROR","message":"x"}"#[..],
            ),
            (ErrorBody::Html, b"<html>"),
            (ErrorBody::Empty, b""),
            (ErrorBody::CodelessJson, br#"{"message":"no"}"#),
            (ErrorBody::Text, b"no"),
            (ErrorBody::Padded(9000), br#"{"code":"PARAM_ERROR","message":"#),
            (ErrorBody::NonUtf8, b"{\xff\xfe}"),
        ] {
            let misbehaviour = Misbehaviour::Status { status: 500, body, signed, executed };
            let (gateway, response, verified) = under(misbehaviour).await;
            assert_eq!(response.status, 500);
            assert!(response.body.starts_with(expected));
            assert_eq!(response.body.is_empty(), expected.is_empty());
            assert_eq!(verified.is_ok(), signed);
            assert_eq!(gateway.executions(), usize::from(executed));
            let terminated = gateway.plan_state("12000") == Some(PlanState::Terminated);
            assert_eq!(terminated, executed);
        }
    }
}

#[tokio::test]
async fn a_forged_status_has_the_signature_of_another_body() {
    for executed in [false, true] {
        for body in [ErrorBody::json("X", "x"), ErrorBody::Empty, ErrorBody::Padded(9000)] {
            let length = if let ErrorBody::Padded(bytes) = &body { Some(*bytes) } else { None };
            let misbehaviour = Misbehaviour::ForgedStatus { status: 404, body, executed };
            let (gateway, response, verified) = under(misbehaviour).await;
            assert_eq!(response.status, 404);
            assert!(length.is_none_or(|length| response.body.len() == length));
            assert!(matches!(verified, Err(VerifyError::Mismatch { .. })), "{verified:?}");
            assert_eq!(gateway.executions(), usize::from(executed));
        }
    }
}

#[tokio::test]
async fn an_encoded_body_is_not_the_one_that_was_signed() {
    let (_, response, error) = unverified(Misbehaviour::Encoded).await;
    assert!(matches!(error, VerifyError::Mismatch { .. }), "{error}");
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    // An empty body, in a single final block.
    let empty = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(response.body, empty);
}

#[tokio::test]
async fn an_unexpected_success_verifies() {
    for (status, body) in [(200, "{}"), (202, ""), (204, "")] {
        let misbehaviour = Misbehaviour::UnexpectedSuccess { status, body: body.to_owned() };
        let (gateway, response, verified) = under(misbehaviour).await;
        verified.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (status, body.as_bytes()));
        assert_eq!(gateway.executions(), 1);
    }
}

#[tokio::test]
async fn a_redirect_does_nothing_else() {
    let (gateway, response, _) = under(Misbehaviour::Redirect).await;
    assert_eq!((response.status, response.header("location")), (302, Some("/v3/elsewhere")));
    assert_eq!(gateway.executions(), 0);
}

#[tokio::test]
async fn a_slow_response_is_carried_out_first() {
    let gateway = Gateway::start().await;
    gateway.misbehave(Misbehaviour::Slow(Duration::from_secs(1)));
    let begun = Instant::now();
    let call = Call::post(&gateway, &terminate("12000"));
    let base_url = gateway.base_url();
    let sending = tokio::spawn(async move { call.send(&base_url).await.status });
    while gateway.executions() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never carried out");
    }
    assert!(!sending.is_finished(), "carried out, and not answered yet");
    assert_eq!(sending.await.unwrap(), 204);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_oversized_response_has_that_size_and_verifies() {
    let (_, response, verified) = under(Misbehaviour::Oversized(3_000_000)).await;
    assert_eq!((response.status, response.body.len()), (200, 3_000_000));
    verified.unwrap();
}

#[tokio::test]
async fn what_happens_some_times_goes_before_what_always_happens() {
    let gateway = Gateway::start().await;
    let status = |status| Misbehaviour::Status {
        status,
        body: ErrorBody::Empty,
        signed: false,
        executed: false,
    };
    gateway.misbehave(status(503));
    gateway.misbehave_times(2, status(429));
    gateway.misbehave_once(status(500));
    let mut seen = Vec::new();
    for _ in 0..5 {
        let call = Call::post(&gateway, &terminate("12000"));
        seen.push(call.send(&gateway.base_url()).await.status);
    }
    assert_eq!(seen, [429, 429, 500, 503, 503]);
    gateway.behave();
    let call = Call::post(&gateway, &terminate("12000"));
    assert_eq!(call.send(&gateway.base_url()).await.status, 204);
}

#[tokio::test]
async fn a_request_that_is_refused_uses_no_misbehaviour_up() {
    let gateway = Gateway::start().await;
    gateway.misbehave_once(Misbehaviour::Redirect);
    let call = Call::post(&gateway, &terminate("12000"));
    assert_eq!(call.without("Authorization").send(&gateway.base_url()).await.status, 401);
    let call = Call::post(&gateway, &terminate("12000"));
    assert_eq!(call.send(&gateway.base_url()).await.status, 302);
}
