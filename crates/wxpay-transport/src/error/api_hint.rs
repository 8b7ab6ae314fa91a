//! What to do about an error response.

use std::borrow::Cow;

use http::StatusCode;

use super::api::ApiError;
use super::api_body::ErrorBody;
use super::response_signature::ResponseSignature;

impl ApiError {
    /// Returns what to do. An earlier attempt of the call that may have been carried out comes first.
    pub fn hint(&self) -> Cow<'static, str> {
        self.call().hint(self.last_hint())
    }

    /// Returns what to do about this response, whatever came of earlier attempts.
    fn last_hint(&self) -> Cow<'static, str> {
        if let ResponseSignature::Refused(e) = &self.inner.signature
            && self.inner.body != ErrorBody::Encoded
        {
            return format!("{}; {}", self.call().ask(), e.hint()).into();
        }
        if self.is_unconfirmed() {
            return format!(
                "{} (the refusal came on a connection that had carried another request; it may be the response to \
                 that request, and there was no time to confirm it)",
                self.call().ask()
            )
            .into();
        }
        let status = self.inner.status;
        let is_encoded = self.inner.body == ErrorBody::Encoded;
        if is_encoded || (status.is_client_error() && !self.is_wechat_pays()) {
            return format!("{}; {}", self.call().ask(), self.hint_other()).into();
        }
        match status {
            StatusCode::UNAUTHORIZED => self.hint_sign_error(),
            StatusCode::BAD_REQUEST if self.is_about_serial() => {
                "WeChat Pay does not know the key that Wechatpay-Serial names: check the key ring, which \
                 holds WeChat Pay's public key under its PUB_KEY_ID_… or a platform certificate that is \
                 valid now, of this mchid; never the merchant's own certificate"
                    .into()
            }
            StatusCode::BAD_REQUEST => {
                "fix the request as the message and the detail say".into()
            }
            StatusCode::FORBIDDEN => {
                "request the permission on the merchant platform: this mchid does not have it, or \
                 not for this object"
                    .into()
            }
            StatusCode::NOT_FOUND => "check the id, and that it belongs to this mchid".into(),
            StatusCode::TOO_MANY_REQUESTS => {
                "it was not accepted: slow down, then send it again".into()
            }
            StatusCode::LENGTH_REQUIRED | StatusCode::PAYLOAD_TOO_LARGE => {
                "check the path to WeChat Pay: a proxy changes requests".into()
            }
            StatusCode::REQUEST_TIMEOUT => self.call().ask().into(),
            status if status.is_redirection() => {
                format!("{}; redirects are not followed: check the base URL", self.call().ask()).into()
            }
            status if status.is_client_error() => {
                "see the code in WeChat Pay's documentation of this call".into()
            }
            _ => self.call().ask().into(),
        }
    }

    pub(super) fn is_input(&self) -> bool {
        match self.inner.status {
            StatusCode::BAD_REQUEST => !self.is_about_serial(),
            status => status == StatusCode::NOT_FOUND,
        }
    }

    /// Returns whether the refusal is about the `Wechatpay-Serial` header.
    fn is_about_serial(&self) -> bool {
        let names_it = |text: Option<&str>| {
            text.is_some_and(|t| t.to_ascii_lowercase().contains("wechatpay-serial"))
        };
        let detail = self.detail();
        names_it(self.message())
            || names_it(detail.and_then(|d| d.field.as_deref()))
            || names_it(detail.and_then(|d| d.issue.as_deref()))
    }

    /// Returns the hint for a 4xx that is not a refusal by WeChat Pay.
    fn hint_other(&self) -> &'static str {
        match self.inner.body {
            ErrorBody::Truncated => "the refusal is not whole, so it may not be from WeChat Pay",
            ErrorBody::TooLarge => {
                "the refusal is above the limit, so it may not be from WeChat Pay"
            }
            ErrorBody::Encoded => {
                "a proxy or gateway encodes bodies, which invalidates their signatures: have it pass bodies on \
                 unchanged"
            }
            _ => {
                "this is not how WeChat Pay refuses a call, so something in front of it answered: check \
                 proxies, gateways and the base URL"
            }
        }
    }

    fn hint_sign_error(&self) -> Cow<'static, str> {
        const WINDOW: u64 = wxpay_auth::CLOCK_WINDOW_SECS;
        match (self.inner.clock_offset, &self.inner.sign_diagnosis) {
            (Some(offset), _) if offset.unsigned_abs() > WINDOW => {
                let (seconds, way) =
                    (offset.unsigned_abs(), if offset > 0 { "behind" } else { "ahead of" });
                format!(
                    "set the local clock: it is {seconds} s {way} WeChat Pay's, and more than \
                     {WINDOW} s are refused"
                )
                .into()
            }
            (_, Some(diagnosis)) => diagnosis.to_string().into(),
            (_, None) => "check that private key, serial_no and mchid belong together".into(),
        }
    }
}
