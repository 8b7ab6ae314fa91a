//! The whole life of a key generated in a token.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer, Pkcs11Uri};
use wxpay_auth::{Certificate, CertificateSubject, KeyError, SignErrorKind};
use wxpay_testing::Gateway;
use wxpay_transport::Outcome;

use crate::openssl::check_request;
use crate::token::{Token, delete};
use crate::{chain, plan_id, signed_plans};

/// Generates a key, requests and stores its certificate, and makes a call.
pub async fn the_whole_way(token: &Token, usage: Pkcs11KeyUsage) {
    let gateway = Gateway::start().await;
    let label = format!("born-{}", std::process::id());
    let uri = token.uri().object(&label);
    let pair = Pkcs11KeyPair::generate(uri.clone(), usage)
        .await
        .unwrap_or_else(|e| panic!("{}: {}", token.name, chain(&e)));
    let cleanup = Cleanup { token: token.clone(), label };
    assert!(pair.uri().to_string().contains(";id=%"), "{}", pair.uri());
    never_leaves(token, pair.uri(), usage);

    // Without a certificate, it signs only the certificate request.
    let error = Pkcs11Signer::builder(uri.clone()).connect().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::NoCertificate), "{}", chain(&error));
    let signer = Pkcs11Signer::builder(uri.clone()).without_certificate().connect().await.unwrap();
    assert_eq!(signer.public_key(), pair.public_key());
    let sent =
        signed_plans(&gateway, signer.clone()).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(sent.outcome(), Outcome::NotSent);
    let subject = CertificateSubject::new(&gateway.mchid()).country("CN").unwrap();
    let request = check_request(&subject, pair.public_key(), &signer).await;

    let pem = gateway.issue_certificate(&request.to_pem()).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    certificate.require_key(pair.public_key()).unwrap();
    let found = Pkcs11KeyPair::find(uri.clone()).await.unwrap();
    assert_eq!(found.public_key(), pair.public_key());
    found.store_certificate(certificate.clone()).await.unwrap();
    // Storing it twice changes nothing.
    found.store_certificate(certificate.clone()).await.unwrap();
    let others = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let error = found.store_certificate(others).await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::Key(KeyError::CertificateMismatch { .. })), "{error}");

    let certified = Pkcs11Signer::builder(uri.clone()).connect().await.unwrap();
    assert_eq!(certified.serial_no(), certificate.serial_no());
    signed_plans(&gateway, certified.clone()).terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(gateway.executions(), 1);

    // The label is in use now.
    let again = Pkcs11KeyPair::generate(uri, usage).await.unwrap_err();
    assert!(matches!(again, Pkcs11Error::KeyExists { .. }), "{again}");
    assert_eq!(again.kind(), SignErrorKind::Configuration);
    for signer in [signer, certified] {
        signer.shut_down().await.unwrap();
    }
    drop(cleanup);
}

/// Checks that the token reports the key as not extractable, and does not return it.
fn never_leaves(token: &Token, uri: &Pkcs11Uri, usage: Pkcs11KeyUsage) {
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
        Attribute::Decrypt(usage == Pkcs11KeyUsage::SignAndDecrypt),
    ];
    for attribute in bound {
        let said = session.get_attributes(key, &[attribute.attribute_type()]).unwrap();
        assert_eq!(said, [attribute], "{}", token.name);
    }
    for secret in [AttributeType::PrivateExponent, AttributeType::Prime1, AttributeType::Prime2] {
        // An error of the token, or no value, but never the number.
        let said = session.get_attributes(key, &[secret]).unwrap_or_default();
        assert_eq!(said, [], "{}", token.name);
    }
    // The label does not cause this: an imported key may be extractable.
    let imported =
        [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(b"merchant".to_vec())];
    let imported = session.find_objects(&imported).unwrap();
    let said = session.get_attributes(imported[0], &[AttributeType::Local]).unwrap();
    assert_eq!(said, [Attribute::Local(false)]);
}

/// Deletes the objects that a test created on a persistent token.
#[derive(Debug)]
pub struct Cleanup {
    /// The token.
    pub token: Token,
    /// The label of the objects to delete.
    pub label: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // A second panic would hide the first.
        if std::thread::panicking() {
            return;
        }
        delete(&self.token.session(), &[Attribute::Label(self.label.as_bytes().to_vec())]);
    }
}
