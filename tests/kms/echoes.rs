//! Key services that repeat what they received, at every position of a response: none of it is shown.

use std::sync::{Arc, Mutex};

use aws_sdk_kms::config::{
    BehaviorVersion, Credentials as AwsCredentials, Region, retry::RetryConfig,
};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};
use wxpay_auth::kms::{
    AlibabaKms, AwsKms, Credentials, Endpoint, KmsBackend, KmsKey, Secret, TencentKms, VaultAuth,
    VaultTransit,
};
use wxpay_auth::{PublicKey, SignError};
use wxpay_tests::log::Log;
use wxpay_tests::{chain, own_process};

/// The placeholder of the echo in a response.
const ECHO: &str = "<ECHO>";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEHMaCXVzLWVhc3QtMSJHMEUCIQDk7Zt";
const VAULT_TOKEN: &str = "hvs.CAESIJlr2Qp0vVd3bT8xk7ZyUw";
const SECRET_ID: &str = "7f1c72e2-aa51-4c0e-9d3b-2f5c8e0b1a6d";
const PIECE: usize = 16;
const KEY: &str =
    include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_public_key.pem");

/// Sends the response with the received text in place of the echo.
#[derive(Clone, Default)]
struct Echo {
    response: Arc<Mutex<Response>>,
    heard: Arc<Mutex<Vec<String>>>,
    percent: Arc<Mutex<bool>>,
}

#[derive(Clone, Default)]
struct Response {
    status: u16,
    content_type: &'static str,
    body: &'static str,
}

impl Respond for Echo {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let names = [
            "authorization",
            "x-tc-token",
            "x-acs-security-token",
            "x-amz-security-token",
            "x-vault-token",
        ];
        let headers = names.iter().filter_map(|name| request.headers.get(*name));
        let mut heard: Vec<String> =
            headers.map(|value| value.to_str().unwrap().to_owned()).collect();
        if String::from_utf8_lossy(&request.body).contains(SECRET_ID) {
            heard.push(SECRET_ID.to_owned());
        }
        let mut echo = heard.join(" ");
        if *self.percent.lock().unwrap() {
            echo = echo.replace('/', "%2F").replace('=', "%3D").replace('.', "%2e");
        }
        *self.heard.lock().unwrap() = heard;
        let Response { status, content_type, body } = self.response.lock().unwrap().clone();
        let mut response = ResponseTemplate::new(status)
            .set_body_raw(body.replace(ECHO, &echo), &content_type.replace(ECHO, &echo));
        for name in ["x-acs-request-id", "x-amzn-requestid", "x-amzn-errortype", "retry-after"] {
            response = response.insert_header(name, echo.as_str());
        }
        response
    }
}

/// Bodies of all services: each service gets all of them.
const BODIES: [&str; 15] = [
    "<html><ECHO></html>",
    "",
    r#"{"Code":"<ECHO>","Message":"no","RequestId":"1"}"#,
    r#"{"Code":"NoPermission","Message":"<ECHO>","RequestId":"<ECHO>"}"#,
    r#"{"KeyId":"<ECHO>","KeyVersionId":"<ECHO>","PublicKey":"<ECHO>","RequestId":"<ECHO>"}"#,
    r#"{"KeyId":"key","KeyVersionId":"<ECHO>","PublicKey":"<ECHO>"}"#,
    r#"{"KeyId":"key","KeyVersionId":"version","PublicKey":"-----BEGIN <ECHO>-----\nAAAA\n-----END <ECHO>-----"}"#,
    r#"{"Response":{"Error":{"Code":"<ECHO>","Message":"<ECHO>"},"RequestId":"<ECHO>"}}"#,
    r#"{"Response":{"KeyId":"<ECHO>","PublicKey":"<ECHO>","RequestId":"<ECHO>"}}"#,
    r#"{"Response":{"KeyId":"key","PublicKey":"<ECHO>","RequestId":"<ECHO>"}}"#,
    r#"{"errors":["no: <ECHO>","<ECHO>"],"warnings":["<ECHO>"]}"#,
    r#"{"data":{"type":"<ECHO>","latest_version":1,"supports_signing":true,"keys":{}}}"#,
    r#"{"data":{"type":"rsa-2048","latest_version":1,"supports_signing":true,"keys":{"1":{"public_key":"-----BEGIN <ECHO>-----"}},"warnings":["<ECHO>"]}}"#,
    r#"{"__type":"<ECHO>","message":"no"}"#,
    r#"{"__type":"AccessDeniedException","message":"<ECHO>","Message":"<ECHO>"}"#,
];

