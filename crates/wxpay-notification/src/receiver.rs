//! Verifies and decrypts notifications.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use wxpay_auth::{Clock, ResourceDecryptor, SystemClock, Verifier, verify_notification};

use crate::envelope::Envelope;
use crate::error::ReceiveError;
use crate::notification::Notification;

/// The longest body by default. The ciphertext of a notification has up to 1 MiB by the official tables.
const BODY_LIMIT: usize = 2 << 20;

/// Verifies and decrypts notifications (回调通知), for any HTTP server.
///
/// In this order: the length of the body; the signature headers, each exactly once; signature probes; the time, at most
/// 300 seconds off; the key and the signature, over the raw body; the envelope; the resource. Nothing is parsed before
/// the signature was verified.
///
/// It does not know which notifications it has seen: that is
/// [`NotificationEndpoint`](crate::NotificationEndpoint).
///
/// ```
/// use wxpay_auth::ApiV3Key;
/// use wxpay_notification::NotificationReceiver;
/// use wxpay_testing::WechatPay;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wechat_pay = WechatPay::builder().build();
/// // A `KeyRing` with the WeChat Pay public key, and the APIv3 key.
/// let key = ApiV3Key::new(wechat_pay.api_v3_key())?;
/// let receiver = NotificationReceiver::new(wechat_pay.key_ring(), key);
///
/// let resource = r#"{"plan_id":"12000","plan_state":"TERMINATED"}"#;
/// let request = wechat_pay.notification("DELIVERY_PLAN.CHANGE", resource).request();
/// let notification = receiver.receive_request(request).await?;
/// assert_eq!(notification.event_type(), &"DELIVERY_PLAN.CHANGE");
/// assert_eq!(notification.resource_bytes(), resource);
/// # Ok(())
/// # }
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082320>
#[derive(Clone)]
pub struct NotificationReceiver<V, D> {
    verifier: V,
    decryptor: D,
    clock: Arc<dyn Clock>,
    body_limit: usize,
}

impl<V: Verifier, D: ResourceDecryptor> NotificationReceiver<V, D> {
    /// Creates a receiver from what verifies, such as a [`KeyRing`](wxpay_auth::KeyRing), and what decrypts, such as an
    /// [`ApiV3Key`](wxpay_auth::ApiV3Key).
    pub fn new(verifier: V, decryptor: D) -> Self {
        Self { verifier, decryptor, clock: Arc::new(SystemClock), body_limit: BODY_LIMIT }
    }

    /// Sets the clock that the time of a signature is compared with.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the longest body that is accepted, in bytes. The default is 2 MiB.
    ///
    /// An HTTP server that reads the body first needs a limit of its own.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Returns the longest body that is accepted, in bytes.
    pub fn longest_body(&self) -> usize {
        self.body_limit
    }

    /// Verifies and decrypts a notification, from the headers and the raw body of its request.
    ///
    /// # Errors
    /// [`ReceiveError`], in the order in which things are checked. The notification must not be acknowledged.
    pub async fn receive(
        &self,
        headers: &HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Notification, ReceiveError> {
        let body = body.into();
        if body.len() > self.body_limit {
            let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
            return Err(ReceiveError::too_large(length, self.body_limit));
        }
        let verified = verify_notification(&self.verifier, &self.clock, headers, body).await?;
        // Shares the bytes.
        let body = verified.body().clone();
        let envelope = Envelope::parse(&body)?;
        let decrypted = self.decryptor.decrypt(&envelope.resource.encrypted()).await;
        let resource = decrypted.map_err(|error| ReceiveError::decrypt(&envelope.id, error))?;
        Ok(Notification::new(verified, envelope, resource))
    }

    /// Verifies and decrypts the notification in a request. Its method and path are not looked at: no signature covers
    /// them.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_request(
        &self,
        request: Request<Bytes>,
    ) -> Result<Notification, ReceiveError> {
        let (parts, body) = request.into_parts();
        self.receive(&parts.headers, body).await
    }
}

impl<V: fmt::Debug, D: fmt::Debug> fmt::Debug for NotificationReceiver<V, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationReceiver")
            .field("verifier", &self.verifier)
            .field("decryptor", &self.decryptor)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}
