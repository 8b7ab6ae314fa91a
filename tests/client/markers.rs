//! A marker in every text that an application passes in: it is never shown, whether the text is valid or not.

use std::error::Error as StdError;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wxpay_marketing::PlanId;
use wxpay_testing::{ConnectProxy, ErrorBody, Misbehaviour, ProxyManners, ServerTls, WireServer};
use wxpay_tests::log::Log;
use wxpay_tests::{builder, chain, own_process};
use wxpay_transport::{
    BaseUrl, ClientSettings, ConfigError, Failover, HeaderName, HeaderValue, Proxy,
    RedisRateLimiter, Request, RequestError, Target, Tls, Transport,
};

const MARKER: &str = "m4rk3r";

/// Everything logged at TRACE in this process.
fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(Log::of_process)
}

/// Collects the visible texts of values and errors.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn value(&mut self, value: &impl Debug) {
        self.0.push(format!("{value:?} {value:#?}"));
    }

    fn error(&mut self, error: &(impl StdError + 'static), hint: &str) {
        self.0.push(format!("{error} {error:?} {error:#?} {hint} {}", chain(error)));
    }

    fn config<T: Debug>(&mut self, made: &Result<T, ConfigError>) {
        match made {
            Ok(value) => self.value(value),
            Err(error) => self.error(error, error.hint()),
        }
    }

    fn request<T: Debug>(&mut self, made: &Result<T, RequestError>) {
        match made {
            Ok(value) => self.value(value),
            Err(error) => self.error(error, error.hint()),
        }
    }

    fn assert_no_marker(&self) {
        for seen in &self.0 {
            assert!(!seen.contains(MARKER), "{seen}");
            assert!(!seen.contains(&STANDARD.encode(format!("user:{MARKER}"))), "{seen}");
        }
    }
}

