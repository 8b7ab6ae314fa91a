//! No key, no `Authorization`, no signature and no body in any log or `Debug`.

use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{
    ConnectProxy, ErrorBody, Fault, How, Misbehaviour, Plan, Point, ProxyManners, ServerTls,
    WireServer,
};
use wxpay_tests::log::Log;
use wxpay_tests::{builder, own_process, plan_id};
use wxpay_transport::{Error, Proxy, Request, Target, Transport};

const SECRET_BODY: &str = "body-that-nobody-may-see";
const SECRET_PASSWORD: &str = "pa55word-of-the-proxy";

/// Returns the secrets that are known in advance.
fn secrets(server: &WireServer) -> Vec<String> {
    let key = server.merchant_key_pem().lines().filter(|line| !line.starts_with("-----"));
    let mut secrets: Vec<String> = key.map(|line| line[..20.min(line.len())].to_owned()).collect();
    assert!(secrets.len() > 20, "the key has many lines");
    secrets.extend([
        SECRET_BODY.to_owned(),
        SECRET_PASSWORD.to_owned(),
        "nonce_str=".to_owned(),
        "signature=\\\"".to_owned(),
        "signature=\"".to_owned(),
        "WECHATPAY2-SHA256-RSA2048 mchid".to_owned(),
        "PRIVATE KEY".to_owned(),
        // The body as a list of bytes.
        format!("{}, {}, {}, {}", b'b', b'o', b'd', b'y'),
    ]);
    secrets
}

fn assert_none(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{what} shows {secret:?}: {text}");
    }
    // A signature is 344 characters of base64, whatever its value.
    let longest = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '/'))
        .map(str::len)
        .max();
    assert!(longest.unwrap_or(0) < 200, "{what} may show a signature: {text}");
}

#[tokio::test]
async fn logs_at_trace_and_debug_output_hold_no_secret() {
    own_process!();
    let log = Log::of_process();
    let server = WireServer::start_tls(ServerTls::Good).await;
    let secrets = secrets(&server);
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    let through = Proxy::new(proxy.url_with(&format!("user:{SECRET_PASSWORD}"))).unwrap();
    let client_builder = builder(&server, &server.base_url()).proxy(through);
    assert_none("the builder", &format!("{client_builder:?} {client_builder:#?}"), &secrets);
    let client = client_builder.build().unwrap();
    let plans_through_proxy = DeliveryPlans::new(client.clone());

    // A successful call with a request body and a response body.
    let terminated = plans_through_proxy.terminate(&plan_id("12000")).await.unwrap();
    assert_none("a success", &format!("{terminated:?}"), &secrets);
    server.misbehave_once(Misbehaviour::UnexpectedSuccess {
        status: 200,
        body: format!("{{\"x\":\"{SECRET_BODY}\"}}"),
    });
    let request = Request::post("secret", Target::new("/v3/secret").unwrap())
        .with_json(&serde_json::json!({ "x": SECRET_BODY }))
        .unwrap();
    assert_none("a request", &format!("{request:?} {request:#?}"), &secrets);
    let response = client.send(request.clone()).await.unwrap();
    assert!(response.body().body().windows(SECRET_BODY.len()).any(|w| w == SECRET_BODY.as_bytes()));
    assert_none("a response", &format!("{response:?} {response:#?}"), &secrets);

    // Errors of all kinds.
    let mut errors = vec![];
    let refusal =
        |status, body| Misbehaviour::Status { status, body, signed: true, executed: false };
    for misbehaviour in [
        Misbehaviour::UnsignedSuccess,
        Misbehaviour::Probe,
        Misbehaviour::WrongSerial,
        Misbehaviour::TamperedBody,
        Misbehaviour::Oversized(2 << 20),
        Misbehaviour::Redirect,
        refusal(400, ErrorBody::json("PARAM_ERROR", "参数错误")),
        refusal(500, ErrorBody::Html),
        refusal(500, ErrorBody::NonUtf8),
    ] {
        server.misbehave_once(misbehaviour);
        errors.push(client.send(request.clone()).await.unwrap_err());
    }
    for at in [Point::RequestBytes(1), Point::Executed, Point::ResponseBytes(20)] {
        server.fault_once(Fault::new(at, How::Reset));
        errors.push(client.send(request.clone()).await.unwrap_err());
    }
    // The server quotes the signed body in a SIGN_ERROR.
    server.set_clock_offset(1000);
    errors.push(client.send(request.clone()).await.unwrap_err());
    assert_eq!(server.journal().last().unwrap().status(), 401);
    let refused_proxy = ConnectProxy::start(ProxyManners::Refuse(407)).await;
    let through = Proxy::new(refused_proxy.url_with(&format!("user:{SECRET_PASSWORD}"))).unwrap();
    let refused = builder(&server, &server.base_url()).proxy(through).build().unwrap();
    errors.push(refused.send(request).await.unwrap_err());
    for error in &errors {
        assert_none("an error", &everything_of(error), &secrets);
    }
    assert_none("a client", &format!("{client:?} {client:#?}"), &secrets);
    assert_none("a service", &format!("{plans_through_proxy:?}"), &secrets);
    assert_none("the server", &format!("{server:?}"), &secrets);
    let journal = format!("{:?}", server.journal());
    assert!(journal.contains("(left out)") && !journal.contains(SECRET_BODY), "{journal}");
    assert_none("a plan", &format!("{:?}", Plan::new("1", "2")), &secrets);

    let log = log.text();
    for expected in ["wxpay_call", "delivery_plans.terminate", "request_id", "delivery", "attempt"]
    {
        assert!(log.contains(expected), "the log contains {expected}: {log}");
    }
    assert_none("the log", &log, &secrets);
}

fn everything_of(error: &Error) -> String {
    format!("{error} {error:?} {error:#?} {} {}", error.hint(), wxpay_tests::chain(error))
}
