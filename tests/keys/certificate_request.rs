//! From a key without a certificate to a call signed with it, checked with OpenSSL.

use wxpay_auth::{
    Backend, Certificate, CertificateRequest, CertificateRequestError, CertificateSubject,
    FileKeySigner, KeyError, PrivateKey, SignError, SignErrorKind, Signer,
};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{CertificateRefusal, Gateway, WechatPay, WireServer};
use wxpay_tests::openssl::check_request;
use wxpay_tests::{chain, plan_id, signed_plans, token};
use wxpay_transport::{BaseUrl, Client, Outcome, Proxy};

const OTHER_KEY: &str =
    include_str!("../../crates/wxpay-auth-core/testdata/keys/apiclient_test_key.pem");

fn subject(gateway: &Gateway) -> CertificateSubject {
    CertificateSubject::new(&gateway.mchid())
        .country("CN")
        .and_then(|s| s.locality("ShenZhen"))
        .and_then(|s| s.organization("微信商户系统"))
        .and_then(|s| s.organizational_unit("某某科技有限公司"))
        .expect("a subject")
}

fn uncertified(backend: Backend) -> FileKeySigner {
    FileKeySigner::without_certificate(PrivateKey::from_pem_with(backend, OTHER_KEY).unwrap())
}

#[tokio::test]
async fn a_key_gets_its_certificate_and_signs_with_it() {
    let gateway = Gateway::start().await;
    let signer = uncertified(Backend::Ring);
    let public_key = signer.key().public_key();

    // Before that, nothing is sent.
    let error =
        signed_plans(&gateway, signer.clone()).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(
        chain(&error).contains("no merchant certificate yet: request one"),
        "{}",
        chain(&error)
    );
    let wxpay_marketing::Error::Transport(wxpay_transport::Error::Signing(signing)) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(signing.sign_error().map(SignError::kind), Some(SignErrorKind::Configuration));
    assert!(gateway.journal().is_empty());

    let request = CertificateRequest::sign(&subject(&gateway), public_key, &signer).await.unwrap();
    let pem = gateway.issue_certificate(&request.to_pem()).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    certificate.require_key(public_key).unwrap();
    assert!(!certificate.serial_no().is_uncertified());

    let key = PrivateKey::from_pem(OTHER_KEY).unwrap();
    let signer = FileKeySigner::with_certificate(key, &certificate).unwrap();
    signed_plans(&gateway, signer).terminate(&plan_id("12000")).await.unwrap();
    // The previous certificate stays valid: both are during a rotation.
    signed_plans(&gateway, gateway.signer()).terminate(&plan_id("12001")).await.unwrap();
    assert_eq!(gateway.executions(), 2);
}

/// After a rotation: the gateway accepts only the new certificate.
#[tokio::test]
async fn a_gateway_that_goes_by_the_new_certificate_takes_no_other() {
    let signer = uncertified(Backend::AwsLcRs);
    let public_key = signer.key().public_key();
    let authority = Gateway::start().await;
    let request =
        CertificateRequest::sign(&subject(&authority), public_key, &signer).await.unwrap();
    let certificate =
        Certificate::from_pem(authority.issue_certificate(&request.to_pem()).unwrap()).unwrap();
    let wechat_pay = WechatPay::builder().merchant_certificate(certificate.clone()).build();
    let gateway = Gateway::builder().wechat_pay(wechat_pay).start().await.unwrap();

    let key = PrivateKey::from_pem(OTHER_KEY).unwrap();
    let signer = FileKeySigner::with_certificate(key, &certificate).unwrap();
    signed_plans(&gateway, signer).terminate(&plan_id("12000")).await.unwrap();
    let error =
        signed_plans(&gateway, gateway.signer()).terminate(&plan_id("12001")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
    assert_eq!(gateway.executions(), 1);
}

#[tokio::test]
async fn a_certificate_belongs_to_one_key() {
    let gateway = Gateway::start().await;
    let signer = uncertified(Backend::Ring);
    let others = gateway.signer();
    let public_key = signer.key().public_key();
    let mixed = CertificateRequest::sign(&subject(&gateway), public_key, &others).await;
    assert!(matches!(mixed, Err(CertificateRequestError::WrongKey)), "{mixed:?}");

    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let mismatch = certificate.require_key(public_key);
    assert!(matches!(mismatch, Err(KeyError::CertificateMismatch { .. })), "{mismatch:?}");
    assert!(
        FileKeySigner::with_certificate(PrivateKey::from_pem(OTHER_KEY).unwrap(), &certificate)
            .is_err()
    );
}

/// 40 zeros are not a valid serial, for example when copied from an example.
#[tokio::test]
async fn a_serial_of_zeros_is_none() {
    let server = WireServer::start_plain().await;
    let key = PrivateKey::from_pem(server.merchant_key_pem()).unwrap();
    let signer = FileKeySigner::new(key, "0".repeat(40).parse().unwrap());
    let client = Client::builder(server.mchid(), signer, server.key_ring())
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    // A connection may have been opened; no byte of a request was sent on it.
    assert!(server.journal().is_empty());
}

/// A signer that fails produces no request.
#[tokio::test]
async fn the_error_of_the_signer_is_kept() {
    #[derive(Debug)]
    struct Away;

    #[wxpay_auth::async_trait]
    impl Signer for Away {
        fn algorithm(&self) -> wxpay_auth::Algorithm {
            wxpay_auth::Algorithm::Sha256Rsa2048
        }

        async fn sign(&self, _: &[u8]) -> Result<wxpay_auth::Signature, wxpay_auth::SignError> {
            Err(wxpay_auth::SignError::new(SignErrorKind::Unavailable, "away"))
        }
    }

    let gateway = Gateway::start().await;
    let key = token::reference();
    let failed = CertificateRequest::sign(&subject(&gateway), key.public_key(), &Away).await;
    let Err(CertificateRequestError::Sign(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(error.kind(), SignErrorKind::Unavailable);
}

#[tokio::test]
async fn the_authority_looks_at_what_it_certifies() {
    let gateway = Gateway::start().await;
    let signer = uncertified(Backend::Ring);
    let public_key = signer.key().public_key();
    let request = CertificateRequest::sign(&subject(&gateway), public_key, &signer).await.unwrap();
    let refused = gateway.issue_certificate("no request");
    assert!(matches!(refused, Err(CertificateRefusal::Malformed { .. })), "{refused:?}");

    // One character of the company name is changed.
    let mut der = request.as_der().to_vec();
    let position = der.windows(3).position(|w| w == "某".as_bytes()).unwrap();
    der[position + 2] ^= 1;
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{base64}\n-----END CERTIFICATE REQUEST-----\n"
    );
    let refused = gateway.issue_certificate(&pem);
    assert!(matches!(refused, Err(CertificateRefusal::Malformed { .. })), "{refused:?}");

    let elliptic = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&elliptic).unwrap();
    let refused = gateway.issue_certificate(&request.pem().unwrap());
    let not_rsa =
        |e: &CertificateRefusal| matches!(e, CertificateRefusal::Key(KeyError::NotRsa { .. }));
    assert!(refused.as_ref().is_err_and(not_rsa), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs openssl: run scripts/test"]
async fn openssl_accepts_the_request_of_a_file_key() {
    let gateway = Gateway::start().await;
    let mut requests = Vec::new();
    for backend in [Backend::Ring, Backend::AwsLcRs] {
        let signer = uncertified(backend);
        let subject = subject(&gateway);
        requests.push(check_request(&subject, signer.key().public_key(), &signer).await);
    }
    assert_eq!(requests[0], requests[1]);
}
