//! Sensitive fields are decrypted with keys in key services, or it is said that they cannot be.

use std::process::Command;
use std::sync::Arc;

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::{Client, Config};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use serde_json::json;
use wxpay_auth::kms::{
    AlibabaKms, AwsKms, Endpoint, KmsBackend, KmsDecryptor, KmsError, Secret, TencentKms,
    VaultAuth, VaultTransit,
};
use wxpay_auth::{
    Backend, FieldDecryptError, FieldDecryptor, FileKeyDecryptor, PrivateKey, SignErrorKind,
};
use wxpay_tests::chain;
use wxpay_tests::cloud::credentials;
use wxpay_tests::field_checks::{decrypts, encryptor};
use wxpay_tests::kms_service::KmsService;
use wxpay_tests::token::{certificate, variable};

fn aws(double: &KmsService, key: &str) -> AwsKms {
    let [id, secret] =
        ["id", "secret"].map(|field| double.text(&format!("/credentials/static/{field}")));
    let tls = Provider::Rustls(CryptoMode::Ring);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .region(Region::new(double.text("/region").to_owned()))
        .endpoint_url(double.url())
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    AwsKms::new(Client::from_conf(config), double.text(&format!("/keys/{key}"))).unwrap()
}

fn alibaba(double: &KmsService, key: &str) -> AlibabaKms {
    let id = double.text(&format!("/keys/{key}"));
    let version = double.text(&format!("/versions/{key}/0"));
    AlibabaKms::builder("cn-hangzhou", id, version)
        .endpoint(Endpoint::new(double.url()).unwrap())
        .credentials(credentials(double, "static"))
        .build()
        .unwrap()
}

async fn connect<B: KmsBackend>(backend: B) -> Result<KmsDecryptor<B>, KmsError> {
    KmsDecryptor::builder(backend).certificate(certificate()).attempts(1).connect().await
}

#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn aws_decrypts() {
    let double = KmsService::start("moto_kms.py", &[]);
    let decryptor =
        connect(aws(&double, "fields")).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(decryptor.serial_no(), certificate().serial_no());
    decrypts("AWS KMS", Arc::new(decryptor.clone())).await;
    let calls = double.calls("Decrypt");
    assert!(!calls.is_empty());
    for call in calls {
        assert_eq!(call["algorithm"], "RSAES_OAEP_SHA_1");
        assert_eq!(call["key_id"], double.text("/arns/fields"));
    }

    let field = encryptor().encrypt("张三").unwrap();
    double.fault(json!({"kind": "error", "code": "AccessDeniedException", "status": 400}));
    let error = decryptor.decrypt(field.ciphertext()).await.unwrap_err();
    let FieldDecryptError::Unavailable { kind, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*kind, SignErrorKind::PermissionDenied);
    assert!(error.hint().contains("kms:Decrypt"), "{}", error.hint());
    double.fault(json!({"kind": "throttle"}));
    let error = decryptor.decrypt(field.ciphertext()).await.unwrap_err();
    assert!(error.is_transient(), "{}", chain(&error));
}

#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn a_key_of_aws_that_signs_does_not_decrypt() {
    let double = KmsService::start("moto_kms.py", &[]);
    let error = connect(aws(&double, "merchant")).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.hint().contains("ENCRYPT_DECRYPT"), "{}", error.hint());
    // The key of another certificate.
    let error = connect(aws(&double, "encrypt")).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
}

