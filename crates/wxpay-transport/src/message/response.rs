//! Verified responses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;
use wxpay_auth::Verified;

use crate::message::body_error::BodyError;

/// A 2xx response whose signature was verified.
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    request_id: Option<String>,
    host: Arc<str>,
    retry_after: Option<Duration>,
    body: Verified<Bytes>,
}

impl Response {
    /// Combines a verified body with the status, the `Request-ID` and the host of the response, which no
    /// signature covers. For custom transports.
    pub fn new(
        status: StatusCode,
        request_id: Option<String>,
        host: impl Into<Arc<str>>,
        body: Verified<Bytes>,
    ) -> Self {
        Self { status, request_id, host: host.into(), retry_after: None, body }
    }

    /// Sets how long the response asks to wait (`Retry-After`), as a 202 may.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Returns the HTTP status, a 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the `Request-ID`, which WeChat Pay's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the host that responded, with its port unless it is the default.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns how long the response asks to wait (`Retry-After`), as a 202 may.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the verified body; it is empty with 204.
    pub fn body(&self) -> &Verified<Bytes> {
        &self.body
    }

    /// Returns the verified body by value.
    pub fn into_body(self) -> Verified<Bytes> {
        self.body
    }

    /// Parses the verified body as JSON.
    ///
    /// # Errors
    /// [`BodyError`] if it is not JSON, or not of this form. The call succeeded nevertheless: it was carried
    /// out.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        let body = self.body.body();
        serde_json::from_slice(body).map_err(|e| BodyError::new(&e, body, self.request_id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::message::signed_response::verified;

    async fn response(body: &'static str) -> Response {
        Response::new(StatusCode::OK, Some("08F7".into()), "h", verified(body).await)
    }

    #[derive(Debug, serde::Deserialize)]
    struct Named {
        name: u8,
    }

    #[tokio::test]
    async fn a_body_is_read_as_json() {
        let response = response(r#"{"name":7}"#).await;
        assert_eq!(response.json::<Named>().unwrap().name, 7);
        assert_eq!(response.json::<Value>().unwrap()["name"], 7);
        assert_eq!(response.into_body().into_body(), r#"{"name":7}"#);
    }

    #[tokio::test]
    async fn a_body_of_another_form_is_told_without_its_values() {
        let other = response(r#"{"name":"a-name-that-nobody-may-see"}"#).await;
        let error = other.json::<Named>().unwrap_err();
        assert!(error.is_json());
        assert_eq!(
            error.to_string(),
            "the body of the response is not of the expected form, at line 1, column 36 \
             [request-id 08F7]"
        );
        assert!(!format!("{error:?}").contains("nobody"), "{error:?}");
        let cut = response(r#"{"name":"x","#).await.json::<Named>().unwrap_err();
        assert!(!cut.is_json(), "what follows is missing");
        let cut = response(r#"{"name":"#).await.json::<Named>().unwrap_err();
        assert!(!cut.is_json());
        assert!(cut.to_string().contains("is not json"), "{cut}");
        let empty = response("").await.json::<Named>().unwrap_err();
        assert_eq!(empty.to_string(), "the body of the response is empty [request-id 08F7]");
    }
}
