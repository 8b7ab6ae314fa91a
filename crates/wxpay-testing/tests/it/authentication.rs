//! A request is accepted, or refused for the right reason.

use crate::common::{Call, Credentials, PLANS, terminate};
use serde_json::json;
use wxpay_auth::{AuthorizationError, Identity, Nonce, PrivateKey, Timestamp};
use wxpay_testing::{Gateway, PlanState, Refusal, Verdict, WechatPay, WireServer};

/// Another merchant's key: that of the platform certificate does as well as any.
const OTHER_KEY: &str = include_str!("../../testdata/platform_private_key.pem");

/// Sends a call to both servers, and returns the reason and the response.
async fn refusal(spoil: impl Fn(&WechatPay) -> Call) -> (Refusal, u16, Vec<u8>) {
    let (gateway, server) = (Gateway::start().await, WireServer::start_plain().await);
    let mut seen = Vec::new();
    for (wechat_pay, base_url) in
        [(gateway.wechat_pay(), gateway.base_url()), (server.wechat_pay(), server.base_url())]
    {
        let response = spoil(wechat_pay).send(&base_url).await;
        assert!(!wxpay_auth::is_signed(&response.headers), "a refusal is not signed");
        assert!(response.header("date").is_some(), "the clocks can be compared");
        assert!(response.header("request-id").is_some());
        let journal = wechat_pay.journal();
        let entry = journal.last().expect("it is in the journal");
        assert_eq!((entry.status(), entry.executed()), (response.status, false));
        assert_eq!(wechat_pay.plan_state("12000"), Some(PlanState::Delivering));
        let Verdict::Refused(refusal) = entry.verdict() else { panic!("{entry:?}") };
        assert!(entry.to_string().ends_with(&format!("refused: {refusal}")), "{entry}");
        seen.push((refusal.clone(), response.status, response.body));
    }
    let last = seen.pop().unwrap();
    assert_eq!(seen[0].0, last.0, "both servers find the same reason");
    last
}

fn call(wechat_pay: &WechatPay) -> Call {
    Call::post(wechat_pay, &terminate("12000"))
}

/// Makes a call with spoiled credentials.
fn with(wechat_pay: &WechatPay, spoil: impl Fn(&mut Credentials)) -> Call {
    let mut credentials = Credentials::of(wechat_pay);
    spoil(&mut credentials);
    Call::new("POST", &terminate("12000"), "").signed(&credentials)
}

#[tokio::test]
async fn an_authentic_request_is_taken() {
    let gateway = Gateway::start().await;
    let call = call(&gateway);
    let response = call.send(&gateway.base_url()).await;
    assert_eq!((response.status, response.body.as_slice()), (204, &b""[..]));
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated));

    let journal = gateway.journal();
    let [entry] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!((entry.method(), entry.target()), ("POST", terminate("12000").as_str()));
    assert_eq!((entry.verdict(), entry.executed()), (&Verdict::Accepted, true));
    assert_eq!((entry.header("Accept"), entry.body()), (Some("application/json"), &b""[..]));
    assert_eq!(gateway.executions(), 1);
}

#[tokio::test]
async fn the_journal_shows_no_signature() {
    let gateway = Gateway::start().await;
    let call = call(&gateway);
    call.send(&gateway.base_url()).await;
    let entry = gateway.journal().remove(0);
    let authorization = entry.authorization().expect("it is kept").to_owned();
    let (_, signature) = authorization.split_once("signature=\"").expect("a signature");
    let shown = format!("{entry} {entry:?} {:?} {gateway:?}", entry.headers());
    assert!(!shown.contains(signature.trim_end_matches('"')), "{shown}");
    assert!(shown.contains("nonce_str="), "the rest is shown: {shown}");
}

