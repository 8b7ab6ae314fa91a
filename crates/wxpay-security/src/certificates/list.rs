//! The list of platform certificates: decrypted and checked.

use wxpay_auth::{
    Certificate, DateTime, KeyError, ResourceDecryptor, Timestamp, WechatpaySerial,
};
use wxpay_auth_core::internal::log::warn;

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
    let body: Body<'_> = serde_json::from_slice(body).map_err(|e| CertificateListError::form(&e))?;
    if body.data.is_empty() {
        return Err(CertificateListError::Empty);
    }
    let (mut certificates, mut unusable) = (Vec::with_capacity(body.data.len()), None);
    for entry in &body.data {
        match open(entry, decryptor, root).await {
            Ok(certificate) => certificates.push(certificate),
            // A kind of key that may come beside the others one day. It is of no use here, and no reason to do without
            // the others.
            Err(error @ CertificateListError::Certificate {
                source: KeyError::NotRsa { .. } | KeyError::WrongSize { .. },
                ..
            }) => {
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
    if wxpay_auth_core::internal::is_merchants(&certificate) {
        let serial_no = certificate.serial_no().clone();
        return Err(wrong(KeyError::MerchantCertificate { serial_no }));
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
