//! The signed bytes are the sent bytes.

use wxpay_auth::{
    KeyRing, NotReady, SignedMessage, Timestamp, Verifier, VerifyError, WechatpaySerial,
    async_trait,
};
use wxpay_marketing::{DeliveryPlans, Error, PlanId, PlanIdError};
use wxpay_testing::{Plan, PlanState, ServerTls, Verdict, WireServer};
use wxpay_tests::{builder, plan_id, plans};
use wxpay_transport::{
    BaseUrl, Client, HeaderName, HeaderValue, Method, Outcome, Proxy, Replay, Request, Target,
    Transport,
};

const PATH: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

#[tokio::test]
async fn every_id_is_refused_or_sent_encoded_once() {
    // `None`: refused before anything is sent.
    let long = "x".repeat(41);
    let longest = "x".repeat(40);
    let ids: [(&str, Option<&str>); 21] = [
        ("12000", Some("12000")),
        ("a+b", Some("a%2Bb")),
        ("a.b", Some("a.b")),
        ("...", Some("...")),
        ("a:b@c", Some("a%3Ab%40c")),
        ("a&b=c;d", Some("a%26b%3Dc%3Bd")),
        ("a\"b<c>", Some("a%22b%3Cc%3E")),
        ("a-b_c~d", Some("a-b_c~d")),
        ("计划1", Some("%E8%AE%A1%E5%88%921")),
        (&longest, Some(&longest)),
        ("", None),
        (".", None),
        ("..", None),
        ("a b", None),
        ("a/b", None),
        ("a%2Fb", None),
        ("a?b", None),
        ("a#b", None),
        ("a\\b", None),
        ("12000\n", None),
        (&long, None),
    ];
    let server = WireServer::start_tls(ServerTls::Good).await;
    let plans = plans(&server, &server.base_url());
    let mut sent = 0;
    for (id, encoded) in ids {
        server.add_plan(Plan::new(id, "1004"));
        match (PlanId::new(id), encoded) {
            (Ok(plan_id), Some(encoded)) => {
                plans.terminate(&plan_id).await.unwrap_or_else(|e| panic!("{id}: {e}"));
                sent += 1;
                let journal = server.journal();
                let last = journal.last().expect("a request");
                assert_eq!(last.target(), format!("{PATH}/{encoded}/terminate"));
                assert_eq!(last.verdict(), &Verdict::Accepted, "{id}");
                assert_eq!(server.plan_state(id), Some(PlanState::Terminated), "{id}");
            }
            (Err(error), None) => {
                assert!(!error.hint().is_empty());
                let error = Error::from(error);
                assert_eq!(error.outcome(), Outcome::NotSent, "{id}");
                assert_eq!(server.plan_state(id), Some(PlanState::Delivering), "{id}");
            }
            (result, _) => panic!("{id}: {result:?}"),
        }
        assert_eq!(server.journal().len(), sent);
    }
    let error = PlanId::new(long).unwrap_err();
    assert!(matches!(error, PlanIdError::TooLong { characters: 41, .. }), "{error}");
}

#[tokio::test]
async fn an_empty_post_has_the_headers_of_the_official_sample() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).user_agent("my-shop/1.2").build().unwrap();
    DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap();
    let journal = server.journal();
    let entry = &journal[0];
    assert_eq!((entry.method(), entry.status()), ("POST", 204));
    assert_eq!(entry.header("content-length"), Some("0"));
    assert_eq!(entry.header("transfer-encoding"), None);
    assert_eq!(entry.header("accept"), Some("application/json"));
    assert_eq!(entry.header("content-type"), Some("application/json"));
    assert_eq!(entry.header("host"), Some(server.address().to_string().as_str()));
    assert_eq!(entry.header("wechatpay-serial"), Some(server.public_key_id().as_str()));
    let user_agent = entry.header("user-agent").unwrap();
    assert!(user_agent.starts_with("my-shop/1.2 wxpay-rust/"), "{user_agent}");
    let authorization = entry.header("authorization").unwrap();
    assert!(
        authorization.starts_with("WECHATPAY2-SHA256-RSA2048 mchid=\"1900007291\",nonce_str=\"")
    );
    assert_eq!(entry.headers().len(), 7, "and no other: {:?}", entry.headers());
}