#[tokio::test]
async fn headers_are_checked_before_the_signature() {
    for (name, refused) in [
        ("User-Agent", Refusal::MissingHeader("User-Agent")),
        ("Accept", Refusal::MissingHeader("Accept")),
    ] {
        let (reason, status, body) =
            refusal(|w| call(w).without(name).without("Authorization")).await;
        assert_eq!((reason, status), (refused, 400));
        let message = json!({"code": "INVALID_REQUEST", "message": "Http头缺少Accept或User-Agent"});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), message);
    }
    let (reason, status, _) = refusal(|w| call(w).with("Accept", "text/html")).await;
    assert_eq!((reason, status), (Refusal::WrongAccept, 400));
    let (reason, status, _) = refusal(|w| call(w).with("Content-Type", "text/plain")).await;
    assert_eq!((reason, status), (Refusal::WrongContentType, 400));
    let (reason, status, body) = refusal(|w| call(w).without("Content-Length")).await;
    assert_eq!((reason, status), (Refusal::NoContentLength, 411));
    assert!(body.starts_with(b"<html>"), "a server in front answers that");
}

#[tokio::test]
async fn a_get_needs_neither_length_nor_content_type() {
    let gateway = Gateway::start().await;
    for accept in ["application/json", "*/*", "text/html, application/json;q=0.9"] {
        let call = Call::get(&gateway, &format!("{PLANS}/1004/delivery-plans"));
        assert_eq!(call.with("Accept", accept).send(&gateway.base_url()).await.status, 200);
    }
}

#[tokio::test]
async fn the_authorization_header_is_checked() {
    let (reason, status, body) = refusal(|w| call(w).without("Authorization")).await;
    assert_eq!((reason, status), (Refusal::NoAuthorization, 401));
    assert!(String::from_utf8(body).unwrap().contains("Http头Authorization值格式错误"));

    let twice = |w: &WechatPay| {
        let mut call = call(w);
        let again = call.headers.last().unwrap().clone();
        call.headers.push(again);
        call
    };
    assert_eq!(refusal(twice).await.0, Refusal::NoAuthorization);

    let (reason, status, _) = refusal(|w| call(w).with("Authorization", "Bearer abc")).await;
    assert_eq!((reason, status), (Refusal::WrongScheme, 401));

    let brand = |c: &mut Credentials| {
        c.identity = Identity::Brand(wxpay_auth::BrandId::new("1004").unwrap());
    };
    assert_eq!(refusal(|w| with(w, brand)).await.0, Refusal::WrongScheme);

    let without_nonce = |w: &WechatPay| {
        let mut call = call(w);
        let value = &mut call.headers.last_mut().unwrap().1;
        *value = value.replace("nonce_str", "nonce");
        call
    };
    let unknown = Refusal::MalformedAuthorization(AuthorizationError::UnknownField);
    assert_eq!(refusal(without_nonce).await.0, unknown);
}

#[tokio::test]
async fn who_signs_with_what_is_checked() {
    let other = "1900000001";
    let (reason, status, _) =
        refusal(|w| with(w, |c| c.identity = other.parse::<wxpay_auth::Mchid>().unwrap().into()))
            .await;
    assert!(matches!(&reason, Refusal::WrongMchid { given, .. } if given == other), "{reason}");
    assert_eq!(status, 401);

    let other = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB";
    let (reason, status, _) = refusal(|w| with(w, |c| c.serial_no = other.parse().unwrap())).await;
    assert!(matches!(&reason, Refusal::WrongSerialNo { given, .. } if given.as_str() == other));
    assert_eq!(status, 401);

    let (reason, status, _) =
        refusal(|w| with(w, |c| c.key = PrivateKey::from_pem(OTHER_KEY).unwrap())).await;
    assert_eq!((reason, status), (Refusal::SignatureMismatch, 401));
}

