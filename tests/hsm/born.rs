//! Keys generated in a token that never leave it.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer};
use wxpay_auth::{Certificate, CertificateRequest, CertificateSubject, SignErrorKind, Signer};
use wxpay_testing::Gateway;
use wxpay_tests::born::{Cleanup, the_whole_way};
use wxpay_tests::certificate_drill::exchange_the_merchant_certificate;
use wxpay_tests::token::{Faults, Token, certificate, certificate_object, delete};
use wxpay_tests::{alone, chain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM and openssl: run scripts/test"]
async fn the_whole_way_on_softhsm() {
    alone!();
    the_whole_way(&Token::softhsm("born"), Pkcs11KeyUsage::Sign).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki and openssl: run scripts/test"]
async fn the_whole_way_on_opencryptoki() {
    alone!();
    the_whole_way(&Token::opencryptoki(), Pkcs11KeyUsage::Sign).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kryoptic and openssl: run scripts/test"]
async fn the_whole_way_on_kryoptic() {
    alone!();
    for usage in [Pkcs11KeyUsage::Sign, Pkcs11KeyUsage::SignAndDecrypt] {
        the_whole_way(&Token::kryoptic(), usage).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit-client and openssl: run scripts/test"]
async fn the_whole_way_on_p11_kit_client() {
    alone!();
    for usage in [Pkcs11KeyUsage::Sign, Pkcs11KeyUsage::SignAndDecrypt] {
        the_whole_way(&Token::p11_kit_client(), usage).await;
    }
}

/// NSS generates the key, but does not report it as generated in the token (`CKA_LOCAL`): it is deleted
/// again.
#[tokio::test]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn softokn_does_not_vouch_for_its_keys() {
    alone!();
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

/// It is stored once under the name of the key, even if it is already stored without a name.
#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_certificate_is_stored_where_it_is_found() {
    alone!();
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
    alone!();
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
    signer.shut_down().await.unwrap();
    drop(cleanup);
}

/// An ambiguous error is not reported as a problem with the key usage.
#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_refused_template_is_told_from_other_errors() {
    alone!();
    let (faults, uri) = (Faults, Token::softhsm("fault").faulty().uri().object("refused"));
    let generate = async || Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await;
    for code in ["d0", "d1", "12", "13"] {
        faults.set(&format!("generate {code}"));
        let error = generate().await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::SignOnlyKeyRefused { .. }), "{}", chain(&error));
        assert!(error.hint().contains("SignAndDecrypt"), "{}", error.hint());
    }
    for (code, name, kind) in [
        ("5", "CKR_GENERAL_ERROR", SignErrorKind::Unavailable),
        ("6", "CKR_FUNCTION_FAILED", SignErrorKind::Unavailable),
        ("30", "CKR_DEVICE_ERROR", SignErrorKind::Unavailable),
        ("7", "CKR_ARGUMENTS_BAD", SignErrorKind::Other),
    ] {
        faults.set(&format!("generate {code}"));
        let error = generate().await.unwrap_err();
        assert_eq!(error.to_string(), format!("C_GenerateKeyPair answered {name}"));
        assert_eq!(error.kind(), kind, "{name}");
    }
}

/// Two keys in one token: the merchant's, and one that was generated beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_merchant_certificate_is_exchanged_on_softhsm() {
    alone!();
    let (token, gateway) = (Token::softhsm("born"), Gateway::start().await);
    let label = "next".to_owned();
    let uri = token.uri().object(&label);
    let pair = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await.unwrap();
    let cleanup = Cleanup { token: token.clone(), label };
    let signer = Pkcs11Signer::builder(uri.clone()).without_certificate().connect().await.unwrap();
    let subject = CertificateSubject::new(&gateway.mchid());
    let request = CertificateRequest::sign(&subject, pair.public_key(), &signer).await.unwrap();
    let pem = gateway.issue_certificate(&request.to_pem()).unwrap();
    let issued = Certificate::from_pem(pem).unwrap();

    let current = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let connect = async |uri, certificate: Certificate| {
        Pkcs11Signer::builder(uri).certificate(certificate).connect().await.unwrap()
    };
    let current = connect(token.merchant(), current).await;
    let next = connect(uri, issued.clone()).await;
    let serial_no = issued.serial_no();
    exchange_the_merchant_certificate(&gateway, current.clone(), next.clone(), serial_no).await;
    for signer in [signer, current, next] {
        signer.shut_down().await.unwrap();
    }
    drop(cleanup);
}
