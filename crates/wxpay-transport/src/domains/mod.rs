//! Where calls go: the main domain, the standby domain, and the state of both.

pub(crate) mod domain;
pub(crate) mod failover;
pub(crate) mod router;
