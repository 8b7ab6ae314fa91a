//! Keys that are born in a token and never leave it.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer, Pkcs11Uri};
use wxpay_auth::{Certificate, CertificateSubject, KeyError, SignErrorKind, Signer};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::Gateway;
use wxpay_tests::openssl::check_request;
use wxpay_tests::token::{Token, alone, certificate, certificate_object, delete};
use wxpay_tests::{chain, plan_id};
use wxpay_transport::{BaseUrl, Client, Outcome, Proxy};

fn client(
    gateway: &Gateway,
    signer: Pkcs11Signer,
) -> DeliveryPlans<impl wxpay_transport::Transport> {
    let client = Client::builder(gateway.mchid(), signer, gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    DeliveryPlans::new(client)
}

/// Generate, request, certificate, back onto the token, and a call.
async fn the_whole_way(token: &Token) {
    let gateway = Gateway::start().await;
    let label = format!("born-{}", std::process::id());
    let uri = token.uri().object(&label);
    let pair = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign)
        .await
        .unwrap_or_else(|e| panic!("{}: {}", token.name, chain(&e)));
    let cleanup = Cleanup { token: token.clone(), label };
    assert!(pair.uri().to_string().contains(";id=%"), "{}", pair.uri());
    never_leaves(token, pair.uri());

    // It has no certificate yet: it signs the request for one, and nothing else.
    let error = Pkcs11Signer::builder(uri.clone()).connect().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::NoCertificate), "{}", chain(&error));
    let signer = Pkcs11Signer::builder(uri.clone()).without_certificate().connect().await.unwrap();
    assert_eq!(signer.public_key(), pair.public_key());
    let sent = client(&gateway, signer.clone()).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(sent.outcome(), Outcome::NotSent);
    let subject = CertificateSubject::new(&gateway.mchid()).country("CN").unwrap();
    let request = check_request(&subject, pair.public_key(), &signer).await;

    let pem = gateway.issue_certificate(&request.to_pem()).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    certificate.require_key(pair.public_key()).unwrap();
    let found = Pkcs11KeyPair::find(uri.clone()).await.unwrap();
    assert_eq!(found.public_key(), pair.public_key());
    found.store_certificate(certificate.clone()).await.unwrap();
    // Twice is once.
    found.store_certificate(certificate.clone()).await.unwrap();
    let others = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let error = found.store_certificate(others).await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::Key(KeyError::CertificateMismatch { .. })), "{error}");

    let certified = Pkcs11Signer::builder(uri.clone()).connect().await.unwrap();
    assert_eq!(certified.serial_no(), certificate.serial_no());
    client(&gateway, certified.clone()).terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(gateway.executions(), 1);

    // The label is taken now.
    let again = Pkcs11KeyPair::generate(uri, Pkcs11KeyUsage::Sign).await.unwrap_err();
    assert!(matches!(again, Pkcs11Error::KeyExists { .. }), "{again}");
    assert_eq!(again.kind(), SignErrorKind::Configuration);
    for signer in [signer, certified] {
        signer.shut_down().await.unwrap();
    }
    drop(cleanup);
}

/// The token says so, and does not give the key away when it is asked.
fn never_leaves(token: &Token, uri: &Pkcs11Uri) {
    let session = token.session();
    let label = uri.to_string();
    let label = label.split_once("object=").and_then(|(_, rest)| rest.split(';').next()).unwrap();
    let template =
        [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.as_bytes().to_vec())];
    let keys = session.find_objects(&template).unwrap();
    let [key] = keys[..] else { panic!("{} keys", keys.len()) };
    let bound = [
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::AlwaysSensitive(true),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
    ];
    for attribute in bound {
        let said = session.get_attributes(key, &[attribute.attribute_type()]).unwrap();
        assert_eq!(said, [attribute], "{}", token.name);
    }
    for secret in [AttributeType::PrivateExponent, AttributeType::Prime1, AttributeType::Prime2] {
        // An error of the token, or no value: in no case the number.
        let said = session.get_attributes(key, &[secret]).unwrap_or_default();
        assert_eq!(said, [], "{}", token.name);
    }
    // The label does not make it so: an imported key may leave.
    let imported =
        [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(b"merchant".to_vec())];
    let imported = session.find_objects(&imported).unwrap();
    let said = session.get_attributes(imported[0], &[AttributeType::Local]).unwrap();
    assert_eq!(said, [Attribute::Local(false)]);
}

/// Deletes what a test made on a token that stays.
struct Cleanup {
    token: Token,
    label: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        delete(&self.token.session(), &[Attribute::Label(self.label.as_bytes().to_vec())]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM and openssl: run scripts/test"]
async fn the_whole_way_on_softhsm() {
    let _alone = alone().await;
    the_whole_way(&Token::softhsm("born")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki and openssl: run scripts/test"]
async fn the_whole_way_on_opencryptoki() {
    let _alone = alone().await;
    the_whole_way(&Token::opencryptoki()).await;
}

/// NSS makes the key, and does not vouch for it (`CKA_LOCAL`): it is deleted again.
#[tokio::test]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn softokn_does_not_vouch_for_its_keys() {
    let _alone = alone().await;
    let token = Token::softokn();
    let uri = token.uri().object("not bound");
    let error = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await.unwrap_err();
    let local =
        |e: &Pkcs11Error| matches!(e, Pkcs11Error::KeyNotBound { attribute: "CKA_LOCAL", .. });
    assert!(local(&error), "{}", chain(&error));
    let found = Pkcs11KeyPair::find(uri).await;
    assert!(matches!(found, Err(Pkcs11Error::KeyNotFound { .. })), "{found:?}");
    let left = token.session().find_objects(&[Attribute::Label(b"not bound".to_vec())]).unwrap();
    assert_eq!(left.len(), 0);
}

/// It is stored once under the name of the key, also when it lies there under none.
#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_certificate_is_stored_where_it_is_found() {
    let _alone = alone().await;
    let token = Token::softhsm("born");
    let session = token.session();
    let _nameless = certificate_object(&session, certificate().as_der(), &[]);
    let pair = Pkcs11KeyPair::find(token.merchant()).await.unwrap();
    let connect = || Pkcs11Signer::builder(token.merchant()).connect();
    for _ in 0..2 {
        pair.store_certificate(certificate()).await.unwrap();
    }
    let signer = connect().await.unwrap();
    assert_eq!(signer.serial_no(), certificate().serial_no());
    signer.shut_down().await.unwrap();
    let stored = [Attribute::Class(ObjectClass::CERTIFICATE), Attribute::Id(vec![1])];
    assert_eq!(session.find_objects(&stored).unwrap().len(), 1);
    delete(&session, &stored);
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_key_may_be_made_for_decrypting_as_well() {
    let _alone = alone().await;
    let token = Token::softhsm("born");
    let uri = token.uri().object("decrypting").id([7, 7]);
    let pair = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::SignAndDecrypt).await.unwrap();
    assert!(pair.uri().to_string().contains("id=%07%07"), "{}", pair.uri());
    let cleanup = Cleanup { token: token.clone(), label: "decrypting".to_owned() };
    let session = token.session();
    let key = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(vec![7, 7])];
    let key = session.find_objects(&key).unwrap()[0];
    let said = session.get_attributes(key, &[AttributeType::Decrypt, AttributeType::Sign]).unwrap();
    assert_eq!(said, [Attribute::Decrypt(true), Attribute::Sign(true)]);
    let signer = Pkcs11Signer::builder(uri).without_certificate().connect().await.unwrap();
    signer.sign(b"message").await.unwrap();
    drop(cleanup);
}
