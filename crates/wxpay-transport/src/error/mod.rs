//! The errors of a call, and their meaning.

mod api;
mod api_body;
mod api_hint;
mod call_context;
mod config;
mod connect;
pub(crate) mod connect_failure;
pub(crate) mod delivery;
mod download;
mod exchange;
mod overload;
mod refusal;
mod response_signature;
mod settings;
mod sign_diagnosis;
mod signing;
mod timeout;
mod unverified;
mod verifier;

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use thiserror::Error;
use wxpay_auth::{SignErrorKind, write_report};

use crate::message::request_error::RequestError;

pub use self::api::ApiError;
pub(crate) use self::api::ApiResponse;
pub use self::api_body::{ErrorBody, ErrorDetail};
pub use self::call_context::CallContext;
pub use self::config::ConfigError;
pub use self::connect::{ConnectError, ConnectStage};
pub use self::download::{DownloadError, DownloadFault};
pub use self::exchange::{ExchangeError, ExchangeFault};
pub use self::overload::{Overload, OverloadError};
pub use self::response_signature::ResponseSignature;

pub(crate) use self::settings::SettingsCause;
pub use self::settings::SettingsError;
pub use self::sign_diagnosis::{SignDiagnosis, SignedLine};
pub use self::signing::SigningError;
pub use self::timeout::{CallStage, TimeoutError, TimeoutKind};
pub use self::unverified::{UnverifiedCause, UnverifiedError};
pub use self::verifier::VerifierError;

use crate::error::delivery::{Delivery, Outcome};

/// Why a call did not end with a verified 2xx response.
///
/// See [`outcome`](Error::outcome) for what became of the call, [`may_retry`](Error::may_retry) for
/// whether it may be sent again, and [`hint`](Error::hint) for what to do.
///
/// A timeout after sending and a response that fails verification are never reported as failed: their
/// outcome is unknown.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// The client is not set up correctly. Nothing was sent.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the application cannot be used. Nothing was sent.
    #[error(transparent)]
    Settings(SettingsError),
    /// The request is invalid. Nothing was sent.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Too many calls were made at the same time. Nothing of the last attempt was sent.
    #[error(transparent)]
    Overload(OverloadError),
    /// The response could not have been verified. Nothing of the last attempt was sent.
    #[error(transparent)]
    Verifier(VerifierError),
    /// The signer failed. Nothing of the last attempt was sent.
    #[error(transparent)]
    Signing(SigningError),
    /// No connection could be opened. Nothing of the last attempt was sent.
    #[error(transparent)]
    Connect(ConnectError),
    /// A timeout expired; [`Error::delivery`] tells whether anything had been sent by then.
    #[error(transparent)]
    Timeout(TimeoutError),
    /// The connection failed; [`Error::delivery`] tells whether anything had been sent by then.
    #[error(transparent)]
    Exchange(ExchangeError),
    /// WeChat Pay, or something in front of it, responded with a status other than 2xx.
    #[error(transparent)]
    Api(ApiError),
    /// A 2xx response cannot be trusted: it is not signed, its signature was not accepted, or its body is
    /// incomplete.
    #[error(transparent)]
    Unverified(UnverifiedError),
    /// A file did not arrive whole, or its hash is not the expected one. What was written must not be used.
    #[error(transparent)]
    Download(DownloadError),
}

impl Error {
    /// Returns what happened to the request on the connection: whether it was sent, and whether a response arrived.
    ///
    /// After several attempts, this describes the last one; but it is never `NotSent` if an earlier one was
    /// sent.
    pub fn delivery(&self) -> Delivery {
        match self.last_delivery() {
            Delivery::NotSent if self.is_earlier_unknown() => Delivery::Unknown,
            delivery => delivery,
        }
    }

    fn last_delivery(&self) -> Delivery {
        match self {
            Self::Config(_)
            | Self::Settings(_)
            | Self::Request(_)
            | Self::Overload(_)
            | Self::Verifier(_)
            | Self::Signing(_)
            | Self::Connect(_) => Delivery::NotSent,
            Self::Timeout(e) => e.last_delivery(),
            Self::Exchange(e) => e.last_delivery(),
            Self::Api(_) => Delivery::Answered,
            Self::Unverified(_) | Self::Download(_) => Delivery::Unknown,
        }
    }

    /// Returns what became of the call.
    ///
    /// A 4xx response is a rejection if it comes from WeChat Pay: its signature was verified, or it is unsigned
    /// JSON with a `code`. Any other 4xx (such as a web page, or one with a signature that was not accepted),
    /// 408, and every other status outside 2xx (500 `SYSTEM_ERROR`, 502, a redirect …) leave the outcome
    /// unknown.
    ///
    /// After several attempts, the outcome is unknown if one of them may have been carried out and none was
    /// verified. A refused query is rejected, whatever became of its earlier attempts, since it changes nothing.
    pub fn outcome(&self) -> Outcome {
        if self.is_earlier_unknown() { Outcome::Unknown } else { self.last_outcome() }
    }

