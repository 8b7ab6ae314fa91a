//! A key service that is unreachable, hangs, throttles, or is an impostor.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wiremock::matchers::{any, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};
use wxpay_auth::kms::{
    Endpoint, KmsError, KmsSigner, KmsSignerBuilder, KmsTls, Secret, VaultAuth, VaultTransit,
};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::chain;
use wxpay_tests::openbao::{OpenBao, name, variable};
use wxpay_tests::token::certificate;

fn vault(address: &str) -> KmsSignerBuilder<VaultTransit> {
    vault_with(address, KmsTls::new())
}

fn vault_with(address: &str, tls: KmsTls) -> KmsSignerBuilder<VaultTransit> {
    let vault = VaultTransit::builder(Endpoint::new(address).unwrap(), "merchant")
        .auth(VaultAuth::token(Secret::new("hunter2")))
        .tls(tls)
        .build()
        .unwrap();
    KmsSigner::builder(vault).certificate(certificate()).attempts(1)
}

async fn refused(signer: KmsSignerBuilder<VaultTransit>) -> KmsError {
    let error = signer.connect().await.unwrap_err();
    assert!(!format!("{error:?} {}", chain(&error)).contains("hunter2"), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: run scripts/test"]
async fn sealed_or_stopped_and_back() {
    let mut bao = tokio::task::spawn_blocking(OpenBao::start).await.unwrap();
    let import = |bao: &OpenBao| {
        // The key of the shared server, as restored from a backup.
        bao.run(&["secrets", "enable", "transit"]);
        let file = std::env::temp_dir().join(name("wxpay-key"));
        let pem = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem"
        );
        let convert =
            "openssl pkcs8 -topk8 -nocrypt -in \"$0\" -outform DER | openssl base64 -A > \"$1\"";
        let status = Command::new("sh").args(["-c", convert, pem]).arg(&file).status().unwrap();
        assert!(status.success());
        let content = format!("@{}", file.display());
        bao.run(&["transit", "import", "transit/keys/merchant", &content, "type=rsa-2048"]);
        std::fs::remove_file(file).unwrap();
    };
    import(&bao);
    let vault = bao.backend("transit", "merchant").build().unwrap();
    let signer =
        KmsSigner::builder(vault).certificate(certificate()).attempts(2).connect().await.unwrap();

    bao.run(&["operator", "seal"]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("sealed"), "{}", chain(&error));
    assert!(error.hint().contains("unseal"), "{}", error.hint());

    bao.stop();
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("vault cannot be reached"), "{}", chain(&error));

    bao.restart();
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::KeyNotFound, "{}", chain(&error));
    import(&bao);
    signer.sign(b"message").await.unwrap();
}

/// A quota of the service: the response says how long to wait, and the signer waits.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_quota_is_waited_for_or_told() {
    let bao = OpenBao::shared();
    let mount = bao.transit("k");
    let builder = || {
        let vault = bao.backend(&mount, "k").build().unwrap();
        KmsSigner::builder(vault).without_certificate()
    };
    let patient = builder().connect().await.unwrap();
    let impatient = builder().attempts(1).connect().await.unwrap();
    bao.run(&["write", "sys/quotas/config", "enable_rate_limit_response_headers=true"]);
    let path = format!("path={mount}/");
    bao.run(&["write", &format!("sys/quotas/rate-limit/{mount}"), &path, "rate=3", "interval=2s"]);
    for i in 0..6_u8 {
        patient.sign(&[i]).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    }
    let mut throttled = 0;
    for _ in 0..8 {
        let Err(error) = impatient.sign(b"message").await else { continue };
        assert_eq!(error.kind(), SignErrorKind::Throttled, "{}", chain(&error));
        assert!(error.retry_after().is_some());
        throttled += 1;
    }
    assert!(throttled > 0);
}

