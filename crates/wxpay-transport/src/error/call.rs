//! Which call an error belongs to.

use std::borrow::Cow;
use std::sync::Arc;

use crate::message::replay::Replay;

/// Names the call in an error.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: Cow<'static, str>,
    pub(crate) host: Arc<str>,
    pub(crate) replay: Replay,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    /// An earlier attempt may have been carried out.
    pub(crate) earlier_unknown: bool,
}

#[cfg(any(test, fuzzing))]
impl Call {
    /// Makes one for a first attempt.
    pub(crate) fn first(operation: &'static str, host: &str, replay: Replay) -> Self {
        let (operation, host) = (operation.into(), host.into());
        Self { operation, host, replay, attempt: 1, earlier_unknown: false }
    }
}
