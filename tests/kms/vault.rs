//! A signer on a key in OpenBao: keys, versions, policies, TLS.

use std::sync::Arc;

use wxpay_auth::kms::{
    Endpoint, KmsError, KmsSigner, KmsTls, Secret, VaultAuth, VaultTransit, VaultTransitBuilder,
};
use wxpay_auth::{Certificate, CertificateSubject, SignErrorKind, Signer};
use wxpay_testing::{Gateway, PlanState, SignerConformance};
use wxpay_tests::certificate_drill::exchange_the_merchant_certificate;
use wxpay_tests::openbao::{OpenBao, name, policy, variable};
use wxpay_tests::openssl::check_request;
use wxpay_tests::token::{certificate, reference};
use wxpay_tests::{chain, plan_id, signed_plans};
use wxpay_transport::Outcome;

type VaultSigner = KmsSigner<VaultTransit>;

async fn connect(vault: VaultTransitBuilder) -> Result<VaultSigner, KmsError> {
    KmsSigner::builder(vault.build()?).certificate(certificate()).connect().await
}

async fn uncertified(vault: VaultTransitBuilder) -> Result<VaultSigner, KmsError> {
    KmsSigner::builder(vault.build()?).without_certificate().connect().await
}

fn kind(result: Result<VaultSigner, KmsError>) -> (SignErrorKind, String) {
    let error = result.unwrap_err();
    assert!(!chain(&error).contains(&variable("WXPAY_TEST_VAULT_TOKEN")), "{}", chain(&error));
    (error.kind(), format!("{}; {}", chain(&error), error.hint()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: run scripts/test"]
async fn openbao_conforms() {
    let bao = OpenBao::shared();
    let signer = connect(bao.backend("transit", "merchant")).await.unwrap();
    assert_eq!(signer.key_version(), Some("1"));
    SignerConformance::new(reference().public_key().clone(), certificate().serial_no().clone())
        .reference(reference())
        .check(Arc::new(signer.clone()))
        .await
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(signer.waiting(), 0);
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_plan_is_terminated_with_openbao() {
    let (bao, gateway) = (OpenBao::shared(), Gateway::start().await);
    let token = bao.token(&bao.policy(&policy("transit", "merchant")), &[]);
    let vault = bao.backend("transit", "merchant").auth(VaultAuth::token(Secret::new(&token)));
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let signer = KmsSigner::builder(vault.build().unwrap())
        .certificate(certificate)
        .connect()
        .await
        .unwrap();
    let plans = signed_plans(&gateway, signer.clone());
    plans.terminate(&plan_id("12000")).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated));

    // Without a signature from the service, nothing is sent.
    bao.run(&["token", "revoke", &token]);
    let error = plans.terminate(&plan_id("12001")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(gateway.executions(), 1);
    SignerConformance::new(signer.public_key().clone(), signer.serial_no().clone())
        .check_failing(Arc::new(signer), SignErrorKind::PermissionDenied, &[&token])
        .await
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
}

/// Generate, request, certificate, and a call.
#[tokio::test]
#[ignore = "needs OpenBao and openssl: run scripts/test"]
async fn a_key_is_born_in_openbao() {
    let (bao, gateway) = (OpenBao::shared(), Gateway::start().await);
    let mount = bao.transit("born");
    let vault = || bao.backend(&mount, "born");
    let signer = uncertified(vault()).await.unwrap();
    let sent =
        signed_plans(&gateway, signer.clone()).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(sent.outcome(), Outcome::NotSent);

    let subject = CertificateSubject::new(&gateway.mchid()).country("CN").unwrap();
    let request = check_request(&subject, signer.public_key(), &signer).await;
    let certificate =
        Certificate::from_pem(gateway.issue_certificate(&request.to_pem()).unwrap()).unwrap();
    let signer = KmsSigner::builder(vault().build().unwrap())
        .certificate(certificate.clone())
        .connect()
        .await
        .unwrap();
    assert_eq!(signer.serial_no(), certificate.serial_no());
    signed_plans(&gateway, signer).terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(gateway.executions(), 1);
}

/// Issues a certificate for a version of a key.
async fn certified(gateway: &Gateway, signer: &VaultSigner) -> Certificate {
    let subject = CertificateSubject::new(&gateway.mchid());
    let request = wxpay_auth::CertificateRequest::sign(&subject, signer.public_key(), signer);
    let pem = gateway.issue_certificate(&request.await.unwrap().to_pem()).unwrap();
    Certificate::from_pem(pem).unwrap()
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_rotation_in_the_service_changes_nothing_until_a_new_signer_is_connected() {
    let (bao, gateway) = (OpenBao::shared(), Gateway::start().await);
    let mount = bao.transit("k");
    let vault = || bao.backend(&mount, "k");
    let with = async |vault: VaultTransitBuilder, certificate: &Certificate| {
        let builder = KmsSigner::builder(vault.build().unwrap());
        builder.certificate(certificate.clone()).connect().await
    };
    let old_certificate = certified(&gateway, &uncertified(vault()).await.unwrap()).await;
    let old = with(vault(), &old_certificate).await.unwrap();

    // During a signature.
    let signing = tokio::spawn({
        let old = old.clone();
        async move {
            for i in 0..200_u32 {
                let signature = old.sign(&i.to_be_bytes()).await.unwrap();
                assert_eq!(signature.serial_no(), old.serial_no());
            }
        }
    });
    tokio::task::spawn_blocking({
        let (bao, rotate) = (OpenBao::shared(), format!("{mount}/keys/k/rotate"));
        move || bao.run(&["write", "-f", &rotate])
    })
    .await
    .unwrap();
    signing.await.unwrap();
    assert_eq!(old.key_version(), Some("1"));
    signed_plans(&gateway, old.clone()).terminate(&plan_id("12000")).await.unwrap();

    // The latest version does not match the certificate.
    let (found, said) = kind(with(vault(), &old_certificate).await);
    assert_eq!(found, SignErrorKind::Configuration);
    assert!(said.contains("name the version"), "{said}");
    let pinned = with(vault().key_version(1), &old_certificate).await.unwrap();
    assert_eq!(pinned.public_key(), old.public_key());

    let new = uncertified(vault()).await.unwrap();
    assert_eq!(new.key_version(), Some("2"));
    let new = with(vault(), &certified(&gateway, &new).await).await.unwrap();
    assert_ne!(new.serial_no(), old.serial_no());
    signed_plans(&gateway, new).terminate(&plan_id("12001")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn versions_that_may_not_sign_or_are_gone_say_so() {
    let bao = OpenBao::shared();
    let mount = bao.transit("k");
    let vault = |version| bao.backend(&mount, "k").key_version(version);
    let (rotate, config) = (format!("{mount}/keys/k/rotate"), format!("{mount}/keys/k/config"));
    for _ in 0..2 {
        bao.run(&["write", "-f", &rotate]);
    }
    let signer = uncertified(vault(1)).await.unwrap();

    // The minimum version that may sign.
    bao.run(&["write", &config, "min_encryption_version=2"]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(error.hint().contains("min_encryption_version"), "{}", error.hint());
    assert_eq!(kind(uncertified(vault(1)).await).0, SignErrorKind::Configuration);
    uncertified(vault(2)).await.unwrap();

    // Archived, trimmed, and never created.
    bao.run(&["write", &config, "min_decryption_version=2"]);
    let (found, said) = kind(uncertified(vault(1)).await);
    assert_eq!(found, SignErrorKind::KeyNotFound);
    assert!(said.contains("it has 2 to 3") && said.contains("archived"), "{said}");
    bao.run(&["write", &format!("{mount}/keys/k/trim"), "min_available_version=2"]);
    assert_eq!(kind(uncertified(vault(1)).await).0, SignErrorKind::KeyNotFound);
    assert_eq!(kind(uncertified(vault(4)).await).0, SignErrorKind::KeyNotFound);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));

    // The key is replaced by a new one with fewer versions.
    let signer = uncertified(vault(3)).await.unwrap();
    bao.run(&["write", &config, "deletion_allowed=true"]);
    bao.run(&["delete", &format!("{mount}/keys/k")]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::KeyNotFound, "{}", chain(&error));
    bao.run(&["write", "-f", &format!("{mount}/keys/k"), "type=rsa-2048"]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::KeyNotFound, "{}", chain(&error));
    for _ in 0..2 {
        bao.run(&["write", "-f", &rotate]);
    }
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::InvalidSignature, "{}", chain(&error));
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn keys_of_other_types_are_not_supported() {
    let bao = OpenBao::shared();
    let mount = bao.transit("k");
    for (key_type, says) in [
        ("rsa-3072", "one of 3072 bits was given"),
        ("rsa-4096", "one of 4096 bits was given"),
        ("ed25519", "a key of type ed25519 cannot be used"),
        ("ecdsa-p256", "a key of type ecdsa-p256 cannot be used"),
        ("aes256-gcm96", "a key of type aes256-gcm96 cannot be used"),
        ("hmac", "a key of type hmac cannot be used"),
    ] {
        let (path, kind_of_key) = (format!("{mount}/keys/{key_type}"), format!("type={key_type}"));
        let size: &[&str] = if key_type == "hmac" { &["key_size=32"] } else { &[] };
        bao.run(&[&["write", "-f", &path, &kind_of_key], size].concat());
        let (found, said) = kind(uncertified(bao.backend(&mount, key_type)).await);
        assert_eq!(found, SignErrorKind::Unsupported, "{key_type}: {said}");
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn what_is_not_there_is_named() {
    let bao = OpenBao::shared();
    let (found, said) = kind(uncertified(bao.backend("transit", "nobody")).await);
    assert_eq!(found, SignErrorKind::KeyNotFound, "{said}");
    assert!(said.contains("mount, key and namespace"), "{said}");
    let (found, said) = kind(uncertified(bao.backend("nowhere", "merchant")).await);
    assert_eq!(found, SignErrorKind::KeyNotFound, "{said}");
    assert!(said.contains("no handler for route"), "{said}");
    let (found, said) =
        kind(uncertified(bao.backend("transit", "merchant").namespace("none")).await);
    assert_eq!(found, SignErrorKind::Configuration, "{said}");
    assert!(said.contains("namespace not found"), "{said}");

    // An engine that stores what it receives, and responds with 204.
    let mount = name("kv");
    bao.run(&["secrets", "enable", &format!("-path={mount}"), "kv"]);
    let vault = bao.backend(&mount, "merchant").build().unwrap();
    let key = wxpay_auth::kms::KmsKey::new(reference().public_key().clone()).with_version("1");
    let signed = wxpay_auth::kms::KmsBackend::sign_sha256(&vault, &key, &[0; 32]).await;
    assert_eq!(signed.unwrap_err().kind(), SignErrorKind::Configuration);
}

/// The documented policy is sufficient, and every part of it is necessary.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn two_permissions_are_enough_and_needed() {
    let bao = OpenBao::shared();
    let mount = bao.transit("k");
    let both = policy(&mount, "k");
    let with = |hcl: &str, settings: &[&str]| {
        let token = bao.token(&bao.policy(hcl), settings);
        (bao.backend(&mount, "k").auth(VaultAuth::token(Secret::new(&token))), token)
    };
    // Without the default policy, the token may not even look itself up.
    let (vault, token) = with(&both, &["-no-default-policy", "-ttl=1h"]);
    uncertified(vault).await.unwrap().sign(b"message").await.unwrap();
    for too_much in [
        ["write", "-f", &format!("{mount}/keys/k/rotate")],
        ["read", "-field=x", &format!("{mount}/export/signing-key/k")],
        ["list", "-format=json", &format!("{mount}/keys")],
        ["write", "-f", &format!("{mount}/keys/other")],
    ] {
        assert!(!bao.allows(&token, &too_much), "{too_much:?}");
    }
    for half in both.lines() {
        let (vault, _) = with(half, &[]);
        let (found, said) = kind(uncertified(vault).await);
        assert_eq!(found, SignErrorKind::PermissionDenied, "{said}");
        assert!(said.contains("read on MOUNT/keys/KEY and update on"), "{said}");
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_namespace_holds_key_and_login() {
    let bao = OpenBao::shared();
    let namespace = name("team");
    bao.run(&["namespace", "create", &namespace]);
    let team = bao.within(&namespace);
    let mount = team.transit("k");
    let (role_mount, role_id, secret_id) = team.app_role(&team.policy(&policy(&mount, "k")), &[]);
    let auth = VaultAuth::app_role(role_id, Secret::new(secret_id)).mount(role_mount);
    let vault = || team.backend(&mount, "k").auth(auth.clone());
    let signer = uncertified(vault()).await.unwrap();
    signer.sign(b"message").await.unwrap();
    uncertified(vault().namespace(format!("{namespace}/"))).await.unwrap();
    // In another namespace, neither the login nor the key exists.
    let (found, said) = kind(uncertified(bao.backend(&mount, "k").auth(auth)).await);
    assert_eq!(found, SignErrorKind::PermissionDenied, "{said}");
    assert!(said.contains("the mount of the login, and the namespace"), "{said}");
    assert_eq!(kind(uncertified(bao.backend(&mount, "k")).await).0, SignErrorKind::KeyNotFound);
}

fn at(variable_name: &str, tls: KmsTls) -> VaultTransitBuilder {
    let endpoint = Endpoint::new(variable(variable_name)).unwrap();
    let token = Secret::new(variable("WXPAY_TEST_VAULT_TOKEN"));
    VaultTransit::builder(endpoint, "merchant").auth(VaultAuth::token(token)).tls(tls)
}

fn own_ca() -> KmsTls {
    KmsTls::new().ca_pem_file(variable("WXPAY_TEST_VAULT_CA")).unwrap()
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn tls_goes_by_the_ca_that_is_given() {
    const TLS: &str = "WXPAY_TEST_VAULT_TLS_ADDR";
    connect(at(TLS, own_ca())).await.unwrap().sign(b"message").await.unwrap();
    let other_ca = KmsTls::new().ca_pem(wxpay_testing::ca_pem()).unwrap();
    for wrong in [KmsTls::new(), other_ca] {
        let (found, said) = kind(connect(at(TLS, wrong)).await);
        assert_eq!(found, SignErrorKind::Configuration, "{said}");
        assert!(said.contains("the TLS certificate of vault is not accepted"), "{said}");
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_client_certificate_is_presented() {
    const MTLS: &str = "WXPAY_TEST_VAULT_MTLS_ADDR";
    let (chain, key) =
        (variable("WXPAY_TEST_VAULT_CLIENT_CERTIFICATE"), variable("WXPAY_TEST_VAULT_CLIENT_KEY"));
    let tls = own_ca().client_certificate_pem_files(chain, key).unwrap();
    connect(at(MTLS, tls)).await.unwrap().sign(b"message").await.unwrap();
    let (found, said) = kind(connect(at(MTLS, own_ca())).await);
    assert_eq!(found, SignErrorKind::Configuration, "{said}");
    assert!(said.contains("client certificate"), "{said}");
}

/// Two keys in one service: the merchant's, and one that was generated beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_merchant_certificate_is_exchanged_on_openbao() {
    let (bao, gateway) = (OpenBao::shared(), Gateway::start().await);
    let mount = bao.transit("next");
    let next = || bao.backend(&mount, "next");
    let issued = certified(&gateway, &uncertified(next()).await.unwrap()).await;
    let current = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let connect = async |vault: VaultTransitBuilder, certificate: Certificate| {
        let builder = KmsSigner::builder(vault.build().unwrap());
        builder.certificate(certificate).connect().await.unwrap()
    };
    let current = connect(bao.backend("transit", "merchant"), current).await;
    let next = connect(next(), issued.clone()).await;
    exchange_the_merchant_certificate(&gateway, current, next, issued.serial_no()).await;
}
