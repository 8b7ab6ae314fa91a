//! Merchant certificates are issued for certificate requests, and requests are accepted by certificate.

use std::collections::HashSet;
use std::error::Error as _;

use crate::common::{Call, Credentials, terminate};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};
use wxpay_auth::{Certificate, KeyError, PrivateKey, SerialNo};
use wxpay_testing::{CertificateRefusal, Gateway, Refusal, Verdict, WechatPay};

/// A merchant's own key: that of the platform certificate does as well as any.
const OWN_KEY: &str = include_str!("../../testdata/platform_private_key.pem");

/// Makes a certificate request without `wxpay-auth`.
fn request(key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationalUnitName, "某某科技有限公司");
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn own_key() -> KeyPair {
    KeyPair::from_pem_and_sign_algo(OWN_KEY, &PKCS_RSA_SHA256).unwrap()
}

async fn gateway(wechat_pay: &std::sync::Arc<WechatPay>) -> Gateway {
    Gateway::builder().wechat_pay(wechat_pay.clone()).start().await.unwrap()
}

/// Terminates a plan with a key and a serial, and returns the verdict.
async fn verdict(gateway: &Gateway, key_pem: &str, serial_no: &SerialNo) -> Verdict {
    let mut credentials = Credentials::of(gateway);
    credentials.key = PrivateKey::from_pem(key_pem).unwrap();
    credentials.serial_no = serial_no.clone();
    let call = Call::new("POST", &terminate("12000"), "").signed(&credentials);
    call.send(&gateway.base_url()).await;
    gateway.journal().pop().unwrap().verdict().clone()
}

#[tokio::test]
async fn a_certificate_is_issued_and_accepted_beside_the_first_one() {
    let gateway = Gateway::start().await;
    let pem = gateway.issue_certificate(&request(&own_key())).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    certificate.require_key(PrivateKey::from_pem(OWN_KEY).unwrap().public_key()).unwrap();
    let utf8 = "某某科技有限公司".as_bytes();
    assert!(certificate.as_der().windows(utf8.len()).any(|w| w == utf8), "the subject is kept");

    let own = certificate.serial_no();
    assert_eq!(verdict(&gateway, OWN_KEY, own).await, Verdict::Accepted);
    let (first_key, first) = (gateway.merchant_key_pem().to_owned(), gateway.serial_no());
    assert_eq!(verdict(&gateway, &first_key, &first).await, Verdict::Accepted);
    // Each key with the serial of the other.
    for (key, serial_no) in [(OWN_KEY, &first), (&first_key, own)] {
        let verdict = verdict(&gateway, key, serial_no).await;
        assert_eq!(verdict, Verdict::Refused(Refusal::SignatureMismatch));
    }
    let unknown = "F".repeat(40).parse().unwrap();
    let verdict = verdict(&gateway, OWN_KEY, &unknown).await;
    let Verdict::Refused(Refusal::WrongSerialNo { expected, .. }) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(expected, [first, own.clone()]);
}

#[tokio::test]
async fn a_certificate_of_ones_own_takes_the_place_of_the_first_one() {
    let authority = WechatPay::builder().build();
    let pem = authority.issue_certificate(&request(&own_key())).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    let wechat_pay = WechatPay::builder().merchant_certificate(certificate.clone()).build();
    let gateway = gateway(&wechat_pay).await;

    assert_eq!(verdict(&gateway, OWN_KEY, certificate.serial_no()).await, Verdict::Accepted);
    let (key, first) = (gateway.merchant_key_pem().to_owned(), gateway.serial_no());
    let refused = verdict(&gateway, &key, &first).await;
    let Verdict::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(
        refusal.to_string(),
        format!("serial_no {first} is not {}", certificate.serial_no())
    );
    assert_eq!(gateway.executions(), 1);
}

#[test]
fn no_two_certificates_have_one_serial() {
    let wechat_pay = WechatPay::builder().build();
    let request = request(&own_key());
    let serials: HashSet<SerialNo> = (0..300)
        .map(|_| wechat_pay.issue_certificate(&request).unwrap())
        .map(|pem| Certificate::from_pem(pem).unwrap().serial_no().clone())
        .collect();
    assert_eq!(serials.len(), 300);
    // Not padded: each has 20 bytes.
    assert!(serials.iter().all(|serial_no| !serial_no.as_str().starts_with('0')));
}

#[test]
fn what_is_no_request_gets_no_certificate() {
    let wechat_pay = WechatPay::builder().build();
    let good = request(&own_key());
    let bad = [
        String::new(),
        "no request".to_owned(),
        wechat_pay.merchant_certificate_pem().to_owned(),
        wechat_pay.merchant_key_pem().to_owned(),
        good.replacen("MII", "MIJ", 1),
        good.lines().filter(|line| line.len() < 64).collect::<Vec<_>>().join("\n"),
    ];
    for bad in bad {
        let error = wechat_pay.issue_certificate(&bad).unwrap_err();
        assert!(matches!(error, CertificateRefusal::Malformed { .. }), "{error:?}");
        assert!(error.source().is_some());
    }
    let elliptic = wechat_pay.issue_certificate(&request(&KeyPair::generate().unwrap()));
    assert!(matches!(elliptic, Err(CertificateRefusal::Key(KeyError::NotRsa { .. }))));
}