    /// Returns the outcome of the last attempt alone.
    pub(crate) fn last_outcome(&self) -> Outcome {
        match (self, self.last_delivery()) {
            (Self::Api(e), _) => e.outcome(),
            (_, Delivery::NotSent) => Outcome::NotSent,
            (_, Delivery::Answered | Delivery::Unknown) => Outcome::Unknown,
        }
    }

    /// Returns whether the same call may be sent again, after a wait, without the risk of carrying it out
    /// twice, and with a chance of success.
    ///
    /// True if nothing was sent because something could not be reached, and if WeChat Pay itself asks to slow
    /// down (429). After an unknown outcome, true only if the request's [`Replay`](crate::Replay) class
    /// allows it.
    pub fn may_retry(&self) -> bool {
        if let Some(call) = self.call()
            && call.earlier_unknown
            && !call.replay.is_repeatable()
        {
            return false;
        }
        match self {
            Self::Config(_) | Self::Request(_) | Self::Verifier(_) => false,
            Self::Settings(e) => e.sign_error_kind().is_some_and(SignErrorKind::is_transient),
            Self::Signing(e) => e.sign_error().is_some_and(|e| e.kind().is_transient()),
            Self::Overload(_) | Self::Connect(_) => true,
            Self::Timeout(e) => e.delivery() == Delivery::NotSent || e.call.replay.is_repeatable(),
            Self::Exchange(e) => e.delivery() == Delivery::NotSent || e.call.replay.is_repeatable(),
            Self::Api(e) => e.may_retry(),
            Self::Unverified(e) => e.call.replay.is_repeatable(),
            Self::Download(e) => e.may_retry(),
        }
    }

    /// Returns whether the input is at fault, and nothing was done: the request is invalid, or WeChat Pay
    /// refused its content (400, 404). A handler should respond with 400 or 404 then, but with 503 if the
    /// network is down.
    ///
    /// A 400 about the key named in `Wechatpay-Serial` is caused by the settings, and is not included.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Request(_) => true,
            Self::Api(e) if self.outcome() == Outcome::Rejected => e.is_input(),
            _ => false,
        }
    }

    /// Returns the HTTP status, if a response arrived.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Api(e) => Some(e.status()),
            Self::Unverified(e) => Some(e.status()),
            Self::Download(e) => Some(e.status()),
            _ => None,
        }
    }

    /// Returns the `Request-ID`, if a response arrived. WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Api(e) => e.request_id(),
            Self::Unverified(e) => e.request_id(),
            Self::Download(e) => e.request_id(),
            _ => None,
        }
    }

    /// Returns the operation of the call, if the error belongs to one.
    pub fn operation(&self) -> Option<&str> {
        self.call().map(|c| &*c.operation)
    }

    /// Returns the number of attempts of the call, if the error belongs to one.
    pub fn attempts(&self) -> Option<u32> {
        self.call().map(|c| c.attempt)
    }

    /// Returns the host that was called, if the error belongs to a call.
    pub fn host(&self) -> Option<&str> {
        self.call().map(|c| &*c.host)
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Config(e) => e.hint().into(),
            Self::Settings(e) => e.hint(),
            Self::Request(e) => e.hint().into(),
            Self::Overload(e) => e.hint(),
            Self::Verifier(e) => e.hint(),
            Self::Signing(e) => e.hint(),
            Self::Connect(e) => e.hint(),
            Self::Timeout(e) => e.hint(),
            Self::Exchange(e) => e.hint(),
            Self::Api(e) => e.hint(),
            Self::Unverified(e) => e.hint(),
            Self::Download(e) => e.hint(),
        }
    }

    fn call(&self) -> Option<&CallContext> {
        match self {
            Self::Config(_) | Self::Settings(_) | Self::Request(_) => None,
            Self::Overload(e) => Some(&e.call),
            Self::Verifier(e) => Some(&e.call),
            Self::Signing(e) => Some(&e.call),
            Self::Connect(e) => Some(&e.call),
            Self::Timeout(e) => Some(&e.call),
            Self::Exchange(e) => Some(&e.call),
            Self::Api(e) => Some(e.call()),
            Self::Unverified(e) => Some(&e.call),
            Self::Download(e) => Some(&e.inner.call),
        }
    }

    fn is_earlier_unknown(&self) -> bool {
        self.call().is_some_and(|call| call.earlier_unknown)
    }
}

/// Prints one line with the causes and the hint, so that a `main` that returns the error shows them.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}

/// What to do after an unknown outcome; used by several errors.
const ASK: &str = "the call may have been carried out: read the state before sending it again";
/// The same of a query.
const ASK_AGAIN: &str = "the query changes nothing, and can be sent again";

