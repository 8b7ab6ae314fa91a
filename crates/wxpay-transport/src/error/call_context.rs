//! Which call an error belongs to.

use std::borrow::Cow;
use std::sync::Arc;

use crate::message::replay::Replay;
use crate::message::request::Request;

/// Names the call that an error belongs to: what it is called, where it went, which attempt it was, and whether
/// it may be repeated. For transports of one's own, which return errors of this crate.
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
/// // An attempt before this one was sent, and nothing was heard of it.
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
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    /// An earlier attempt may have been carried out.
    pub(crate) earlier_unknown: bool,
}

impl CallContext {
    /// Names the first attempt of a call of `request` to `host`.
    pub fn new(request: &Request, host: impl Into<Arc<str>>) -> Self {
        Self {
            operation: request.operation_name(),
            host: host.into(),
            replay: request.replay(),
            attempt: 1,
            earlier_unknown: false,
        }
    }

    /// Sets which attempt it is, counted from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Says that an earlier attempt may have been carried out: the outcome of the call is then unknown, however
    /// this attempt ended.
    #[must_use]
    pub fn after_unknown(mut self) -> Self {
        self.earlier_unknown = true;
        self
    }
}

#[cfg(any(test, fuzzing))]
impl CallContext {
    /// Makes one for a first attempt.
    pub(crate) fn first(operation: &'static str, host: &str, replay: Replay) -> Self {
        let (operation, host) = (operation.into(), host.into());
        Self { operation, host, replay, attempt: 1, earlier_unknown: false }
    }
}
