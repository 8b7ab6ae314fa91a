//! The list of platform certificates: decrypted and checked.

use wxpay_auth::{
    Certificate, DateTime, DecryptError, KeyError, ResourceDecryptor, Timestamp, WechatpaySerial,
};
use wxpay_auth_core::internal::log::warn;
use wxpay_auth_core::internal::{is_merchants, merchant_certificate};

use crate::certificates::list_error::CertificateListError;
use crate::certificates::wire::{Body, Entry};

/// A platform certificate (平台证书) that WeChat Pay lists.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlatformCertificate {
    /// Its serial as the list writes it, in upper case. It is the number of the certificate.
    pub serial: WechatpaySerial,
    /// When it takes effect, if the list says so.
    pub effective_time: Option<DateTime>,
    /// When it ends, if the list says so. It may differ from the end in the certificate itself while certificates are
    /// exchanged.
    pub expire_time: Option<DateTime>,
    /// The certificate.
    pub certificate: Certificate,
}

impl PlatformCertificate {
    /// Returns the last second at which it is of use: the end in the list or in the certificate, whichever comes first.
    pub fn last_use(&self) -> Timestamp {
        let not_after = self.certificate.not_after();
        self.expire_time.as_ref().map_or(not_after, |end| end.timestamp().min(not_after))
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        (self.certificate.not_before()..=self.certificate.not_after()).contains(&now)
    }
}

/// A verified list of platform certificates, without those that have expired. At least one is valid.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CertificateList {
    /// The certificates, in the order of the list.
    pub certificates: Vec<PlatformCertificate>,
    /// The `Request-ID` of the response, which WeChat Pay's support asks for.
    pub request_id: Option<String>,
    /// The key that signed the response.
    pub signed_by: WechatpaySerial,
    /// When the response was signed.
    pub signed_at: Timestamp,
}

impl CertificateList {
    /// Returns the certificate to encrypt with: the one that took effect last.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
    pub fn newest(&self) -> Option<&PlatformCertificate> {
        let effective = |listed: &PlatformCertificate| {
            let begin = listed.certificate.not_before();
            listed.effective_time.as_ref().map_or(begin, DateTime::timestamp)
        };
        let valid = self.certificates.iter().filter(|listed| listed.is_valid(self.signed_at));
        valid.max_by_key(|listed| effective(listed))
    }

    /// Returns until when there is a certificate of use.
    pub fn covered_until(&self) -> Timestamp {
        let ends = self.certificates.iter().map(PlatformCertificate::last_use);
        ends.max().unwrap_or(Timestamp::from_unix_secs(0))
    }
}

