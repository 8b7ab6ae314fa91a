//! Notifications (回调通知), as WeChat Pay sends them.

mod fault;
mod schedule;
mod send;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde::Serialize;
use serde_json::{Map, Value, json};
use wxpay_auth_core::{
    ApiV3Key, DateTime, NonceSource, PrivateKey, SystemNonce, Timestamp, response_message,
};

pub use self::fault::NotificationFault;
pub use self::schedule::NotificationSchedule;
pub use self::send::{NotificationAttempt, send_notification};
use crate::keys::KEYS;
use crate::signing::{PROBE_SERIAL, PROBE_SIGNATURE, TEN_MINUTES, UNKNOWN_SERIAL};
use crate::wechat_pay::WechatPay;

/// Another APIv3 key, as after the merchant has set a new one.
const OTHER_API_V3_KEY: &str = "b7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";

/// A notification that WeChat Pay has for a merchant: encrypted, and signed anew each time it is sent.
///
/// ```
/// use wxpay_testing::{NotificationFault, WechatPay};
///
/// let wechat_pay = WechatPay::builder().build();
/// let resource = r#"{"plan_id":"12000","plan_state":"TERMINATED","audit_state":"PASSED"}"#;
/// let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", resource);
///
/// // The same one, sent twice: the body stays, and the signature is new.
/// let (first, again) = (notification.request(), notification.request());
/// assert_eq!(first.body(), again.body());
/// assert_ne!(first.headers()["wechatpay-nonce"], again.headers()["wechatpay-nonce"]);
///
/// // Before it, WeChat Pay may send a signature probe.
/// let probe = notification.request_with(NotificationFault::Probe);
/// let signature = probe.headers()["wechatpay-signature"].to_str().unwrap();
/// assert!(signature.starts_with("WECHATPAY/SIGNTEST/"));
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082320>
#[derive(Clone)]
pub struct OutgoingNotification {
    wechat_pay: Arc<WechatPay>,
    envelope: Map<String, Value>,
    original_type: String,
    associated_data: Option<String>,
    /// Of the encryption. It stays, so that the body is the same each time.
    nonce: String,
    resource: Vec<u8>,
    with_tabs: bool,
    with_certificate: bool,
}

impl WechatPay {
    /// Creates a notification of an event, with this resource: JSON, or any bytes.
    ///
    /// Of a [`Gateway`](crate::Gateway): `gateway.wechat_pay().notification(…)`.
    pub fn notification(
        self: &Arc<Self>,
        event_type: &str,
        resource: impl Into<Vec<u8>>,
    ) -> OutgoingNotification {
        let random = |length| -> String {
            // Without a nonce no receiver accepts the notification, so a failure here is noticed.
            let nonce = SystemNonce::new().nonce().map(|nonce| nonce.to_string());
            nonce.unwrap_or_default().chars().take(length).collect()
        };
        let original_type = event_type.split(['.', '_']).next().unwrap_or_default().to_lowercase();
        let envelope = json!({
            "id": format!("EV-{}", random(32)),
            "create_time": create_time(self.now()),
            "resource_type": "encrypt-resource",
            "event_type": event_type,
            "summary": "通知",
        });
        OutgoingNotification {
            wechat_pay: Arc::clone(self),
            envelope: envelope.as_object().cloned().unwrap_or_default(),
            associated_data: Some(original_type.clone()),
            original_type,
            nonce: random(12),
            resource: resource.into(),
            with_tabs: false,
            with_certificate: false,
        }
    }
}

