//! The echo call (接口验证): `POST /v3/security/echo`.
//!
//! Source: <https://pay.weixin.qq.com/doc/v3/partner/4015139289>

use serde_json::{Value, json};
use wxpay_auth_core::WechatpaySerial;

use crate::keys::KEYS;
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::wechat_pay::WechatPay;

/// A key of the gateway that a request may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NamedKey {
    PublicKey,
    PlatformCertificate,
}

impl WechatPay {
    /// Sends the texts back. The code and the message for a field that cannot be decrypted are not documented; they
    /// are this gateway's choice.
    pub(crate) fn echo(&self, request: RawRequest<'_>) -> RawResponse {
        let Some(serial) = request.header("wechatpay-serial") else {
            let message = "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)";
            return RawResponse::error(400, "PARAM_ERROR", message);
        };
        let Some(key) = named_key(serial) else {
            let message = "平台证书序列号Wechatpay-Serial错误";
            return RawResponse::error(400, "PARAM_ERROR", message);
        };
        let wrong = || RawResponse::error(400, "PARAM_ERROR", "参数错误");
        let Ok(body) = serde_json::from_slice::<Value>(request.body) else { return wrong() };
        let text = |name: &str| match body.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(wrong),
        };
        let texts = (text("echo_message"), text("encrypted_echo_message"), text("notify_url"));
        let (Ok(Some(message)), Ok(field), Ok(_)) = texts else { return wrong() };
        let Some(field) = field else {
            return RawResponse::json(200, &json!({ "echo_message": message }));
        };
        match self.echoed_field(request, key, field) {
            Ok(field) => RawResponse::json(
                200,
                &json!({ "echo_message": message, "encrypted_echo_message": field }),
            ),
            Err(refused) => refused,
        }
    }

    /// Decrypts a field with a key of the gateway, and encrypts it with that of the merchant certificate whose key
    /// signed the request.
    #[cfg(feature = "fields")]
    fn echoed_field(
        &self,
        request: RawRequest<'_>,
        key: NamedKey,
        field: &str,
    ) -> Result<String, RawResponse> {
        let undecipherable = || RawResponse::error(400, "PARAM_ERROR", "敏感字段解密失败");
        let text = fields::decrypted(key, field).ok_or_else(undecipherable)?;
        let authorization = request.header("authorization").unwrap_or_default();
        let certificate = wxpay_auth_core::Authorization::parse(authorization)
            .ok()
            .and_then(|a| self.merchant_certificate(a.signature().serial_no()));
        let encrypted = certificate.and_then(|c| fields::encrypted(c.public_key(), &text));
        encrypted.ok_or_else(|| RawResponse::error(500, "SYSTEM_ERROR", "系统错误"))
    }

    #[cfg(not(feature = "fields"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn echoed_field(&self, _: RawRequest<'_>, _: NamedKey, _: &str) -> Result<String, RawResponse> {
        let message = "encrypted fields need the feature `fields` of wxpay-testing";
        Err(RawResponse::error(501, "NOT_SUPPORTED", message))
    }
}

/// Returns the key that a `Wechatpay-Serial` names. An expired certificate is none.
fn named_key(serial: &str) -> Option<NamedKey> {
    let serial = WechatpaySerial::new(serial).ok()?;
    if serial == KEYS.public_key_id {
        return Some(NamedKey::PublicKey);
    }
    let certificate = WechatpaySerial::from(KEYS.platform_certificate.serial_no().clone());
    (serial == certificate).then_some(NamedKey::PlatformCertificate)
}

#[cfg(feature = "fields")]
mod fields {
    use std::sync::LazyLock;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use wxpay_auth_core::internal::fields::{OaepPrivateKey, OaepPublicKey, oaep};
    use wxpay_auth_core::{Backend, PrivateKey, PublicKey};

    use super::NamedKey;

    const WECHATPAY_KEY: &str = include_str!("../testdata/wechat_pay_private_key.pem");
    const PLATFORM_KEY: &str = include_str!("../testdata/platform_private_key.pem");

    static PUBLIC_KEY: LazyLock<OaepPrivateKey> = LazyLock::new(|| decrypting(WECHATPAY_KEY));
    static PLATFORM: LazyLock<OaepPrivateKey> = LazyLock::new(|| decrypting(PLATFORM_KEY));

    #[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
    fn decrypting(pem: &str) -> OaepPrivateKey {
        let key = PrivateKey::from_pem_with(Backend::AwsLcRs, pem).expect("a key in PEM");
        oaep(&key).expect("a key that decrypts")
    }

    pub(super) fn decrypted(key: NamedKey, field: &str) -> Option<Vec<u8>> {
        let ciphertext = STANDARD.decode(field).ok()?;
        let key = match key {
            NamedKey::PublicKey => &PUBLIC_KEY,
            NamedKey::PlatformCertificate => &PLATFORM,
        };
        Some(key.decrypt(&ciphertext)?.to_vec())
    }

    pub(super) fn encrypted(key: &PublicKey, text: &[u8]) -> Option<String> {
        Some(STANDARD.encode(OaepPublicKey::new(key).ok()?.encrypt(text)?))
    }
}