#[cfg(test)]
mod tests {
    use wxpay_auth::SignError;

    use super::*;
    use crate::message::replay::Replay;

    /// Returns an error of every kind that belongs to a call, and its own hint.
    fn of_every_kind(call: &CallContext) -> Vec<(Error, Cow<'static, str>)> {
        macro_rules! all {
            ($($kind:ident($error:expr)),* $(,)?) => {
                vec![$({
                    let error = $error;
                    let hint = Cow::from(error.hint());
                    (Error::$kind(error), hint)
                }),*]
            };
        }
        let call = || call.clone();
        let away = || SignError::new(SignErrorKind::Unavailable, "away");
        let serial =
            || wxpay_auth::SerialNo::new("408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB").unwrap();
        let timeout = |stage, delivery| {
            let after = std::time::Duration::from_secs(1);
            TimeoutError::new(call(), TimeoutKind::Attempt, after, stage, delivery)
        };
        let exchange =
            |delivery| ExchangeError::new(call(), ExchangeFault::Closed, delivery, "no".into());
        let proxy = |status: u16| {
            ConnectError::new(call(), ConnectStage::Proxy, "no".into())
                .with_proxy("p:1", StatusCode::from_u16(status).ok())
        };
        let api = |status: u16| {
            let now = wxpay_auth::Timestamp::from_unix_secs(1);
            ApiError::from_response(
                call(),
                StatusCode::from_u16(status).unwrap(),
                &http::HeaderMap::new(),
                Ok(r#"{"code":"TOLD_TO"}"#.into()),
                ResponseSignature::Missing,
                b"POST\n/\n1\n2\n\n",
                now,
            )
        };
        all![
            Connect(ConnectError::new(call(), ConnectStage::Dns, "no".into())),
            Connect(ConnectError::new(call(), ConnectStage::Tcp, "no".into())),
            Connect(ConnectError::new(call(), ConnectStage::Tls, "no".into())),
            Connect(ConnectError::new(call(), ConnectStage::Http, "no".into())),
            Connect(proxy(0)),
            Connect(proxy(407)),
            Connect(proxy(502)),
            Overload(OverloadError::new(call(), Overload::Rate, None)),
            Overload(OverloadError::new(call(), Overload::Calls, None)),
            Verifier(VerifierError::own_serial(call(), serial())),
            Verifier(VerifierError::fields_for_own_serial(call(), serial())),
            Verifier(VerifierError::not_ready(call(), wxpay_auth::NotReady::NoKey)),
            Signing(SigningError::signer(call(), away())),
            Timeout(timeout(CallStage::Queueing, Delivery::NotSent)),
            Timeout(timeout(CallStage::Preparing, Delivery::NotSent)),
            Timeout(timeout(CallStage::Waiting, Delivery::Unknown)),
            Exchange(exchange(Delivery::NotSent)),
            Exchange(exchange(Delivery::Unknown)),
            Api(api(429)),
            Api(api(400)),
            Api(api(404)),
            Api(api(500)),
            Unverified(UnverifiedError::new(
                call(),
                StatusCode::OK,
                None,
                None,
                UnverifiedCause::Truncated,
            )),
        ]
    }

    /// However the last attempt ended, an earlier one may have been carried out.
    #[test]
    fn nothing_that_must_not_be_repeated_is_repeated_after_an_unknown_attempt() {
        for replay in [Replay::Never, Replay::Keyed, Replay::Safe] {
            let ask = if replay == Replay::Safe { ASK_AGAIN } else { ASK };
            let first = CallContext::first("x", "h", replay);
            let later = first.clone().attempt(2).after_unknown();
            for ((alone, own), (error, told)) in
                of_every_kind(&first).into_iter().zip(of_every_kind(&later))
            {
                let shown = format!("{replay:?}: {error:?}");
                if replay == Replay::Safe && alone.outcome() == Outcome::Rejected {
                    let settled = (error.outcome(), error.may_retry(), error.hint());
                    assert_eq!(settled, (Outcome::Rejected, alone.may_retry(), own), "{shown}");
                    continue;
                }
                assert_eq!(error.outcome(), Outcome::Unknown, "{shown}");
                let may_retry = alone.may_retry() && replay.is_repeatable();
                assert_eq!(error.may_retry(), may_retry, "{shown}");
                let hint = match alone.outcome() {
                    Outcome::Unknown => own.into_owned(),
                    _ => format!("{ask} (an earlier attempt was sent). Of the last attempt: {own}"),
                };
                assert_eq!(error.hint(), hint, "{shown}");
                assert_eq!(hint.matches(ask).count(), 1, "{shown}");
                assert_eq!(told, hint, "the error by itself speaks of the call, too: {shown}");
                assert!(!error.to_string().contains("x was not sent:"), "{shown}");
                assert!(!error.to_string().ends_with("was not signed"), "{shown}");
            }
        }
    }
}