impl OutgoingNotification {
    /// Sets the id. By default it is a random one.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.field("id", id)
    }

    /// Sets a field of the envelope, also one that is not documented.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.envelope.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the `original_type`.
    #[must_use]
    pub fn original_type(mut self, original_type: &str) -> Self {
        original_type.clone_into(&mut self.original_type);
        self
    }

    /// Sets the `associated_data`; `None` omits it.
    #[must_use]
    pub fn associated_data(mut self, associated_data: Option<&str>) -> Self {
        self.associated_data = associated_data.map(str::to_owned);
        self
    }

    /// Writes the envelope over several lines, with tabs, as some official samples are.
    #[must_use]
    pub fn with_tabs(mut self) -> Self {
        self.with_tabs = true;
        self
    }

    /// Signs with the platform certificate instead of the public key, as before and while a merchant moves to that.
    #[must_use]
    pub fn signed_with_certificate(mut self) -> Self {
        self.with_certificate = true;
        self
    }

    /// Returns the id.
    pub fn own_id(&self) -> &str {
        self.envelope.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the event type.
    pub fn event_type(&self) -> &str {
        self.envelope.get("event_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the request that sends it, with a fresh timestamp, nonce and signature. Its target is `/`.
    pub fn request(&self) -> Request<Bytes> {
        self.signed(None)
    }

    /// Returns a request with which something is wrong.
    pub fn request_with(&self, fault: NotificationFault) -> Request<Bytes> {
        self.signed(Some(fault))
    }

    fn signed(&self, fault: Option<NotificationFault>) -> Request<Bytes> {
        let body = self.body(fault);
        let now = self.wechat_pay.now().as_unix_secs();
        let timestamp = match fault {
            Some(NotificationFault::Stale) => now.saturating_sub(TEN_MINUTES),
            Some(NotificationFault::Future) => now.saturating_add(TEN_MINUTES),
            _ => now,
        }
        .to_string();
        let nonce = SystemNonce::new().nonce().map(|nonce| nonce.to_string()).unwrap_or_default();
        let (serial, key) = self.key(fault);
        let signature = match fault {
            Some(NotificationFault::Probe) => PROBE_SIGNATURE.to_owned(),
            Some(NotificationFault::MalformedSignature) => "this is no base64!".to_owned(),
            _ => {
                let message = response_message(&timestamp, &nonce, &body);
                STANDARD.encode(key.sign(&message).unwrap_or_default())
            }
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("user-agent", "Mozilla/4.0"),
            ("wechatpay-timestamp", &timestamp),
            ("wechatpay-nonce", &nonce),
            ("wechatpay-serial", &serial),
            ("wechatpay-signature", &signature),
            ("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let body = spoil(&mut headers, body, fault);
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        request
    }

    /// Encrypts the resource, and returns the whole body.
    #[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
    fn body(&self, fault: Option<NotificationFault>) -> Vec<u8> {
        let key = match fault {
            Some(NotificationFault::OtherApiV3Key) => OTHER_API_V3_KEY,
            _ => self.wechat_pay.api_v3_key(),
        };
        let key = ApiV3Key::new(key).expect("32 letters and digits");
        let sealed = key.seal(&self.nonce, self.associated_data.as_deref(), &self.resource);
        let sealed = sealed.expect("a nonce of 12 bytes");
        let mut resource = json!({
            "original_type": self.original_type,
            "algorithm": sealed.algorithm,
            "ciphertext": sealed.ciphertext,
            "nonce": sealed.nonce,
        });
        if let (Some(data), Some(resource)) = (&self.associated_data, resource.as_object_mut()) {
            resource.insert("associated_data".to_owned(), data.as_str().into());
        }
        let mut envelope = self.envelope.clone();
        envelope.insert("resource".to_owned(), resource);
        if !self.with_tabs {
            return Value::from(envelope).to_string().into_bytes();
        }
        let mut body = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut body, tabs);
        envelope.serialize(&mut writer).expect("JSON");
        body
    }

    /// Chooses the key, and the serial that is sent with it.
    fn key(&self, fault: Option<NotificationFault>) -> (String, &'static PrivateKey) {
        let public_key_id = KEYS.public_key_id.to_string();
        let certificate = KEYS.platform_certificate.serial_no().to_string();
        let (own, other, key) = if self.with_certificate {
            (certificate, public_key_id, &KEYS.platform_key)
        } else {
            (public_key_id, certificate, &KEYS.wechatpay_key)
        };
        match fault {
            Some(NotificationFault::WrongSerial) => (other, key),
            Some(NotificationFault::UnknownSerial) => (UNKNOWN_SERIAL.to_owned(), key),
            Some(NotificationFault::Probe) => (PROBE_SERIAL.to_owned(), key),
            Some(NotificationFault::ExpiredCertificate) => {
                (KEYS.expired_certificate.serial_no().to_string(), &KEYS.platform_key)
            }
            _ => (own, key),
        }
    }
}

/// Changes what was signed.
fn spoil(headers: &mut HeaderMap, mut body: Vec<u8>, fault: Option<NotificationFault>) -> Vec<u8> {
    match fault {
        Some(NotificationFault::TamperedBody) => body.push(b' '),
        Some(NotificationFault::MissingHeader(name)) => {
            headers.remove(name);
        }
        Some(NotificationFault::RepeatedHeader(name)) => {
            if let (Some(value), Ok(name)) =
                (headers.get(name).cloned(), name.parse::<HeaderName>())
            {
                headers.append(name, value);
            }
        }
        Some(NotificationFault::Unsigned) => {
            let signed: Vec<HeaderName> = headers.keys().cloned().collect();
            for name in signed.iter().filter(|name| name.as_str().starts_with("wechatpay-")) {
                headers.remove(name);
            }
        }
        _ => {}
    }
    body
}

/// Returns a time as WeChat Pay writes it.
fn create_time(now: Timestamp) -> String {
    let secs = i64::try_from(now.as_unix_secs()).unwrap_or(i64::MAX);
    DateTime::from_unix_secs(secs).map(|time| time.to_string()).unwrap_or_default()
}

impl fmt::Debug for OutgoingNotification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingNotification")
            .field("envelope", &self.envelope)
            .field("resource", &format_args!("[{} bytes]", self.resource.len()))
            .finish_non_exhaustive()
    }
}