#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn alibaba_decrypts() {
    let double = KmsService::start("alibaba.py", &[]);
    let decryptor =
        connect(alibaba(&double, "fields")).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    for text in ["", "张三", &"x".repeat(214)] {
        let field = encryptor().encrypt(text).unwrap();
        let decrypted = decryptor.decrypt(field.ciphertext()).await;
        assert_eq!(decrypted.unwrap_or_else(|e| panic!("{}", chain(&e))).expose(), text);
    }
    for call in double.calls("AsymmetricDecrypt") {
        assert_eq!(call["algorithm"], "RSAES_OAEP_SHA_1");
    }
    let other_hash = include_str!(
        "../../crates/wxpay-auth-core/testdata/fields/openssl-merchant-sha256/ciphertext"
    );
    // With which code the service refuses it is not documented.
    let error = decryptor.decrypt(other_hash).await.unwrap_err();
    assert!(matches!(error, FieldDecryptError::Unavailable { .. }), "{}", chain(&error));
    assert!(!error.is_transient());
    for kind in ["wrong-key-id", "wrong-key-version"] {
        double.fault(json!({"kind": kind}));
        let field = encryptor().encrypt("张三").unwrap();
        let error = decryptor.decrypt(field.ciphertext()).await.unwrap_err();
        assert!(chain(&error).contains("answered for the key"), "{}", chain(&error));
    }
}

/// The service does not say the usage of a key when its public key is read.
#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn a_key_of_alibaba_that_signs_does_not_decrypt() {
    let double = KmsService::start("alibaba.py", &[]);
    let decryptor = connect(alibaba(&double, "merchant")).await.unwrap();
    let field = encryptor().encrypt("张三").unwrap();
    let error = decryptor.decrypt(field.ciphertext()).await.unwrap_err();
    assert!(matches!(error, FieldDecryptError::KeyCannotDecrypt { .. }), "{}", chain(&error));
    assert!(error.to_string().contains(certificate().serial_no().as_str()), "{error}");
    assert!(error.hint().contains("ENCRYPT/DECRYPT"), "{}", error.hint());
}

/// Nothing is sent to find that out.
#[tokio::test]
#[ignore = "needs OpenBao and Python: run scripts/test"]
async fn the_others_say_what_can() {
    let endpoint = Endpoint::new(variable("WXPAY_TEST_VAULT_ADDR")).unwrap();
    let auth = VaultAuth::token(Secret::new(variable("WXPAY_TEST_VAULT_TOKEN")));
    let vault = VaultTransit::builder(endpoint, "merchant").auth(auth).build().unwrap();
    let error = connect(vault).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("SHA-256 only"), "{error}");
    assert!(error.hint().contains("AWS KMS"), "{}", error.hint());

    let double = KmsService::start("tencent.py", &[]);
    let tencent = TencentKms::builder("ap-guangzhou", double.text("/keys/merchant"))
        .endpoint(Endpoint::new(double.url()).unwrap())
        .credentials(credentials(&double, "static"))
        .build()
        .unwrap();
    let error = connect(tencent).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.hint().contains("Pkcs11Signer::decryptor"), "{}", error.hint());
    assert!(double.journal().is_empty());
}

/// Encrypts or decrypts a field with the library `cryptography`.
const PYTHON: &str = "
import base64, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
path, action, text = sys.argv[1:]
with open(path, 'rb') as file:
    key = serialization.load_pem_private_key(file.read(), None)
scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
if action == 'encrypt':
    done = base64.b64encode(key.public_key().encrypt(text.encode(), scheme))
else:
    done = key.decrypt(base64.b64decode(text), scheme)
sys.stdout.buffer.write(done)
";

fn python(action: &str, text: &str) -> String {
    const KEY: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem"
    );
    let mut python = Command::new(variable("WXPAY_TEST_PYTHON"));
    let output = python.args(["-c", PYTHON, KEY, action, text]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs Python: run scripts/test"]
async fn fields_are_exchanged_with_python() {
    let pem = include_str!("../../crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem");
    let key = PrivateKey::from_pem_with(Backend::AwsLcRs, pem).unwrap();
    let decryptor = FileKeyDecryptor::new(&key, certificate().serial_no().clone()).unwrap();
    for text in ["张三", &"x".repeat(214)] {
        let field = python("encrypt", text);
        assert_eq!(decryptor.decrypt(&field).await.unwrap().expose(), text);
        assert_eq!(python("decrypt", encryptor().encrypt(text).unwrap().ciphertext()), text);
    }
}
