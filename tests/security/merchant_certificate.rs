//! The exchange of the merchant certificate, with keys in files.

use wxpay_auth::{
    CanarySigner, Certificate, CertificateRequest, CertificateSubject, FileKeySigner, PrivateKey,
    Share,
};
use wxpay_testing::Gateway;
use wxpay_tests::certificate_drill::exchange_the_merchant_certificate;
use wxpay_tests::requests::list;
use wxpay_transport::{BaseUrl, Client, ConnectionReuse, NoRetry, Proxy, Transport};

const NEW_KEY: &str =
    include_str!("../../crates/wxpay-auth-core/testdata/keys/apiclient_test_key.pem");

fn new_key() -> PrivateKey {
    PrivateKey::from_pem(NEW_KEY).unwrap()
}

/// Has the gateway issue a certificate for the new key.
async fn new_certificate(gateway: &Gateway) -> Certificate {
    let signer = FileKeySigner::without_certificate(new_key());
    let subject = CertificateSubject::new(&gateway.mchid());
    let request = CertificateRequest::sign(&subject, signer.key().public_key(), &signer).await;
    let pem = gateway.issue_certificate(&request.unwrap().to_pem()).unwrap();
    Certificate::from_pem(pem).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_exchanged_without_a_gap_and_back() {
    let gateway = Gateway::start().await;
    let certificate = new_certificate(&gateway).await;
    let next = FileKeySigner::with_certificate(new_key(), &certificate).unwrap();
    let serial_no = certificate.serial_no();
    exchange_the_merchant_certificate(&gateway, gateway.signer(), next, serial_no).await;
}

/// A certificate that is not valid yet, or not the merchant's: WeChat Pay refuses what it signs.
#[tokio::test]
async fn a_new_certificate_that_is_refused_is_noticed_and_given_up() {
    let gateway = Gateway::start().await;
    let elsewhere = Gateway::start().await;
    let unknown = new_certificate(&elsewhere).await;
    let next = FileKeySigner::with_certificate(new_key(), &unknown).unwrap();
    let signer = CanarySigner::new(gateway.signer(), next).unwrap();
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        // A refusal on a kept connection would be confirmed by another attempt, with a signature of its own.
        .connection_reuse(ConnectionReuse::None)
        .build()
        .unwrap();
    signer.set_share(Share::new(0.2).unwrap());
    let mut refused = 0;
    for _ in 0..50 {
        if let Err(error) = client.send(list()).await {
            assert_eq!(error.status().map(|status| status.as_u16()), Some(401), "{error:?}");
            refused += 1;
        }
    }
    assert!((6..=14).contains(&refused), "a fifth of 50: {refused}");
    signer.set_share(Share::NONE);
    for _ in 0..50 {
        client.send(list()).await.unwrap();
    }
}
