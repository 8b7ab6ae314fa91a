//! A notification that was verified and decrypted.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use wxpay_auth::{DateTime, DateTimeError, Timestamp, Verified, WechatpaySerial, foreign_text};

use crate::envelope::Envelope;
use crate::error::ResourceError;
use crate::event_type::EventType;

/// A notification (回调通知) that WeChat Pay signed, and whose resource was decrypted. Only
/// [`NotificationReceiver`](crate::NotificationReceiver) creates it.
///
/// Dispatch on [`event_type`](Self::event_type) only: the official samples of `original_type` and `associated_data`
/// contradict each other. Events that are not known are complete as well.
///
/// `Debug` shows neither the resource, which may be personal data, nor the body.
///
/// ```compile_fail,E0451
/// // There is no other way to create one.
/// let forged = wxpay_notification::Notification { id: "1".into(), ..unimplemented!() };
/// ```
#[derive(Clone)]
pub struct Notification {
    envelope: Verified<Bytes>,
    id: Box<str>,
    event_type: EventType,
    create_time: Option<String>,
    resource_type: Option<String>,
    summary: Option<String>,
    original_type: Option<String>,
    resource: Bytes,
}

impl Notification {
    pub(crate) fn new(
        verified: Verified<Bytes>,
        envelope: Envelope<'_>,
        resource: Vec<u8>,
    ) -> Self {
        let (id, event_type) = (envelope.id.into(), EventType::new(&envelope.event_type));
        Self {
            id,
            event_type,
            create_time: envelope.create_time,
            resource_type: envelope.resource_type,
            summary: envelope.summary,
            original_type: envelope.resource.original_type,
            resource: resource.into(),
            envelope: verified,
        }
    }

    /// Returns its id. WeChat Pay uses it again when it sends the same notification again.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the type of the event.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// Returns when it was created, as WeChat Pay writes it; `None` if it does not say so.
    pub fn create_time(&self) -> Option<&str> {
        self.create_time.as_deref()
    }

    /// Returns when it was created; `None` if WeChat Pay does not say so.
    ///
    /// # Errors
    /// [`DateTimeError`] if the text is no time in RFC 3339.
    pub fn created_at(&self) -> Result<Option<DateTime>, DateTimeError> {
        self.create_time.as_deref().map(str::parse).transpose()
    }

    /// Returns the kind of the resource: `encrypt-resource`.
    pub fn resource_type(&self) -> Option<&str> {
        self.resource_type.as_deref()
    }

    /// Returns a text for people.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// Returns what WeChat Pay calls the resource before it is encrypted, such as `delivery_plan`. Do not depend on it.
    pub fn original_type(&self) -> Option<&str> {
        self.original_type.as_deref()
    }

    /// Returns the decrypted resource: JSON, in all events that are documented.
    pub fn resource_bytes(&self) -> &Bytes {
        &self.resource
    }

    /// Reads the decrypted resource as a type of yours, or of [`events`](crate::events).
    ///
    /// # Errors
    /// [`ResourceError`] if it does not have that form. Its text contains no value of the resource.
    pub fn resource<T: DeserializeOwned>(&self) -> Result<T, ResourceError> {
        serde_json::from_slice(&self.resource)
            .map_err(|error| ResourceError::new(self.event_type.as_str(), &error))
    }

    /// Returns the body as it was signed, with everything that this crate does not know.
    pub fn envelope(&self) -> &Verified<Bytes> {
        &self.envelope
    }

    /// Returns the id of the WeChat Pay key that signed.
    pub fn serial(&self) -> &WechatpaySerial {
        self.envelope.serial()
    }

    /// Returns when this sending was signed. A later one of the same notification is signed anew.
    pub fn signed_at(&self) -> Timestamp {
        self.envelope.signed_at()
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        f.debug_struct("Notification")
            .field("id", &foreign_text(&self.id, LONGEST, &[]))
            .field("event_type", &self.event_type)
            .field("resource", &format_args!("[{} bytes]", self.resource.len()))
            .field("serial", self.serial())
            .field("signed_at", &self.signed_at())
            .finish_non_exhaustive()
    }
}
