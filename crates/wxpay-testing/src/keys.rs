//! The keys of both sides: published test keys, with certificates made for them.

use std::sync::LazyLock;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    SerialNumber, date_time_ymd,
};
use time::OffsetDateTime;
use wxpay_auth_core::{Certificate, PrivateKey, Timestamp, WechatpaySerial};

const MERCHANT_KEY: &str = include_str!("../testdata/merchant_private_key.pem");
const WECHATPAY_KEY: &str = include_str!("../testdata/wechat_pay_private_key.pem");
const PLATFORM_KEY: &str = include_str!("../testdata/platform_private_key.pem");
const NEXT_PLATFORM_KEY: &str = include_str!("../testdata/next_platform_private_key.pem");

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
    /// Signs responses as a platform certificate that was added.
    pub(crate) next_platform_key: PrivateKey,
    /// The certificate of the authority of all certificates.
    pub(crate) root_certificate_pem: String,
    /// For the first platform key, and expired.
    pub(crate) expired_certificate_pem: String,
    pub(crate) expired_certificate: Certificate,
}

impl Keys {
    #[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
    fn load() -> Self {
        let until = |last_year| (date_time_ymd(2020, 1, 1), date_time_ymd(last_year, 12, 31));
        let merchant = issue(MERCHANT_KEY, &MERCHANT, serial(0x5F), until(2099));
        let platform = issue(PLATFORM_KEY, &PLATFORM, serial(0x44), until(2099));
        let expired = issue(PLATFORM_KEY, &PLATFORM, serial(0x31), until(2021));
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
            next_platform_key: PrivateKey::from_pem(NEXT_PLATFORM_KEY).expect("a key in PEM"),
            root_certificate_pem: root_certificate(),
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

type Validity = (OffsetDateTime, OffsetDateTime);

/// Issues the platform certificate with this number, for the other key than that of the number before, and returns it
/// in PEM as well.
#[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
pub(crate) fn platform_certificate(
    number: usize,
    validity: Option<(Timestamp, Timestamp)>,
) -> (Certificate, String) {
    let key = if number % 2 == 1 { NEXT_PLATFORM_KEY } else { PLATFORM_KEY };
    // Its first digit is a zero, as that of some real ones.
    let mut serial = vec![0x0C; 12];
    serial.extend(u64::try_from(number).unwrap_or_default().to_be_bytes());
    let at = |time: Timestamp| date_time_ymd(1970, 1, 1) + Duration::from_secs(time.as_unix_secs());
    let whole = (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 12, 31));
    let validity = validity.map_or(whole, |(begin, end)| (at(begin), at(end)));
    let pem = issue(key, &PLATFORM, serial, validity);
    (Certificate::from_pem(&pem).expect("a certificate"), pem)
}

/// Returns a serial of 20 bytes that begins with this one.
fn serial(begin: u8) -> Vec<u8> {
    (0..20_u8).map(|i| begin.wrapping_add(i * 11) & 0x7f).collect()
}

/// Issues a certificate for a key. Returns it in PEM, the same each time.
#[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
fn issue(key_pem: &str, subject: &Subject, serial: Vec<u8>, validity: Validity) -> String {
    let key = KeyPair::from_pem(key_pem).expect("a key in PEM");
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(serial));
    (params.not_before, params.not_after) = validity;
    params.distinguished_name = name(subject);
    params.signed_by(&key, &Issuer::new(root_params(), root_key())).expect("a certificate").pem()
}

/// Returns the certificate of the authority in PEM, the same each time.
#[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
fn root_certificate() -> String {
    root_params().self_signed(&root_key()).expect("a certificate").pem()
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&ROOT);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from(serial(0x10)));
    (params.not_before, params.not_after) =
        (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 12, 31));
    params
}

#[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
fn root_key() -> KeyPair {
    KeyPair::from_pem(WECHATPAY_KEY).expect("a key in PEM")
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
        assert_eq!(again.root_certificate_pem, KEYS.root_certificate_pem);
    }

    #[test]
    fn platform_certificates_are_issued_by_the_root_and_differ() {
        let root = Certificate::from_pem(&KEYS.root_certificate_pem).unwrap();
        let ((one, _), (two, _)) = (platform_certificate(1, None), platform_certificate(2, None));
        for certificate in [&one, &two, &KEYS.platform_certificate, &KEYS.merchant_certificate] {
            certificate.require_issuer(&root).unwrap();
        }
        assert_ne!(one.serial_no(), two.serial_no());
        assert_eq!(one.public_key(), KEYS.next_platform_key.public_key());
        assert_eq!(two.public_key(), KEYS.platform_key.public_key());
        let validity =
            (Timestamp::from_unix_secs(1_700_000_000), Timestamp::from_unix_secs(1_800_000_000));
        let (short, _) = platform_certificate(3, Some(validity));
        assert_eq!((short.not_before(), short.not_after()), validity);
    }
}
