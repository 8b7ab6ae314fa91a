//! The platform certificates of the gateway, their download, and the key that signs.

use serde_json::{Value, json};
use wxpay_auth_core::{
    ApiV3Key, Certificate, DateTime, NonceSource, PrivateKey, SystemNonce, Timestamp,
    WechatpaySerial,
};

use crate::api_v3::API_V3_KEY;
use crate::keys::{KEYS, platform_certificate};
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::wechat_pay::WechatPay;

/// Which key signs responses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SignWith {
    /// The public key. This is the default.
    #[default]
    PublicKey,
    /// A platform certificate, also one that was removed from the list. An unknown serial signs nothing that a client
    /// accepts: the response names it, and is signed with the public key's pair.
    Certificate(WechatpaySerial),
    /// The platform certificates in the list, in turn, as while they are exchanged.
    InTurn,
    /// As while a merchant moves to the public key: that one if the `Wechatpay-Serial` of the request names a public
    /// key; else the platform certificate that it names, or the newest one in the list.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012925289>
    AsRequested,
}

/// The platform certificates, and what is done with them.
pub(crate) struct Platform {
    certificates: Vec<PlatformCertificate>,
    sign_with: SignWith,
    signatures: usize,
    is_public_key_mode: bool,
}

struct PlatformCertificate {
    certificate: Certificate,
    pem: String,
    key: &'static PrivateKey,
    effective_time: Timestamp,
    expire_time: Timestamp,
    is_listed: bool,
}

impl Default for Platform {
    fn default() -> Self {
        let certificate = KEYS.platform_certificate.clone();
        let first = PlatformCertificate {
            effective_time: certificate.not_before(),
            expire_time: certificate.not_after(),
            certificate,
            pem: KEYS.platform_certificate_pem.clone(),
            key: &KEYS.platform_key,
            is_listed: true,
        };
        Self {
            certificates: vec![first],
            sign_with: SignWith::default(),
            signatures: 0,
            is_public_key_mode: false,
        }
    }
}

impl PlatformCertificate {
    fn serial(&self) -> WechatpaySerial {
        self.certificate.serial_no().clone().into()
    }
}

impl Platform {
    fn listed(&self) -> impl DoubleEndedIterator<Item = &PlatformCertificate> {
        self.certificates.iter().filter(|certificate| certificate.is_listed)
    }

    fn find(&mut self, serial: &WechatpaySerial) -> Option<&mut PlatformCertificate> {
        self.certificates.iter_mut().find(|certificate| certificate.serial() == *serial)
    }

    /// Adds a certificate for the other key than that of the last one.
    fn add(
        &mut self,
        effective_time: Timestamp,
        validity: Option<(Timestamp, Timestamp)>,
    ) -> WechatpaySerial {
        let number = self.certificates.len();
        let (certificate, pem) = platform_certificate(number, validity);
        let key = if number % 2 == 1 { &KEYS.next_platform_key } else { &KEYS.platform_key };
        let added = PlatformCertificate {
            effective_time,
            expire_time: certificate.not_after(),
            certificate,
            pem,
            key,
            is_listed: true,
        };
        let serial = added.serial();
        self.certificates.push(added);
        serial
    }

    /// Chooses the key for a response, and the serial that is sent with it.
    pub(crate) fn signing_key(&mut self, requested: Option<&str>) -> (String, &'static PrivateKey) {
        self.signatures += 1;
        let public_key = (KEYS.public_key_id.to_string(), &KEYS.wechatpay_key);
        let of =
            |certificate: &PlatformCertificate| (certificate.serial().to_string(), certificate.key);
        match &self.sign_with {
            SignWith::PublicKey => public_key,
            SignWith::Certificate(serial) => {
                let (serial, unknown) = (serial.clone(), (serial.to_string(), public_key.1));
                self.find(&serial).map_or(unknown, |certificate| of(certificate))
            }
            SignWith::InTurn => {
                let turn = self.signatures % self.listed().count().max(1);
                self.listed().nth(turn).map_or(public_key, of)
            }
            SignWith::AsRequested => {
                let requested = requested.and_then(|serial| WechatpaySerial::new(serial).ok());
                if requested.as_ref().is_some_and(WechatpaySerial::is_public_key_id) {
                    return public_key;
                }
                let named = self.listed().find(|held| Some(held.serial()) == requested);
                named.or_else(|| self.listed().next_back()).map_or(public_key, of)
            }
        }
    }

    /// Returns the list as the download sends it, each certificate encrypted with a fresh nonce.
    fn to_json(&self) -> Value {
        let data: Vec<Value> = self.listed().map(PlatformCertificate::to_json).collect();
        json!({ "data": data })
    }
}

