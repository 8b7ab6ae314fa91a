//! The keys of both sides: published test keys, with certificates made for them.

use std::sync::LazyLock;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, SerialNumber, date_time_ymd,
};
use wxpay_auth_core::{Certificate, PrivateKey, WechatpaySerial};

const MERCHANT_KEY: &str = include_str!("../testdata/merchant_private_key.pem");
const WECHATPAY_KEY: &str = include_str!("../testdata/wechat_pay_private_key.pem");
const PLATFORM_KEY: &str = include_str!("../testdata/platform_private_key.pem");

/// The keys never change, so they are parsed once.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(Keys::load);

/// The id of the gateway's public key.
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0100000000002026010100000000000001";

pub(crate) struct Keys {
    pub(crate) merchant_key_pem: &'static str,
    pub(crate) merchant_certificate_pem: String,
    pub(crate) merchant_certificate: Certificate,
    /// Signs responses as `PUB_KEY_ID_…`.
    pub(crate) wechatpay_key: PrivateKey,
    pub(crate) public_key_id: WechatpaySerial,
    pub(crate) public_key_pem: String,
    /// Signs responses as a platform certificate.
    pub(crate) platform_key: PrivateKey,
    pub(crate) platform_certificate_pem: String,
    pub(crate) platform_certificate: Certificate,
    /// For the same key, and expired.
    pub(crate) expired_certificate_pem: String,
    pub(crate) expired_certificate: Certificate,
}

impl Keys {
    #[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
    fn load() -> Self {
        let merchant = issue(MERCHANT_KEY, &MERCHANT, 0x5F, 2099);
        let platform = issue(PLATFORM_KEY, &PLATFORM, 0x44, 2099);
        let expired = issue(PLATFORM_KEY, &PLATFORM, 0x31, 2021);
        let wechatpay = KeyPair::from_pem(WECHATPAY_KEY).expect("a key in PEM");
        Self {
            merchant_key_pem: MERCHANT_KEY,
            merchant_certificate: Certificate::from_pem(&merchant).expect("a certificate"),
            merchant_certificate_pem: merchant,
            wechatpay_key: PrivateKey::from_pem(WECHATPAY_KEY).expect("a key in PEM"),
            public_key_id: WechatpaySerial::new(PUBLIC_KEY_ID).expect("an id"),
            public_key_pem: wechatpay.public_key_pem(),
            platform_key: PrivateKey::from_pem(PLATFORM_KEY).expect("a key in PEM"),
            platform_certificate: Certificate::from_pem(&platform).expect("a certificate"),
            platform_certificate_pem: platform,
            expired_certificate: Certificate::from_pem(&expired).expect("a certificate"),
            expired_certificate_pem: expired,
        }
    }
}

/// Subject or issuer, as in real certificates.
type Subject = [(DnType, &'static str)];

const MERCHANT: [(DnType, &str); 5] = [
    (DnType::CommonName, "1900007291"),
    (DnType::OrganizationName, "微信商户系统"),
    (DnType::OrganizationalUnitName, "wxpay-testing"),
    (DnType::CountryName, "CN"),
    (DnType::LocalityName, "ShenZhen"),
];

const PLATFORM: [(DnType, &str); 4] = [
    (DnType::CommonName, "Tenpay.com sign"),
    (DnType::CountryName, "CN"),
    (DnType::OrganizationName, "Tenpay.com"),
    (DnType::OrganizationalUnitName, "Tenpay.com CA Center"),
];

const ROOT: [(DnType, &str); 4] = [
    (DnType::CountryName, "CN"),
    (DnType::OrganizationName, "Tenpay.com"),
    (DnType::OrganizationalUnitName, "Tenpay.com CA Center"),
    (DnType::CommonName, "Tenpay.com Root CA"),
];

/// Issues a certificate for a key, with a serial that begins with this byte, valid from 2020 to the end
/// of `last_year`. Returns it in PEM, the same each time.
#[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
fn issue(key_pem: &str, subject: &Subject, serial_begin: u8, last_year: i32) -> String {
    let key = KeyPair::from_pem(key_pem).expect("a key in PEM");
    let mut params = CertificateParams::default();
    let serial: Vec<u8> = (0..20_u8).map(|i| serial_begin.wrapping_add(i * 11) & 0x7f).collect();
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(last_year, 12, 31);
    params.distinguished_name = name(subject);
    let mut root = CertificateParams::default();
    root.distinguished_name = name(&ROOT);
    let root = Issuer::new(root, KeyPair::from_pem(WECHATPAY_KEY).expect("a key in PEM"));
    params.signed_by(&key, &root).expect("a certificate").pem()
}

fn name(attributes: &Subject) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (attribute, value) in attributes {
        name.push(attribute.clone(), *value);
    }
    name
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::PublicKey;

    use super::*;

    #[test]
    fn keys_and_certificates_belong_together() {
        let keys = &*KEYS;
        let merchant = PrivateKey::from_pem(keys.merchant_key_pem).unwrap();
        assert_eq!(merchant.public_key(), keys.merchant_certificate.public_key());
        let public = PublicKey::from_pem(&keys.public_key_pem).unwrap();
        assert_eq!(keys.wechatpay_key.public_key(), &public);
        assert_eq!(keys.platform_key.public_key(), keys.platform_certificate.public_key());
        assert_ne!(keys.platform_key.public_key(), &public);
        assert!(Certificate::from_pem(&keys.platform_certificate_pem).is_ok());
        assert!(Certificate::from_pem(&keys.merchant_certificate_pem).is_ok());
    }

    #[test]
    fn a_ring_tells_the_certificates_apart() {
        let ring = wxpay_auth_core::KeyRing::new();
        ring.insert_certificate(&KEYS.platform_certificate).unwrap();
        let refused = ring.insert_certificate(&KEYS.merchant_certificate).unwrap_err();
        assert!(
            matches!(refused, wxpay_auth_core::KeyError::MerchantCertificate { .. }),
            "{refused:?}"
        );
    }

    /// Programs find the same files each time.
    #[test]
    fn certificates_are_the_same_each_time() {
        let again = Keys::load();
        assert_eq!(again.merchant_certificate_pem, KEYS.merchant_certificate_pem);
        assert_eq!(again.platform_certificate_pem, KEYS.platform_certificate_pem);
        assert_eq!(again.public_key_pem, KEYS.public_key_pem);
    }
}
