//! The call that an error belongs to.

use std::borrow::Cow;
use std::sync::Arc;

use crate::message::replay::Replay;
use crate::message::request::Request;

/// Describes the call that an error belongs to: its operation, its host, which attempt it was, and whether
/// it may be repeated. For custom transports, which return errors of this crate.
///
/// ```
/// use wxpay_transport::{
///     CallContext, ConnectError, ConnectStage, Delivery, Error, Outcome, Request, Target,
/// };
///
/// let request = Request::get("bills.get", Target::new("/v3/bill")?);
/// let context = CallContext::new(&request, "api.mch.weixin.qq.com");
/// let error = Error::Connect(ConnectError::new(context, ConnectStage::Dns, "no such host".into()));
/// assert_eq!(error.operation(), Some("bills.get"));
/// assert_eq!((error.outcome(), error.may_retry()), (Outcome::NotSent, true));
///
/// // An earlier attempt was sent, and got no response.
/// let context = CallContext::new(&request, "api.mch.weixin.qq.com").attempt(2).after_unknown();
/// let error = Error::Connect(ConnectError::new(context, ConnectStage::Dns, "no such host".into()));
/// assert_eq!((error.outcome(), error.delivery()), (Outcome::Unknown, Delivery::Unknown));
/// # Ok::<(), wxpay_transport::RequestError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CallContext {
    pub(crate) operation: Cow<'static, str>,
    pub(crate) host: Arc<str>,
    pub(crate) replay: Replay,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// Whether an earlier attempt may have been carried out.
    pub(crate) earlier_unknown: bool,
}

impl CallContext {
    /// Describes the first attempt of a call of `request` to `host`.
    pub fn new(request: &Request, host: impl Into<Arc<str>>) -> Self {
        Self {
            operation: request.operation_name(),
            host: host.into(),
            replay: request.replay(),
            attempt: 1,
            earlier_unknown: false,
        }
    }

    /// Returns what to do after an unknown outcome.
    pub(crate) fn ask(&self) -> &'static str {
        if self.replay == Replay::Safe { super::ASK_AGAIN } else { super::ASK }
    }

    /// Returns the hint of an error of this call; `last` is that of its last attempt. An earlier attempt that may
    /// have been carried out comes first.
    pub(super) fn hint(&self, last: impl Into<Cow<'static, str>>) -> Cow<'static, str> {
        let (ask, last) = (self.ask(), last.into());
        if self.earlier_unknown && !last.starts_with(ask) {
            return format!("{ask} (an earlier attempt was sent). Of the last attempt: {last}")
                .into();
        }
        last
    }

    /// Returns the word that tells an attempt after an earlier one, which was sent, from the whole call.
    pub(super) fn again(&self) -> &'static str {
        if self.earlier_unknown { " again" } else { "" }
    }

    /// Sets the number of the attempt, from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Records that an earlier attempt may have been carried out: the outcome of the call is then unknown,
    /// however this attempt ended; but a query that is refused at last is refused.
    #[must_use]
    pub fn after_unknown(mut self) -> Self {
        self.earlier_unknown = true;
        self
    }
}

#[cfg(any(test, fuzzing))]
impl CallContext {
    /// Returns the context of a first attempt.
    pub(crate) fn first(operation: &'static str, host: &str, replay: Replay) -> Self {
        let (operation, host) = (operation.into(), host.into());
        Self { operation, host, replay, attempt: 1, earlier_unknown: false }
    }
}