impl PlatformCertificate {
    #[expect(
        clippy::expect_used,
        reason = "the key and the times are part of the crate, and tested"
    )]
    fn to_json(&self) -> Value {
        let key = ApiV3Key::new(API_V3_KEY).expect("a key");
        let nonce = SystemNonce::new().nonce().map(|nonce| nonce.to_string());
        let nonce: String = nonce.unwrap_or_default().chars().take(12).collect();
        let sealed = key.seal(&nonce, Some("certificate"), self.pem.as_bytes());
        let sealed = sealed.expect("a nonce of 12 bytes");
        let time = |at: Timestamp| {
            let secs = i64::try_from(at.as_unix_secs()).unwrap_or(i64::MAX);
            DateTime::from_unix_secs(secs).map(|time| time.to_string()).unwrap_or_default()
        };
        json!({
            "serial_no": self.certificate.serial_no().as_str(),
            "effective_time": time(self.effective_time),
            "expire_time": time(self.expire_time),
            "encrypt_certificate": {
                "algorithm": sealed.algorithm,
                "nonce": sealed.nonce,
                "associated_data": sealed.associated_data,
                "ciphertext": sealed.ciphertext,
            },
        })
    }
}

impl WechatPay {
    /// Returns the certificate of the authority that issues platform certificates, in PEM.
    pub fn root_certificate_pem(&self) -> &str {
        &KEYS.root_certificate_pem
    }

    /// Returns the serials of the platform certificates in the list that `GET /v3/certificates` returns, in the order
    /// in which they were added. At first there is one.
    pub fn platform_certificates(&self) -> Vec<WechatpaySerial> {
        self.with_platform(|platform| platform.listed().map(PlatformCertificate::serial).collect())
    }

    /// Adds a platform certificate to the list, valid from 2020 to 2099, and returns its serial. It signs nothing until
    /// [`sign_with`](Self::sign_with).
    pub fn add_platform_certificate(&self) -> WechatpaySerial {
        let now = self.now();
        self.with_platform(|platform| platform.add(now, None))
    }

    /// Adds a platform certificate that is valid between these times.
    pub fn add_platform_certificate_valid(
        &self,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> WechatpaySerial {
        self.with_platform(|platform| platform.add(not_before, Some((not_before, not_after))))
    }

    /// Removes a platform certificate from the list. Returns whether it was there.
    pub fn remove_platform_certificate(&self, serial: &WechatpaySerial) -> bool {
        self.with_platform(|platform| {
            let found = platform.find(serial);
            found.is_some_and(|certificate| std::mem::take(&mut certificate.is_listed))
        })
    }

    /// Sets the `expire_time` of a platform certificate in the list, which may differ from the end of the certificate
    /// itself while certificates are exchanged. Returns whether the certificate exists.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
    pub fn set_expire_time(&self, serial: &WechatpaySerial, expire_time: Timestamp) -> bool {
        self.with_platform(|platform| {
            let found = platform.find(serial);
            found.map(|certificate| certificate.expire_time = expire_time).is_some()
        })
    }

    /// Sets which key signs responses from now on.
    pub fn sign_with(&self, sign_with: SignWith) {
        self.with_platform(|platform| platform.sign_with = sign_with);
    }

    /// Signs responses with the initial platform certificate from now on.
    pub fn sign_with_platform_certificate(&self) {
        let first = KEYS.platform_certificate.serial_no().clone();
        self.sign_with(SignWith::Certificate(first.into()));
    }

    /// Behaves from now on as for a merchant that has only the public key: signs with it, and answers the download of
    /// platform certificates with 404 `RESOURCE_NOT_EXISTS`.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
    pub fn public_key_mode(&self) {
        self.with_platform(|platform| {
            platform.sign_with = SignWith::PublicKey;
            platform.is_public_key_mode = true;
        });
    }

    /// Lists the platform certificates.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
    pub(crate) fn list_platform_certificates(&self) -> RawResponse {
        self.with_platform(|platform| {
            if platform.is_public_key_mode {
                let message = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。可查看指引\
                               https://pay.weixin.qq.com/doc/v3/merchant/4012153196.md";
                return RawResponse::error(404, "RESOURCE_NOT_EXISTS", message);
            }
            RawResponse::json(200, &platform.to_json())
        })
    }

    /// Chooses the key for the response to a request, and the serial that is sent with it.
    pub(crate) fn signing_key(&self, request: RawRequest<'_>) -> (String, &'static PrivateKey) {
        let requested = request.header("wechatpay-serial");
        self.with_platform(|platform| platform.signing_key(requested))
    }
}