/// Returns text that looks like PEM and contains the marker.
fn pem(label: &str) -> String {
    let body = format!("MIIE{MARKER}{}", "A".repeat(54));
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Puts each value into each setting, and collects what a client built from them shows.
#[tokio::test]
async fn settings_show_nothing_of_what_is_misplaced() {
    own_process!();
    log();
    let mut seen = Seen::default();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wxpay-auth/testdata/keys");
    let good = json!({
        "mchid": "1900007291",
        "private_key": format!("{keys}/merchant_private_key.pem"),
        "serial_no": "5F1C72E2A8931B72A2E13AF8DEE92471EB397115",
        "public_key_id": "PUB_KEY_ID_0000000000000024101100397200000006",
        "public_key": format!("{keys}/wechat_pay_public_key.pem"),
    });
    let key = pem("PRIVATE KEY");
    // A path is shown where a path belongs: these are not paths.
    let anywhere = [
        key.clone(),
        key.replace('\n', "\\n"),
        key.replace('\n', " "),
        key.lines().nth(1).unwrap().to_owned(),
    ];
    let elsewhere = [
        MARKER.to_owned(),
        format!("{MARKER} {MARKER}"),
        format!("https://user:{MARKER}@host"),
        format!("https://host/?token={MARKER}"),
        format!("file:/nowhere?password={MARKER}"),
        format!("file:/nowhere?serial_no={MARKER}"),
        format!("vault:key?token={MARKER}&address=https://vault"),
        format!("pkcs11:object=a?pin-value={MARKER}"),
    ];
    let paths = ["private_key", "public_key"];
    let mut tried = 0;
    for member in
        ["mchid", "private_key", "signer", "serial_no", "public_key_id", "public_key", "base_url"]
    {
        let elsewhere = elsewhere.iter().filter(|_| !paths.contains(&member));
        for text in anywhere.iter().chain(elsewhere) {
            let mut json = good.clone();
            json[member] = text.as_str().into();
            if member == "signer" {
                json.as_object_mut().unwrap().remove("private_key");
            }
            let settings: ClientSettings = serde_json::from_value(json).unwrap();
            seen.value(&settings);
            let error = match settings.builder().await {
                Ok(builder) => {
                    seen.value(&builder);
                    builder.build().unwrap_err()
                }
                Err(error) => error,
            };
            seen.error(&error, &error.hint());
            tried += 1;
        }
    }
    assert_eq!(tried, 7 * anywhere.len() + 5 * elsewhere.len());
    for wrong in [
        json!(MARKER),
        json!([MARKER]),
        json!({ MARKER: 1 }),
        json!({ "mchid": [MARKER] }),
        json!({ "mchid": { MARKER: MARKER } }),
        json!({ "mchid": "1900007291", "private_key": [MARKER] }),
    ] {
        let error = serde_json::from_value::<ClientSettings>(wrong).unwrap_err();
        seen.error(&error, "");
    }
    seen.assert_no_marker();
    assert!(!log().text().contains(MARKER), "{}", log().text());
}

#[test]
fn what_is_refused_is_not_repeated() {
    let mut seen = Seen::default();
    let good = Proxy::new(format!("http://{MARKER}:{MARKER}@proxy.example:1")).unwrap();
    seen.value(&good);
    // At any position it may be part of a password with a raw character.
    for raw in
        ["@", "#", "/", "?", "%", " ", "\"", "\\", "密", "\n", "[", ":", "@@", "#@", "/@", "?@"]
    {
        for (before, after) in [("user:", ""), ("user:", MARKER), (MARKER, ":x"), ("", "")] {
            for scheme in ["http://", "https://", "socks5://", "htp://", "\"http://", ""] {
                let url = format!("{scheme}{before}{MARKER}{raw}{after}@proxy.example:3128");
                match Proxy::new(&url) {
                    // An additional colon is part of the password.
                    Ok(proxy) => {
                        assert_eq!(raw, ":", "{url}");
                        seen.value(&proxy);
                    }
                    Err(error) => seen.error(&error, error.hint()),
                }
                if !raw.contains('@') {
                    // Otherwise, what follows is a host.
                    seen.config(&Proxy::new(format!("{scheme}user:{MARKER}{raw}{after}")));
                }
                seen.config(&BaseUrl::new(&url));
                seen.config(&BaseUrl::dangerous_plain_http(&url));
                seen.config(&url.parse::<BaseUrl>());
                let one = NonZeroU32::MIN;
                seen.config(&RedisRateLimiter::new(&url, one));
                seen.config(&RedisRateLimiter::new(&url.replace("http", "redis"), one));
            }
        }
    }
    for wrong in ["/", "%", "\n", "\u{feff}", &"x".repeat(40)] {
        let error = PlanId::new(format!("{MARKER}{wrong}{MARKER}")).unwrap_err();
        seen.error(&error, error.hint());
    }
    for (pem, is_good) in [
        (MARKER.to_owned(), false),
        (pem("CERTIFICATE"), false),
        (pem("PRIVATE KEY"), false),
        (format!("{}{MARKER}", wxpay_testing::ca_pem()), true),
        (format!("{}{}", wxpay_testing::ca_pem(), pem("PRIVATE KEY")), true),
        (format!("{}{}", wxpay_testing::ca_pem(), pem("CERTIFICATE")), false),
    ] {
        let tls = Tls::roots_pem(pem.as_bytes());
        assert_eq!(tls.is_ok(), is_good, "{pem}");
        seen.config(&tls);
    }
    for url in [format!("https://a.example/{MARKER}"), format!("https://a.example?{MARKER}")] {
        seen.config(&BaseUrl::new(url));
    }
    let limiter = RedisRateLimiter::new(
        &format!("rediss://{MARKER}:{MARKER}@redis.example:6379/0"),
        NonZeroU32::MIN,
    );
    seen.value(&limiter.unwrap());
    seen.config(&RedisRateLimiter::new(
        &format!("redis://redis.example/{MARKER}"),
        NonZeroU32::MIN,
    ));

    let path = || Target::new("/v3/x").unwrap();
    for target in [MARKER.to_owned(), format!("/v3/{MARKER} x"), format!("/{MARKER}/..")] {
        seen.request(&Target::new(target));
    }
    seen.request(&path().segment(&MARKER.repeat(2000)));
    seen.request(&path().query("a", MARKER));
    seen.request(&path().query("a", "b").unwrap().segment(MARKER));

    let value = HeaderValue::from_static(MARKER);
    let request = || Request::post("x", path().query("a", MARKER).unwrap());
    let name = HeaderName::from_static("x-token");
    seen.request(&request().with_header(name, value.clone()));
    seen.request(&request().with_header(HeaderName::from_static("authorization"), value));
    seen.request(&request().with_json(&serde_json::json!({ "a": MARKER })));
    let no_json = std::collections::HashMap::from([((MARKER, 1), MARKER)]);
    seen.request(&request().with_json(&no_json));
    seen.value(&request().with_body(MARKER));
    seen.assert_no_marker();
}

#[tokio::test]
async fn nothing_of_it_is_logged() {
    own_process!();
    log();
    let mut seen = Seen::default();
    let server = WireServer::start_tls(ServerTls::Good).await;
    let request = || {
        let target = Target::new("/v3/shown-path").unwrap().query("a", MARKER).unwrap();
        let name = HeaderName::from_static("x-token");
        Request::get("shown.operation", target)
            .with_header(name, HeaderValue::from_static(MARKER))
            .unwrap()
            .with_body(MARKER)
    };
    let proxies = [
        ConnectProxy::start(ProxyManners::Credentials(format!("user:{MARKER}"))).await,
        ConnectProxy::start_tls(ProxyManners::Open).await,
        ConnectProxy::start(ProxyManners::Refuse(407)).await,
        ConnectProxy::start(ProxyManners::Refuse(302)).await,
    ];
    for (n, proxy) in proxies.iter().enumerate() {
        let through = Proxy::new(proxy.url_with(&format!("user:{MARKER}"))).unwrap();
        let base_url = BaseUrl::new(server.base_url()).unwrap();
        let standby = format!("https://localhost:{}", server.address().port());
        let client = builder(&server, &server.base_url())
            .proxy(through)
            .user_agent(MARKER)
            .base_url(base_url)
            .failover(Failover::to(BaseUrl::new(standby).unwrap()));
        seen.value(&client);
        let client = client.build().unwrap();
        seen.value(&client);
        for _ in 0..2 {
            match client.send(request()).await {
                Ok(response) => seen.value(&response),
                Err(error) => {
                    seen.error(&error, &error.hint());
                    assert_eq!(error.status().is_none(), n > 1, "{error:?}");
                }
            }
            let (body, signed) = (ErrorBody::json("PARAM_ERROR", "told to"), true);
            let refused = Misbehaviour::Status { status: 400, body, signed, executed: false };
            server.misbehave_once(refused);
        }
    }
    let refused = builder(&server, &server.base_url()).user_agent(format!("{MARKER}\n")).build();
    let error = refused.unwrap_err();
    seen.error(&error, &error.hint());
    assert!(server.journal().iter().any(|entry| entry.target().contains(MARKER)), "it was sent");
    seen.assert_no_marker();

    let log = log().text();
    for shown in ["shown.operation", "wxpay_call", "connecting", "which answered 407"] {
        assert!(log.contains(shown), "the log contains {shown}: {log}");
    }
    for secret in [MARKER, &STANDARD.encode(format!("user:{MARKER}"))] {
        assert!(!log.contains(secret), "{log}");
    }
}