#[tokio::test]
async fn a_timestamp_may_be_five_minutes_off() {
    let now = 1_800_000_000;
    let start = || {
        let clock = move || Timestamp::from_unix_secs(now);
        let wechat_pay = WechatPay::builder().clock(clock).build();
        WireServer::builder().wechat_pay(wechat_pay).start()
    };
    let server = start().await.unwrap();
    for (plan_id, offset) in [("12000", -300), ("12001", 300)] {
        let at = Timestamp::from_unix_secs(now.saturating_add_signed(offset));
        let mut credentials = Credentials::of(&server);
        credentials.timestamp = at;
        let call = Call::new("POST", &terminate(plan_id), "").signed(&credentials);
        assert_eq!(call.send(&server.base_url()).await.status, 204, "{offset}");
    }
    for offset in [-301, 301] {
        let mut credentials = Credentials::of(&server);
        credentials.timestamp = Timestamp::from_unix_secs(now.saturating_add_signed(offset));
        let call = Call::new("POST", &terminate("12002"), "").signed(&credentials);
        let response = call.send(&server.base_url()).await;
        assert_eq!(response.status, 401);
        assert_eq!(response.header("date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
        let journal = server.journal();
        let verdict = journal.last().unwrap().verdict();
        let Verdict::Refused(Refusal::ClockSkew { seconds, .. }) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(*seconds, offset);
    }
}

#[tokio::test]
async fn the_gateways_clock_can_be_put_off() {
    let gateway = Gateway::start().await;
    gateway.set_clock_offset(3600);
    let response = call(&gateway).send(&gateway.base_url()).await;
    assert_eq!(response.status, 401);
    assert!(response.json()["message"].as_str().unwrap().contains("不得超过5分钟"));
    gateway.set_clock_offset(0);
    assert_eq!(call(&gateway).send(&gateway.base_url()).await.status, 204);
}

#[tokio::test]
async fn a_nonce_is_well_formed_and_new() {
    let short = |w: &WechatPay| {
        let mut call = call(w);
        let value = &mut call.headers.last_mut().unwrap().1;
        *value = value.replace("nonce_str=\"", "nonce_str=\"x");
        call
    };
    assert_eq!(refusal(short).await.0, Refusal::MalformedNonce);

    let gateway = Gateway::start().await;
    let call = call(&gateway);
    assert_eq!(call.send(&gateway.base_url()).await.status, 204);
    assert_eq!(call.send(&gateway.base_url()).await.status, 401, "the same request again");
    assert_eq!(gateway.journal()[1].verdict(), &Verdict::Refused(Refusal::Replay));
    assert_eq!(gateway.executions(), 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_nonce_up() {
    let gateway = Gateway::start().await;
    let mut credentials = Credentials::of(&gateway);
    credentials.nonce = Nonce::new("0123456789abcdefghijABCDEFGHIJ01").unwrap();
    let good = Call::new("POST", &terminate("12000"), "").signed(&credentials);
    let bad = Call { target: terminate("12001"), ..good.clone() };
    assert_eq!(bad.send(&gateway.base_url()).await.status, 401);
    assert_eq!(good.send(&gateway.base_url()).await.status, 204);
}

#[tokio::test]
async fn a_sign_error_says_what_the_server_built() {
    let server = WireServer::start_plain().await;
    let mut credentials = Credentials::of(&server);
    credentials.nonce = Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap();
    let timestamp = credentials.timestamp;
    let target = format!("{}?a=%20b", terminate("12000"));
    let send = |signed_body: &'static str, sent_body: &'static str| {
        let signed = credentials.sign("POST", &target, signed_body);
        let call = Call::new("POST", &target, sent_body).with("Authorization", &signed);
        let base_url = server.base_url();
        async move { call.send(&base_url).await.json() }
    };
    let built = format!("POST\n{target}\n{timestamp}\n593BEC0C930BF1AFEB40B4A08C8FB242\n");
    let expected = |shown: &str, length: usize| {
        json!({
            "code": "SIGN_ERROR",
            "message": "错误的签名，验签失败",
            "detail": {
                "field": "signature",
                "issue": "sign not match",
                "location": "authorization",
                "sign_information": {
                    "method": "POST",
                    "url": target,
                    "truncated_sign_message": format!("{built}{shown}\n"),
                    "sign_message_length": built.len() + length + 1,
                },
            },
        })
    };
    // The signed body was lost; a short one is shown completely, a long one is truncated after 8 bytes.
    assert_eq!(send("{}", "").await, expected("", 0));
    assert_eq!(send("", "{\"a\":12}").await, expected("{\"a\":12}", 8));
    assert_eq!(send("", "{\"amount\":{\"total\":1}}").await, expected("{\"amount", 22));
    assert_eq!(send("", "{\"a\":\"计划\"}").await, expected("{\"a\":\"", 14));

    server.nest_detail();
    let mut nested = expected("", 0);
    nested["detail"].as_object_mut().unwrap().remove("issue");
    nested["detail"]["detail"] = json!({ "issue": "sign not match" });
    assert_eq!(send("{}", "").await, nested);
}
