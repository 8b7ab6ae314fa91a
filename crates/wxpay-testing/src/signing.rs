//! Signs responses, correctly or not.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth_core::{NonceSource, PrivateKey, SystemNonce, Timestamp, response_message};

use crate::gzip::gzip;
use crate::keys::KEYS;
use crate::misbehaviour::Misbehaviour;
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::wechat_pay::WechatPay;

/// A real probe.
///
/// Source: <https://github.com/wechatpay-apiv3/wechatpay-java/issues/319>
pub(crate) const PROBE_SIGNATURE: &str = "WECHATPAY/SIGNTEST/2sWfO+6tVVsZonOXBXHOrle0TugJ31jDV3iGpjFchMYEyEZ48LxAmfW2gMXkP7Ce1OLORt7wHxkgBwTBHn9/JpPBwDFjiHMhSQCEYkk/gIXdO1E7dz6fnMmMqmI2urSR8WDWAG0jdIGFbnykjVFrQa7E1RhNNEIz476tmfj5Zp7W/kE1q7cxZIPumELjwfZHXybvrFMuYNEcf8Eq50V+I1e5onuIAa3RIuIIy30Kl2RANQJx1inQ0SirJjFtONAcPnLDWpeJuVCfRPLXE4ra5qsSwxbUDvnCAbTkz4L1mSZ/zyv80hd9t8upwSLbLiYJWV97N04Pb74zCg==";
pub(crate) const PROBE_SERIAL: &str = "51856640BA57CBD6343BA9EA2D409A9E9AC5EB65";

pub(crate) const UNKNOWN_SERIAL: &str = "PUB_KEY_ID_0100000000009999999999999999999999";

/// The offset of a stale or a future timestamp, in seconds.
pub(crate) const TEN_MINUTES: u64 = 600;

impl WechatPay {
    /// Signs a response, or misbehaves.
    pub(crate) fn sign(
        &self,
        response: &mut RawResponse,
        misbehaviour: Option<&Misbehaviour>,
        request: RawRequest<'_>,
    ) {
        self.add_common_headers(response);
        if response.file.is_some() {
            // The hash that another response named takes the place of a signature.
            return;
        }
        if matches!(misbehaviour, Some(Misbehaviour::Unsigned | Misbehaviour::UnsignedSuccess)) {
            return;
        }
        let timestamp = signed_at(self.now(), misbehaviour).to_string();
        // Without a nonce no client accepts the response, so a failure here is noticed.
        let nonce = SystemNonce::new().nonce().map(|n| n.to_string()).unwrap_or_default();
        let (serial, key) = self.key(misbehaviour, request);
        let signature = match misbehaviour {
            Some(Misbehaviour::Probe) => PROBE_SIGNATURE.to_owned(),
            Some(Misbehaviour::MalformedSignature) => "this is no base64!".to_owned(),
            _ => {
                let message = response_message(&timestamp, &nonce, &response.body);
                STANDARD.encode(key.sign(&message).unwrap_or_default())
            }
        };
        response.set_header("Wechatpay-Timestamp", timestamp);
        response.set_header("Wechatpay-Nonce", nonce);
        response.set_header("Wechatpay-Serial", serial);
        response.set_header("Wechatpay-Signature", signature);
        response.set_header("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048");
        match misbehaviour {
            Some(Misbehaviour::MissingHeader(name)) => {
                response.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            }
            Some(Misbehaviour::TamperedBody) => tamper(response),
            Some(Misbehaviour::Encoded) => {
                response.status = if response.status == 204 { 200 } else { response.status };
                response.replace_body(gzip(&response.body));
                response.set_header("Content-Encoding", "gzip");
            }
            _ => {}
        }
    }

    /// Chooses the key, and the serial that is sent with it.
    fn key(
        &self,
        misbehaviour: Option<&Misbehaviour>,
        request: RawRequest<'_>,
    ) -> (String, &'static PrivateKey) {
        let public_key_id = KEYS.public_key_id.to_string();
        let (own, key) = self.signing_key(request);
        match misbehaviour {
            Some(Misbehaviour::WrongSerial) if own == public_key_id => {
                (KEYS.platform_certificate.serial_no().to_string(), key)
            }
            Some(Misbehaviour::WrongSerial) => (public_key_id, key),
            Some(Misbehaviour::UnknownSerial) => (UNKNOWN_SERIAL.to_owned(), key),
            Some(Misbehaviour::Probe) => (PROBE_SERIAL.to_owned(), key),
            Some(Misbehaviour::ExpiredCertificate) => {
                (KEYS.expired_certificate.serial_no().to_string(), &KEYS.platform_key)
            }
            _ => (own, key),
        }
    }

    /// Adds the headers of every response, signed or not.
    pub(crate) fn add_common_headers(&self, response: &mut RawResponse) {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed);
        response
            .set_header("Request-ID", format!("{number:08X}06102C18FDDFEEA30620BE821E28EDC405-0"));
        response.set_header("Keep-Alive", "timeout=8");
        // HTTP dates have four digits for the year; the clock can be set beyond that.
        let since = Duration::from_secs(self.now().as_unix_secs().min(253_402_300_799));
        response.set_header("Date", httpdate::fmt_http_date(UNIX_EPOCH + since));
    }
}

fn signed_at(now: Timestamp, misbehaviour: Option<&Misbehaviour>) -> Timestamp {
    let now = now.as_unix_secs();
    Timestamp::from_unix_secs(match misbehaviour {
        Some(Misbehaviour::StaleTimestamp) => now.saturating_sub(TEN_MINUTES),
        Some(Misbehaviour::FutureTimestamp) => now.saturating_add(TEN_MINUTES),
        _ => now,
    })
}

/// Changes a body after signing.
fn tamper(response: &mut RawResponse) {
    response.status = if response.status == 204 { 200 } else { response.status };
    let tampered = if response.body.is_empty() {
        br#"{"tampered":true}"#.to_vec()
    } else {
        // Still the same JSON for a client that does not verify the signature.
        [response.body.as_slice(), b" "].concat()
    };
    response.replace_body(tampered);
}
