//! The proof that a response was verified, and the only function that creates it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use crate::clock::{Clock, Timestamp};
use crate::message::response_message;
use crate::signer::Algorithm;
use crate::text::foreign_text;
use crate::verifier::{SignedMessage, Verifier, VerifyError};
use crate::wechatpay_serial::WechatpaySerial;

/// Maximum difference between the time of a response and the local clock, in seconds.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013053249>
pub const CLOCK_WINDOW_SECS: u64 = 300;

/// The prefix of a probe's signature.
const PROBE_PREFIX: &str = "WECHATPAY/SIGNTEST/";

const TIMESTAMP: &str = "Wechatpay-Timestamp";
const NONCE: &str = "Wechatpay-Nonce";
const SIGNATURE: &str = "Wechatpay-Signature";
const SERIAL: &str = "Wechatpay-Serial";
const SIGNATURE_TYPE: &str = "Wechatpay-Signature-Type";

/// A body whose signature was verified. Only [`verify_response`] and
/// [`verify_notification`](crate::verify_notification) create it, so it need not be checked again.
///
/// ```compile_fail,E0451
/// # extern crate wxpay_auth_core as wxpay_auth;
/// // There is no other way to create one.
/// let forged = wxpay_auth::Verified {
///     body: b"{}",
///     serial: "PUB_KEY_ID_1".parse().unwrap(),
///     signed_at: wxpay_auth::Timestamp::from_unix_secs(1),
/// };
/// ```
///
/// ```compile_fail,E0599
/// # extern crate wxpay_auth_core as wxpay_auth;
/// let forged = wxpay_auth::Verified::new(b"{}");
/// ```
#[derive(Clone)]
pub struct Verified<B> {
    body: B,
    serial: WechatpaySerial,
    signed_at: Timestamp,
}

impl<B> Verified<B> {
    /// Returns the body that was signed.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// Returns the body by value, without the proof.
    pub fn into_body(self) -> B {
        self.body
    }

    /// Returns the id of the WeChat Pay key that signed.
    pub fn serial(&self) -> &WechatpaySerial {
        &self.serial
    }

    /// Returns the time of signing.
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Verified<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("body", &format_args!("[{} bytes]", self.body.as_ref().len()))
            .field("serial", &self.serial)
            .field("signed_at", &self.signed_at)
            .finish()
    }
}

