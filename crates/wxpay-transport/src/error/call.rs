//! Which call an error belongs to.

use std::borrow::Cow;

use crate::replay::Replay;

/// Names the call in an error.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: Cow<'static, str>,
    pub(crate) host: String,
    pub(crate) replay: Replay,
}