/// Without `signature_algorithm`, the real server signs with PSS; such signatures are detected.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_signature_by_pss_is_caught() {
    #[derive(Debug)]
    struct Careless(OpenBao, VaultTransit, &'static str);

    #[wxpay_auth::async_trait]
    impl wxpay_auth::kms::KmsBackend for Careless {
        async fn public_key(&self) -> Result<wxpay_auth::kms::KmsKey, KmsError> {
            self.1.public_key().await
        }

        async fn sign_sha256(
            &self,
            _: &wxpay_auth::kms::KmsKey,
            digest: &[u8; 32],
        ) -> Result<Vec<u8>, KmsError> {
            use base64::Engine as _;
            use base64::engine::general_purpose::STANDARD;
            let (path, input) =
                ("transit/sign/merchant/sha2-256", format!("input={}", STANDARD.encode(digest)));
            let mut arguments = vec!["write", "-field=signature", path, &input];
            arguments.extend(self.2.split(' '));
            let signature = self.0.run(&arguments);
            Ok(STANDARD.decode(signature.trim_start_matches("vault:v1:")).unwrap())
        }
    }

    for (settings, passes) in [
        ("prehashed=true signature_algorithm=pkcs1v15", true),
        ("prehashed=true", false),
        ("prehashed=false signature_algorithm=pkcs1v15", false),
    ] {
        let bao = OpenBao::shared();
        let vault = bao.backend("transit", "merchant").build().unwrap();
        let signer = KmsSigner::builder(Careless(bao, vault, settings)).certificate(certificate());
        match signer.connect().await {
            Ok(_) => assert!(passes, "{settings}"),
            Err(error) => {
                assert!(!passes, "{settings}: {}", chain(&error));
                assert_eq!(error.kind(), SignErrorKind::InvalidSignature);
            }
        }
    }
}

/// The certificate is issued by the right CA, for another host.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_certificate_of_the_wrong_host_is_not_accepted() {
    let chain_pem = variable("WXPAY_TEST_KMS_WRONG_HOST_CERTIFICATE");
    let chain_der = CertificateDer::pem_file_iter(chain_pem).unwrap().map(Result::unwrap);
    let key = variable("WXPAY_TEST_KMS_WRONG_HOST_KEY");
    let config = ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(chain_der.collect(), PrivateKeyDer::from_pem_file(key).unwrap())
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((tcp, _)) = listener.accept().await {
            assert!(acceptor.accept(tcp).await.is_err(), "the handshake must fail");
        }
    });
    let tls = KmsTls::new().ca_pem_file(variable("WXPAY_TEST_VAULT_CA")).unwrap();
    let error = refused(vault_with(&format!("https://{address}"), tls)).await;
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(error.hint().contains("host name"), "{}", error.hint());
}

#[tokio::test]
async fn a_server_that_hangs_ends_in_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let error = refused(vault(&address).attempt_timeout(Duration::from_millis(200))).await;
    assert_eq!(error.kind(), SignErrorKind::Timeout, "{}", chain(&error));
}

#[tokio::test]
async fn what_is_not_vault_is_told() {
    for (response, kind, says) in [
        (ResponseTemplate::new(200), SignErrorKind::Configuration, "not a response of the service"),
        (ResponseTemplate::new(204), SignErrorKind::Configuration, "not a response of the service"),
        (ResponseTemplate::new(502), SignErrorKind::Unavailable, "not a response of the service"),
        (ResponseTemplate::new(504), SignErrorKind::Timeout, "not a response of the service"),
        (
            ResponseTemplate::new(403),
            SignErrorKind::PermissionDenied,
            "answered 403 with text/html",
        ),
        (
            ResponseTemplate::new(307).insert_header("location", "https://hunter2.example/v1/"),
            SignErrorKind::Unavailable,
            "vault answered 307",
        ),
    ] {
        let server = MockServer::start().await;
        let response = response.set_body_raw("<html>hunter2</html>", "text/html");
        Mock::given(path_regex("^/v1/auth/"))
            .respond_with(ResponseTemplate::new(403).set_body_string(r#"{"errors": []}"#))
            .mount(&server)
            .await;
        Mock::given(any()).respond_with(response).mount(&server).await;
        let error = refused(vault(&server.uri())).await;
        assert_eq!(error.kind(), kind, "{}", chain(&error));
        assert!(error.to_string().contains(says), "{error}");
        // One to look up the token, and one for the key: no redirect is followed.
        assert_eq!(server.received_requests().await.unwrap().len(), 2);
    }
    let server = MockServer::start().await;
    for body in [
        r#"{"errors": ["no"]}"#,
        r#"{"data": null, "warnings": ["no"]}"#,
        r#"{"errors": ["no"], "data": {"type": "rsa-2048", "latest_version": 1, "keys": {}}}"#,
    ] {
        server.reset().await;
        let response = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        Mock::given(path_regex("^/v1/auth/"))
            .respond_with(ResponseTemplate::new(403).set_body_string(r#"{"errors": []}"#))
            .mount(&server)
            .await;
        Mock::given(any()).respond_with(response).mount(&server).await;
        let error = refused(vault(&server.uri())).await;
        assert_eq!(error.kind(), SignErrorKind::Configuration);
        assert!(error.to_string().ends_with("without the requested data: no"), "{error}");
    }
}
