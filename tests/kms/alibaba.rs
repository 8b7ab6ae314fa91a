//! A signer on Alibaba Cloud KMS, or on a double that validates requests like the service.

use std::sync::Arc;

use serde_json::json;
use wxpay_auth::kms::{
    AlibabaKms, AlibabaKmsBuilder, AlibabaRole, CredentialProvider, Endpoint, KmsError, KmsSigner,
};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::cloud::{Cloud, Codes, Roles, Setup, credentials, double, merchant, role};
use wxpay_tests::kms_service::KmsService;
use wxpay_tests::token::certificate;
use wxpay_tests::{chain, cloud_tests};

struct Alibaba;

impl Cloud for Alibaba {
    const PROGRAM: &'static str = "alibaba.py";
    const SIGN: &'static str = "AsymmetricSign";
    const OTHER_USE: &'static str = "encrypt";
    const CODES: Codes = Codes {
        throttled: "Rejected.Throttling",
        broken: "InternalFailure",
        no_key: "Forbidden.KeyNotFound",
        disabled: "Rejected.Disabled",
        other_use: "UnsupportedOperation",
        secret: "SignatureDoesNotMatch",
        unknown: "InvalidAccessKeyId.NotFound",
        expired: "InvalidSecurityToken.Expired",
        denied: "Forbidden.NoPermission",
        clock: "InvalidTimeStamp.Expired",
    };

    type Backend = AlibabaKms;

    fn backend(setup: Setup<'_>) -> Result<AlibabaKms, KmsError> {
        let version = setup.double.find(&format!("/versions/{}/0", setup.key));
        let version = version.unwrap_or("no-version");
        let builder = AlibabaKms::builder("cn-hangzhou", setup.key_id(), version);
        setup.apply(builder)?.build()
    }
}

impl Roles for Alibaba {
    fn role(double: &KmsService, name: Option<&str>) -> Arc<dyn CredentialProvider> {
        Arc::new(role(AlibabaRole::new().unwrap(), double, name))
    }
}

cloud_tests!(Alibaba);

fn builder(double: &KmsService, key: &str, version: &str) -> AlibabaKmsBuilder {
    AlibabaKms::builder("cn-hangzhou", key, version)
        .endpoint(Endpoint::new(double.url()).unwrap())
        .credentials(credentials(double, "static"))
}

/// Each version is a separate key pair: it matches only its own certificate.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn versions() {
    let double = double::<Alibaba>();
    let [first, second] = ["0", "1"].map(|n| double.text(&format!("/versions/merchant/{n}")));
    let key = double.text("/keys/merchant");
    let signer = |key: &str, version: &str| {
        KmsSigner::builder(builder(&double, key, version).build().unwrap())
    };

    let connected = signer(key, first).certificate(certificate()).connect().await.unwrap();
    assert_eq!(connected.key_version(), Some(first));
    let error = signer(key, second).certificate(certificate()).connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(error.hint().contains("version"), "{}", error.hint());
    let connected = signer(key, second).without_certificate().connect().await.unwrap();
    assert_eq!(connected.key_version(), Some(second));
    let error = signer(key, "no-version").certificate(certificate()).connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::KeyNotFound, "{}", chain(&error));
    assert_eq!(error.code(), Some("Forbidden.KeyVersionNotFound"));

    // The response names the key behind an alias.
    signer("alias/merchant", first).certificate(certificate()).connect().await.unwrap();
    let error = signer("alias/nothing", first).without_certificate().connect().await.unwrap_err();
    assert_eq!(error.code(), Some("Forbidden.AliasNotFound"), "{}", chain(&error));
}

/// Responses must name the requested key and version, for signatures too.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn answers_about_another_version() {
    let double = double::<Alibaba>();
    let signer = merchant::<Alibaba>(&double).await;
    for kind in ["wrong-key-id", "wrong-key-version"] {
        double.fault(json!({"kind": kind}));
        let error = signer.sign(b"message").await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
        assert!(chain(&error).contains("answered for the key"), "{}", chain(&error));
        double.fault(json!({"kind": kind, "action": "GetPublicKey"}));
        let again = Setup::new(&double, "merchant");
        let builder = wxpay_tests::cloud::builder::<Alibaba>(again).certificate(certificate());
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    }
    signer.sign(b"message").await.unwrap();
}

/// No two requests have the same nonce: the service accepts each nonce once.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn nonces_come_from_the_source() {
    let double = double::<Alibaba>();
    let nonce = || Ok(wxpay_auth::Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap());
    let key = double.text("/keys/merchant");
    let backend = builder(&double, key, double.text("/versions/merchant/0")).nonce_source(nonce);
    let signer = KmsSigner::builder(backend.build().unwrap()).attempts(1);
    let error = signer.certificate(certificate()).connect().await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureNonceUsed"), "{}", chain(&error));
}
