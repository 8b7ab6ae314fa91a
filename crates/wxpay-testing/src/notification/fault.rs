//! What is wrong with a notification.

/// One fault of a notification. A receiver has to refuse each, but for [`OtherApiV3Key`](Self::OtherApiV3Key), which is
/// authentic: it cannot read that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotificationFault {
    /// A signature probe: `WECHATPAY/SIGNTEST/…` with an unknown serial.
    Probe,
    /// The body was changed after signing.
    TamperedBody,
    /// No `Wechatpay-*` header.
    Unsigned,
    /// One header, such as `wechatpay-nonce`, is missing.
    MissingHeader(&'static str),
    /// One header occurs twice, with the same value.
    RepeatedHeader(&'static str),
    /// The signature is not base64.
    MalformedSignature,
    /// It names a key other than the signing one, which the receiver holds as well.
    WrongSerial,
    /// It names a key that the receiver does not hold.
    UnknownSerial,
    /// It is signed with a platform certificate that has expired. A receiver holds it only with
    /// [`WechatPay::key_ring_with_expired_certificate`](crate::WechatPay::key_ring_with_expired_certificate).
    ExpiredCertificate,
    /// It was signed ten minutes ago.
    Stale,
    /// It is signed as if it were ten minutes later.
    Future,
    /// The resource is encrypted with another APIv3 key, as after the merchant has set a new one.
    OtherApiV3Key,
}

impl NotificationFault {
    /// Returns every fault of a signature, with `wechatpay-nonce` as the header that is missing or repeated.
    pub fn of_signature() -> Vec<Self> {
        const NONCE: &str = "wechatpay-nonce";
        vec![
            Self::Probe,
            Self::TamperedBody,
            Self::Unsigned,
            Self::MissingHeader(NONCE),
            Self::RepeatedHeader(NONCE),
            Self::MalformedSignature,
            Self::WrongSerial,
            Self::UnknownSerial,
            Self::ExpiredCertificate,
            Self::Stale,
            Self::Future,
        ]
    }
}
