//! A signer on AWS KMS, through the official SDK, against moto.
//!
//! moto signs a digest as if it were a message, lets disabled keys sign, and has more bugs, which
//! `tests/doubles/kms/moto_kms.py` lists and fixes in the process of moto. The signer has no special cases for
//! moto. A separate test runs the signer against unmodified moto.

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::{Client, Config};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use serde_json::json;
use wxpay_auth::kms::{AwsKms, KmsError, KmsSigner};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::cloud::{Cloud, Codes, Setup, builder, double, merchant};
use wxpay_tests::kms_service::KmsService;
use wxpay_tests::token::{certificate, reference, variable};
use wxpay_tests::{chain, cloud_tests};

struct Aws;

impl Cloud for Aws {
    const PROGRAM: &'static str = "moto_kms.py";
    const SIGN: &'static str = "Sign";
    const OTHER_USE: &'static str = "symmetric";
    const ALGORITHM: &'static str = "RSASSA_PKCS1_V1_5_SHA_256";
    const CODES: Codes = Codes {
        throttled: "ThrottlingException",
        broken: "KMSInternalException",
        no_key: "NotFoundException",
        disabled: "DisabledException",
        other_use: "UnsupportedOperationException",
        secret: "InvalidSignatureException",
        unknown: "UnrecognizedClientException",
        expired: "ExpiredTokenException",
        denied: "AccessDeniedException",
        clock: "RequestExpired",
    };

    type Backend = AwsKms;

    fn backend(setup: Setup<'_>) -> Result<AwsKms, KmsError> {
        AwsKms::new(client(setup.double), setup.key_id())
    }
}

/// The settings of an application: its credentials, its endpoint, and no retries by the SDK.
fn config(double: &KmsService) -> aws_sdk_kms::config::Builder {
    let [id, secret] =
        ["id", "secret"].map(|field| double.text(&format!("/credentials/static/{field}")));
    let tls = Provider::Rustls(CryptoMode::Ring);
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .region(Region::new(double.text("/region").to_owned()))
        .endpoint_url(double.url())
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
}

fn client(double: &KmsService) -> Client {
    Client::from_conf(config(double).build())
}

cloud_tests! { Aws:
    cloud::conforms,
    cloud::terminates,
    cloud::born,
    cloud_keys::keys_that_do_not_fit,
    cloud_faults::wrong_signatures,
    cloud_faults::short_signatures,
    cloud_faults::throttling,
    cloud_faults::hanging,
}

/// The double hashes the digest again: the signer detects it, and returns no signature.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn moto_as_it_is_published_is_found_out() {
    let double = KmsService::start(Aws::PROGRAM, &["--as-published"]);
    let setup = Setup::new(&double, "merchant");
    let error = builder::<Aws>(setup).certificate(certificate()).connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::InvalidSignature, "{}", chain(&error));
    // The double did sign, but not the given message.
    assert_eq!(double.calls("Sign").len(), 1);
}

/// Pointing an alias to another key does not affect connected signers.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn a_signer_stays_with_the_key_behind_the_alias() {
    let double = double::<Aws>();
    let kms = client(&double);
    let alias = "alias/wxpay-merchant";
    let merchant_key = double.text("/keys/merchant");
    kms.create_alias().alias_name(alias).target_key_id(merchant_key).send().await.unwrap();
    let connect = || {
        let backend = AwsKms::new(client(&double), alias).unwrap();
        KmsSigner::builder(backend).certificate(certificate()).connect()
    };
    let signer = connect().await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(signer.key_version(), Some(double.text("/arns/merchant")));

    let other = double.text("/keys/other");
    kms.update_alias().alias_name(alias).target_key_id(other).send().await.unwrap();
    let signature = signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
    let error = connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
}