/// Verifies the signature of a response over its raw body. [`verify_notification`](crate::verify_notification) does
/// the same for a notification.
///
/// Call it before the body is decoded or parsed in any way. It does not check the HTTP status, which no
/// signature covers.
///
/// # Errors
/// [`VerifyError`], in this order: a header is missing, empty, repeated or not ASCII, the signature is a
/// probe, the timestamp is not a number, the clock is off by more than [`CLOCK_WINDOW_SECS`], the
/// algorithm is unknown, the signature is not base64, and then the errors of the verifier: algorithm not
/// supported, key unknown, not valid, or unavailable, or a mismatch.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013053249>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{KeyRing, PublicKey, Timestamp, http::HeaderMap, verify_response};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pem = include_str!("../../testdata/keys/wechatpay_pub_key_doc.pem");
/// let ring = KeyRing::new();
/// ring.insert_public_key("PUB_KEY_ID_0000000000000024101100397200000006".parse()?, PublicKey::from_pem(pem)?)?;
///
/// let mut headers = HeaderMap::new();
/// # headers.insert("wechatpay-timestamp", "1722850421".parse()?);
/// # headers.insert("wechatpay-nonce", "d824f2e086d3c1df967785d13fcd22ef".parse()?);
/// # headers.insert("wechatpay-serial", "PUB_KEY_ID_0000000000000024101100397200000006".parse()?);
/// # headers.insert("wechatpay-signature", "mfI1CPqvBrgcXfgXMFjdNIhBf27ACE2YyeWsWV9ZI7T7RU0vHvbQpu9Z32ogzc+k8ZC5n3kz7h70eWKjgqNdKQF0eRp8mVKlmfzMLBVHbssB9jEZEDXThOX1XFqX7s7ymia1hoHQxQagPGzkdWxtlZPZ4ZPvr1RiqkgAu6Is8MZgXXrRoBKqjmSdrP1N7uxzJ/cjfSiis9FiLjuADoqmQ1P7p2N876YPAol7Rn0+GswwAwxldbdLrmVSjfytfSBJFqTMHn4itojgxSWWN1byuckQt8hSTEv/Lg97QoeGniYP17T80pJeQyL3b+295FPHSO2AtvCgyIbKMZ0BALilAA==".parse()?);
/// // … the headers of the response …
/// let body = br#"{"code_url":"weixin://wxpay/bizpayurl?pr=JyC91EIz1"}"#;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let clock = || Timestamp::from_unix_secs(1722850425);
/// let verified = verify_response(&ring, &clock, &headers, body).await?;
/// assert_eq!(verified.body(), &body);
/// # Ok::<(), wxpay_auth::VerifyError>(())
/// # })?;
/// # Ok(())
/// # }
/// ```
pub async fn verify_response<V, C, B>(
    verifier: &V,
    clock: &C,
    headers: &HeaderMap,
    body: B,
) -> Result<Verified<B>, VerifyError>
where
    V: Verifier + ?Sized,
    C: Clock + ?Sized,
    B: AsRef<[u8]>,
{
    let timestamp = required(headers, TIMESTAMP)?;
    let nonce = required(headers, NONCE)?;
    let serial = required(headers, SERIAL)?;
    let signature = required(headers, SIGNATURE)?;
    let algorithm = optional(headers, SIGNATURE_TYPE)?;

    if signature.starts_with(PROBE_PREFIX) {
        return Err(VerifyError::Probe { serial: abridged(serial) });
    }
    let signed_at =
        unix_seconds(timestamp).ok_or(VerifyError::MalformedHeader { name: TIMESTAMP })?;
    let now = clock.now();
    let seconds = signed_at.seconds_after(now);
    if seconds.unsigned_abs() > CLOCK_WINDOW_SECS {
        return Err(VerifyError::ClockSkew { seconds, window: CLOCK_WINDOW_SECS });
    }
    let algorithm = match algorithm {
        None => Algorithm::Sha256Rsa2048,
        Some(token) => Algorithm::from_token(token).ok_or(VerifyError::UnsupportedAlgorithm)?,
    };
    let signature = STANDARD.decode(signature).map_err(|_| VerifyError::MalformedSignature)?;
    let serial = WechatpaySerial::new(serial)
        .map_err(|_| VerifyError::UnknownSerial { serial: abridged(serial) })?;

    let message = response_message(timestamp, nonce, body.as_ref());
    verifier.verify(SignedMessage::new(&serial, algorithm, &message, &signature, now)).await?;
    Ok(Verified { body, serial, signed_at })
}

/// Returns whether a response claims to be signed: it has any of the signature headers.
pub fn is_signed(headers: &HeaderMap) -> bool {
    [TIMESTAMP, NONCE, SIGNATURE, SERIAL, SIGNATURE_TYPE]
        .iter()
        .any(|name| headers.contains_key(*name))
}

fn required<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, VerifyError> {
    match optional(headers, name)? {
        Some("") | None => Err(VerifyError::MissingHeader { name }),
        Some(value) => Ok(value),
    }
}

/// Reads a header that may occur at most once: with two values it is ambiguous which one was signed.
fn optional<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> Result<Option<&'h str>, VerifyError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| VerifyError::MalformedHeader { name })
        }
        (Some(_), Some(_)) => Err(VerifyError::RepeatedHeader { name }),
    }
}

/// Makes a foreign serial safe for a log line: no real one is longer, or contains a tab.
fn abridged(serial: &str) -> String {
    foreign_text(serial, 120, &[])
}

fn unix_seconds(timestamp: &str) -> Option<Timestamp> {
    let digits = timestamp.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| timestamp.parse().ok()).flatten().map(Timestamp::from_unix_secs)
}