/// Decrypts and checks the certificates in a body. Expired ones are left out; at least one is valid at `now`.
pub(crate) async fn read(
    body: &[u8],
    decryptor: &dyn ResourceDecryptor,
    root: Option<&Certificate>,
    now: Timestamp,
) -> Result<Vec<PlatformCertificate>, CertificateListError> {
    let body: Body<'_> =
        serde_json::from_slice(body).map_err(|e| CertificateListError::form(&e))?;
    if body.data.is_empty() {
        return Err(CertificateListError::Empty);
    }
    let (mut certificates, mut unusable) = (Vec::with_capacity(body.data.len()), None);
    for entry in &body.data {
        match open(entry, decryptor, root).await {
            Ok(certificate) => certificates.push(certificate),
            // A kind of key or encryption that may come beside the others one day. It is of no use here, and no reason to
            // do without the others.
            Err(error) if is_of_another_kind(&error) => {
                warn!(%error, hint = error.hint(), "a platform certificate is left out");
                unusable = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let (true, Some(error)) = (certificates.is_empty(), unusable) {
        return Err(error);
    }
    valid(certificates, now)
}

fn is_of_another_kind(error: &CertificateListError) -> bool {
    match error {
        CertificateListError::Certificate { source, .. } => {
            matches!(source, KeyError::NotRsa { .. } | KeyError::WrongSize { .. })
        }
        CertificateListError::Decrypt { source, .. } => {
            matches!(source, DecryptError::Algorithm { .. })
        }
        _ => false,
    }
}

/// Decrypts and checks one certificate.
async fn open(
    entry: &Entry<'_>,
    decryptor: &dyn ResourceDecryptor,
    root: Option<&Certificate>,
) -> Result<PlatformCertificate, CertificateListError> {
    let named = entry.serial_no.trim();
    let opened = decryptor.decrypt(&entry.encrypt_certificate).await;
    let pem = opened.map_err(|e| CertificateListError::decrypt(named, e))?;
    let wrong = |e| CertificateListError::certificate(named, e);
    let certificate = Certificate::from_pem(pem).map_err(wrong)?;
    let found: WechatpaySerial = certificate.serial_no().clone().into();
    let serial = WechatpaySerial::new(named).ok().filter(|serial| *serial == found);
    let serial = serial.ok_or_else(|| CertificateListError::serial_mismatch(named, found))?;
    if is_merchants(&certificate) {
        return Err(wrong(merchant_certificate(&certificate)));
    }
    if let Some(root) = root {
        let issued = certificate.require_issuer(root);
        issued.map_err(|source| CertificateListError::Issuer { serial: serial.clone(), source })?;
    }
    Ok(PlatformCertificate {
        serial,
        effective_time: entry.effective_time(),
        expire_time: entry.expire_time(),
        certificate,
    })
}

/// Leaves out what has expired, and requires that one is valid.
fn valid(
    certificates: Vec<PlatformCertificate>,
    now: Timestamp,
) -> Result<Vec<PlatformCertificate>, CertificateListError> {
    let end = |listed: &PlatformCertificate| listed.certificate.not_after();
    let begin = |listed: &PlatformCertificate| listed.certificate.not_before();
    let (current, expired): (Vec<_>, Vec<_>) =
        certificates.into_iter().partition(|listed| now <= end(listed));
    for PlatformCertificate { serial, .. } in &expired {
        warn!(%serial, "an expired platform certificate is left out");
    }
    if current.iter().any(|listed| listed.is_valid(now)) {
        return Ok(current);
    }
    if let Some(next) = current.iter().min_by_key(|listed| begin(listed)) {
        let (serial, not_before) = (next.serial.clone(), begin(next));
        return Err(CertificateListError::NotValidYet { serial, not_before });
    }
    match expired.iter().max_by_key(|listed| end(listed)) {
        Some(last) => {
            let (serial, not_after) = (last.serial.clone(), end(last));
            Err(CertificateListError::Expired { serial, not_after })
        }
        None => Err(CertificateListError::Empty),
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth::ApiV3Key;
    use wxpay_testing::WechatPay;

    use super::*;
    use crate::certificates::double::{API_V3_KEY, CERTIFICATE, NOW, certificate, entry, list};

    const SERIAL: &str = "440024045C4A427599D09BB4E3DE0279F2E813FD";

    async fn opened(body: &str) -> Result<Vec<PlatformCertificate>, CertificateListError> {
        read_at(body, None, NOW).await
    }

    async fn read_at(
        body: &str,
        root: Option<&Certificate>,
        now: u64,
    ) -> Result<Vec<PlatformCertificate>, CertificateListError> {
        let key = ApiV3Key::new(API_V3_KEY).unwrap();
        read(body.as_bytes(), &key, root, Timestamp::from_unix_secs(now)).await
    }

    /// Returns the error of a list, which has a hint and shows no secret.
    async fn refused(body: &str, now: u64) -> CertificateListError {
        let error = read_at(body, None, now).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(error.hint().len() > 15 && !error.to_string().contains('\n'), "{shown}");
        assert!(!shown.contains(&CERTIFICATE[30..50]) && !shown.contains(API_V3_KEY), "{shown}");
        error
    }

    #[tokio::test]
    async fn a_list_is_read_with_serials_in_any_spelling() {
        for spelling in [SERIAL.to_owned(), SERIAL.to_lowercase(), format!("00{SERIAL} ")] {
            let end = Some("2025-01-01T00:00:00+08:00");
            let body = list(&[entry(CERTIFICATE, &spelling, end)]);
            let certificates = opened(&body).await.unwrap();
            assert_eq!(certificates[0].serial, SERIAL.parse().unwrap(), "{spelling}");
            assert_eq!(certificates[0].serial.as_str(), spelling.trim().to_uppercase());
            assert_eq!(certificates[0].last_use().as_unix_secs(), 1_735_660_800);
        }
        let body = list(&[entry(CERTIFICATE, SERIAL, None)]);
        let certificates = opened(&body).await.unwrap();
        assert_eq!(certificates[0].last_use(), certificate().not_after());
        assert_eq!(certificates[0].effective_time.as_ref().unwrap().unix_secs(), 1_652_148_270);
    }

    #[tokio::test]
    async fn each_fault_has_its_error() {
        for body in ["", "[]", "{}", r#"{"data":null}"#, r#"{"data":[{}]}"#, "<html>"] {
            let error = refused(body, NOW).await;
            assert!(matches!(error, CertificateListError::Form { .. }), "{body}: {error}");
        }
        assert!(matches!(refused(r#"{"data":[]}"#, NOW).await, CertificateListError::Empty));

        let good = entry(CERTIFICATE, SERIAL, None);
        let mut tampered = good.clone();
        tampered["encrypt_certificate"]["associated_data"] = "transaction".into();
        let error = refused(&list(&[good.clone(), tampered]), NOW).await;
        assert!(
            matches!(error, CertificateListError::Decrypt { source: DecryptError::Mismatch, .. }),
            "{error}"
        );
        let mut sm4 = good.clone();
        sm4["encrypt_certificate"]["algorithm"] = "AEAD_SM4_GCM".into();
        let error = refused(&list(&[sm4]), NOW).await;
        assert!(error.hint().contains("SM2"), "{error:?}");

        let other = "5157F09EFDC096DE15EBE81A47057A7200000000";
        let long = "1".repeat(500);
        for named in [other, "PUB_KEY_ID_1", "", "no serial\n", &*long] {
            let error = refused(&list(&[entry(CERTIFICATE, named, None)]), NOW).await;
            assert!(matches!(error, CertificateListError::SerialMismatch { .. }), "{error}");
        }
        let damaged = CERTIFICATE.replace("MII", "MIJ");
        for pem in ["no certificate", &*damaged] {
            let error = refused(&list(&[entry(pem, SERIAL, None)]), NOW).await;
            assert!(matches!(error, CertificateListError::Certificate { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn the_clock_decides_what_is_of_use() {
        let (begin, end) = (certificate().not_before(), certificate().not_after());
        let body = list(&[entry(CERTIFICATE, SERIAL, None)]);
        let error = refused(&body, end.as_unix_secs() + 1).await;
        assert!(matches!(error, CertificateListError::Expired { .. }), "{error}");
        let error = refused(&body, begin.as_unix_secs() - 1).await;
        assert!(matches!(error, CertificateListError::NotValidYet { .. }), "{error}");
        assert!(read_at(&body, None, end.as_unix_secs()).await.is_ok());
    }

    #[tokio::test]
    async fn an_expired_certificate_is_left_out_beside_a_valid_one() {
        let wechat_pay = WechatPay::builder().build();
        let expired = Certificate::from_pem(wechat_pay.expired_certificate_pem()).unwrap();
        let entries = [
            entry(wechat_pay.expired_certificate_pem(), expired.serial_no().as_str(), None),
            entry(CERTIFICATE, SERIAL, None),
        ];
        let certificates = opened(&list(&entries)).await.unwrap();
        assert_eq!(certificates.len(), 1);
        assert_eq!(certificates[0].serial.as_str(), SERIAL);
    }

    #[tokio::test]
    async fn another_kind_of_key_is_left_out_beside_a_valid_one_and_refused_alone() {
        let elliptic = include_str!("../../testdata/odd/ec_certificate.pem");
        let strange = entry(elliptic, "01", None);
        let body = list(&[strange.clone(), entry(CERTIFICATE, SERIAL, None)]);
        assert_eq!(opened(&body).await.unwrap().len(), 1);
        let error = refused(&list(&[strange]), NOW).await;
        assert!(
            matches!(
                error,
                CertificateListError::Certificate { source: KeyError::NotRsa { .. }, .. }
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn another_algorithm_is_left_out_beside_a_valid_one_and_refused_alone() {
        let good = entry(CERTIFICATE, SERIAL, None);
        let mut sm4 = good.clone();
        sm4["encrypt_certificate"]["algorithm"] = "AEAD_SM4_GCM".into();
        for both in [[sm4.clone(), good.clone()], [good, sm4.clone()]] {
            assert_eq!(opened(&list(&both)).await.unwrap().len(), 1);
        }
        let error = refused(&list(&[sm4]), NOW).await;
        assert!(
            matches!(
                error,
                CertificateListError::Decrypt { source: DecryptError::Algorithm { .. }, .. }
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_merchants_own_certificate_is_no_platform_certificate() {
        let wechat_pay = WechatPay::builder().build();
        let pem = wechat_pay.merchant_certificate_pem();
        let body = list(&[entry(pem, wechat_pay.serial_no().as_str(), None)]);
        let error = refused(&body, NOW).await;
        assert!(
            matches!(
                error,
                CertificateListError::Certificate {
                    source: KeyError::MerchantCertificate { .. },
                    ..
                }
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_root_that_was_set_must_have_issued_them() {
        let wechat_pay = WechatPay::builder().build();
        let root = Certificate::from_pem(wechat_pay.root_certificate_pem()).unwrap();
        let pem = wechat_pay.platform_certificate_pem();
        let serial = Certificate::from_pem(pem).unwrap().serial_no().to_string();
        let issued = list(&[entry(pem, &serial, None)]);
        assert_eq!(read_at(&issued, Some(&root), NOW).await.unwrap().len(), 1);
        let other = list(&[entry(CERTIFICATE, SERIAL, None)]);
        let error = read_at(&other, Some(&root), NOW).await.unwrap_err();
        assert!(matches!(error, CertificateListError::Issuer { .. }), "{error}");
    }
}