#[tokio::test]
async fn a_ring_without_a_public_key_asks_for_its_certificate() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    client.verifier().remove(&server.public_key_id());
    server.sign_with_platform_certificate();
    DeliveryPlans::new(client.clone()).terminate(&plan_id("12000")).await.unwrap();
    let certificate = wxpay_auth::Certificate::from_pem(server.platform_certificate_pem()).unwrap();
    let asked = server.journal()[0].header("wechatpay-serial").map(str::to_owned);
    assert_eq!(asked.as_deref(), Some(certificate.serial_no().as_str()));

    // Without a key nothing can be verified, so nothing is sent.
    client.verifier().remove(&certificate.serial_no().clone().into());
    let error = DeliveryPlans::new(client).terminate(&plan_id("12001")).await.expect_err("no key");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(server.journal().len(), 1);
}

/// Accepts any key that WeChat Pay selects.
#[derive(Debug)]
struct Whichever(KeyRing);

#[async_trait]
impl Verifier for Whichever {
    fn preferred_serial(&self, _: Timestamp) -> Option<WechatpaySerial> {
        None
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.0.readiness(now)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        self.0.verify(message).await
    }
}

#[tokio::test]
async fn a_verifier_that_asks_for_no_key_sends_no_serial() {
    let server = WireServer::start_plain().await;
    let verifier = Whichever(server.key_ring());
    let client = Client::builder(server.mchid(), server.signer(), verifier)
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(server.journal()[0].header("wechatpay-serial"), None);
}

#[tokio::test]
async fn a_request_with_encrypted_fields_names_their_key() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let target = Target::new(format!("{PATH}/1004/delivery-plans")).unwrap();
    let certificate = wxpay_auth::Certificate::from_pem(server.platform_certificate_pem()).unwrap();
    let request = |serial: &WechatpaySerial| {
        Request::get("list", target.clone()).with_wechatpay_serial(serial).unwrap()
    };
    // The verifier prefers the public key.
    client.send(request(&certificate.serial_no().clone().into())).await.unwrap();
    let asked = server.journal()[0].header("wechatpay-serial").map(str::to_owned);
    assert_eq!(asked.as_deref(), Some(certificate.serial_no().as_str()));

    let error = client.send(request(&server.serial_no().into())).await.unwrap_err();
    assert!(matches!(error, wxpay_transport::Error::Verifier(_)), "{error:?}");
    assert!(error.to_string().contains("its fields are encrypted for"), "{error}");
    assert_eq!((error.outcome(), server.journal().len()), (Outcome::NotSent, 1));
}

#[tokio::test]
async fn a_query_and_a_body_are_signed_as_they_are_sent() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let target = Target::new(format!("{PATH}/1004/delivery-plans"))
        .unwrap()
        .query("plan_id", "12000")
        .and_then(|t| t.query("note", "a b&c=d+e/计"))
        .unwrap();
    let language = HeaderName::from_static("accept-language");
    let request = Request::get("list", target.clone())
        .with_header(language, HeaderValue::from_static("zh-CN"))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let list: serde_json::Value = serde_json::from_slice(response.body().body()).unwrap();
    assert_eq!(list["total_count"], 1);
    assert_eq!(list["plan_list"][0]["plan_id"], "12000");
    assert_eq!(server.journal()[0].target(), target.as_str());
    assert_eq!(server.journal()[0].header("accept-language"), Some("zh-CN"));
    assert_eq!(server.journal()[0].header("content-length"), None);

    // A body for an operation that the gateway does not know: its signature is still valid.
    for method in [Method::POST, Method::PATCH, Method::PUT] {
        let request = Request::new(method.clone(), "unknown", Target::new("/v3/unknown").unwrap())
            .with_json(&serde_json::json!({ "name": "满减", "n": 1 }))
            .unwrap()
            .with_replay(Replay::Keyed);
        let error = client.send(request).await.unwrap_err();
        let wxpay_transport::Error::Api(error) = error else { panic!("{error:?}") };
        assert_eq!(error.code(), Some("NOT_FOUND"), "{method}");
        let journal = server.journal();
        let last = journal.last().unwrap();
        assert_eq!(last.verdict(), &Verdict::Accepted, "{method}");
        assert_eq!(last.header("content-length"), Some("23"), "{method}");
    }
}

#[tokio::test]
async fn every_request_has_a_nonce_of_its_own() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let target = Target::new(format!("{PATH}/1004/delivery-plans")).unwrap();
    for _ in 0..20 {
        // The gateway refuses a nonce that was used before.
        let list = Request::get("list", target.clone()).recognised_by(|_| true);
        client.send(list).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}