/// Invalid responses, or no response at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python: run scripts/test"]
async fn other_responses() {
    let double = double::<Aws>();
    let signer = merchant::<Aws>(&double).await;
    let error = |code: &str, status: u16| json!({"kind": "error", "code": code, "status": status});
    for (fault, kind) in [
        (error("KMSInternalException", 500), SignErrorKind::Unavailable),
        (error("DependencyTimeoutException", 503), SignErrorKind::Unavailable),
        (error("KeyUnavailableException", 500), SignErrorKind::Unavailable),
        (error("LimitExceededException", 400), SignErrorKind::Throttled),
        (error("AccessDeniedException", 400), SignErrorKind::PermissionDenied),
        (error("ExpiredTokenException", 400), SignErrorKind::PermissionDenied),
        (error("KMSInvalidStateException", 400), SignErrorKind::Configuration),
        (error("InvalidKeyUsageException", 400), SignErrorKind::Unsupported),
        (error("BrandNewException", 400), SignErrorKind::Other),
        (error("BrandNewException", 429), SignErrorKind::Throttled),
        (error("BrandNewException", 503), SignErrorKind::Unavailable),
        (error("BrandNewException", 504), SignErrorKind::Timeout),
        (json!({"kind": "html", "status": 200}), SignErrorKind::Configuration),
        (json!({"kind": "html", "status": 407}), SignErrorKind::Configuration),
        (json!({"kind": "html", "status": 502}), SignErrorKind::Unavailable),
        (json!({"kind": "truncate"}), SignErrorKind::Configuration),
        (json!({"kind": "close"}), SignErrorKind::Unavailable),
    ] {
        double.fault(fault.clone());
        let failed = signer.sign(b"message").await.unwrap_err();
        assert_eq!(failed.kind(), kind, "{fault}: {}", chain(&failed));
        assert_eq!(failed.code(), fault["code"].as_str(), "{fault}");
        assert!(!chain(&failed).contains("<html>"), "{}", chain(&failed));
        assert!(!failed.hint().is_empty());
    }
    // An error with status 200 contains no signature.
    double.fault(error("KMSInternalException", 200));
    assert_eq!(signer.sign(b"message").await.unwrap_err().kind(), SignErrorKind::Other);
    signer.sign(b"message").await.unwrap();
}

/// No server, or no credentials.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn nothing_is_asked() {
    let double = double::<Aws>();
    let nobody = config(&double).endpoint_url("http://127.0.0.1:1").build();
    let backend = AwsKms::new(Client::from_conf(nobody), "alias/any").unwrap();
    let signer = KmsSigner::builder(backend).attempts(1).certificate(certificate());
    let error = signer.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
    assert!(error.hint().contains("credentials"), "{}", error.hint());
    for key_id in ["", "a b", "a\nb", &"a".repeat(2049)] {
        let error = AwsKms::new(client(&double), key_id).unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration);
    }
    assert!(double.journal().is_empty());
}

/// TLS belongs to the client: it connects only to the service itself.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn tls() {
    let ca = std::fs::read(variable("WXPAY_TEST_VAULT_CA")).unwrap();
    for (certificate_file, key_file, accepted) in [
        ("WXPAY_TEST_KMS_CERTIFICATE", "WXPAY_TEST_KMS_KEY", true),
        ("WXPAY_TEST_KMS_WRONG_HOST_CERTIFICATE", "WXPAY_TEST_KMS_WRONG_HOST_KEY", false),
    ] {
        let double = KmsService::start_tls(Aws::PROGRAM, certificate_file, key_file);
        let trusted = TrustStore::empty().with_pem_certificate(ca.clone());
        let context = TlsContext::builder().with_trust_store(trusted).build().unwrap();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context)
            .build_https();
        let config = config(&double).http_client(http).build();
        let backend = AwsKms::new(Client::from_conf(config), double.text("/keys/merchant"));
        let signer = KmsSigner::builder(backend.unwrap()).attempts(1).certificate(certificate());
        let connected = signer.connect().await;
        if accepted {
            connected.unwrap_or_else(|e| panic!("{}", chain(&e)));
            continue;
        }
        let error = connected.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
        assert!(chain(&error).contains("not valid for name"), "{}", chain(&error));
    }
}

/// Neither the client nor the signer shows the secret in any error.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn secrets_stay_secret() {
    let double = double::<Aws>();
    let signer = merchant::<Aws>(&double).await;
    let mut shown = format!("{signer:?} {:?}", signer.backend());
    for fault in [json!({"kind": "html", "status": 502}), json!({"kind": "close"})] {
        double.fault(fault);
        let error = signer.sign(b"message").await.unwrap_err();
        shown += &format!("{error:?} {}", chain(&error));
    }
    assert!(!shown.contains(double.text("/credentials/static/secret")), "{shown}");
    assert!(!shown.contains("Signature="), "{shown}");
}