/// Makes requests against each response, and checks all output.
async fn assert_nothing_is_shown<B: KmsBackend>(name: &str, make: impl Fn(&str) -> B) {
    let echo = Echo::default();
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(echo.clone()).mount(&server).await;
    let key = KmsKey::new(PublicKey::from_pem(KEY).unwrap()).with_version("1");
    let mut backend = make(&server.uri());
    let mut errors = 0;
    for (status, content_type) in [
        (200, "application/json"),
        (200, ECHO),
        (400, "application/json"),
        (403, ECHO),
        (500, ECHO),
    ] {
        for body in BODIES {
            for percent in [false, true] {
                *echo.percent.lock().unwrap() = percent;
                *echo.response.lock().unwrap() = Response { status, content_type, body };
                let asked = backend.public_key().await.map(drop);
                let signed = backend.sign_sha256(&key, &[7; 32]).await.map(drop);
                for error in [asked, signed].into_iter().filter_map(Result::err) {
                    errors += 1;
                    let told = SignError::from(error.clone());
                    let shown = format!(
                        "{error} {error:?} {error:#?} {} {} {told:?} {}",
                        error.hint(),
                        chain(&error),
                        chain(&told)
                    );
                    let case = format!("{name}: {status} {content_type} {body}");
                    assert_nothing_of(&echo.heard.lock().unwrap(), &shown, &case);
                }
                if name.contains("login") {
                    // A refused credential is not used again for a while.
                    backend = make(&server.uri());
                }
            }
        }
    }
    assert!(errors > 200, "{name}: {errors} errors");
    let heard = echo.heard.lock().unwrap().clone();
    assert!(heard.iter().any(|secret| secret.len() > PIECE), "{name}: no request was received");
    assert_nothing_of(&heard, &LOG.get().unwrap().text(), name);
}

fn assert_nothing_of(secrets: &[String], text: &str, case: &str) {
    let text = text.to_lowercase();
    for secret in secrets {
        let secret: Vec<char> = secret.to_lowercase().chars().collect();
        for piece in secret.windows(PIECE) {
            let piece: String = piece.iter().collect();
            assert!(!text.contains(&piece), "{piece:?} after {case}: {text}");
        }
    }
}

static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();

/// Collects the log of this project; the AWS SDK logs on its own terms.
fn log() {
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
        let ours = Targets::new().with_target("wxpay_auth", LevelFilter::TRACE);
        tracing_subscriber::registry().with(layer.with_filter(ours)).init();
        log
    });
}

fn credentials() -> Credentials {
    Credentials::new("AKIDz8krbsJ5yKBZ", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE")
        .with_session_token(TOKEN)
}

#[tokio::test]
async fn alibaba_cloud() {
    own_process!();
    log();
    assert_nothing_is_shown("Alibaba Cloud", |url| {
        let builder = AlibabaKms::builder("cn-hangzhou", "key", "version");
        let builder = builder.endpoint(Endpoint::new(url).unwrap()).credentials(credentials());
        builder.build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn tencent_cloud() {
    own_process!();
    log();
    assert_nothing_is_shown("Tencent Cloud", |url| {
        let builder = TencentKms::builder("ap-guangzhou", "key");
        let builder = builder.endpoint(Endpoint::new(url).unwrap()).credentials(credentials());
        builder.build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn vault() {
    own_process!();
    log();
    for (name, auth) in [
        ("Vault", VaultAuth::token(Secret::new(VAULT_TOKEN))),
        ("Vault with a login", VaultAuth::app_role("role", Secret::new(SECRET_ID))),
    ] {
        assert_nothing_is_shown(name, |url| {
            let builder = VaultTransit::builder(Endpoint::new(url).unwrap(), "merchant");
            builder.auth(auth.clone()).build().unwrap()
        })
        .await;
    }
}

#[tokio::test]
async fn aws() {
    own_process!();
    log();
    assert_nothing_is_shown("AWS", |url| {
        let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let token = Some(TOKEN.to_owned());
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(AwsCredentials::new(id, secret, token, None, "test"))
            .endpoint_url(url)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("eu-central-1"))
            .retry_config(RetryConfig::disabled())
            .build();
        AwsKms::new(aws_sdk_kms::Client::from_conf(config), "alias/merchant").unwrap()
    })
    .await;
}
