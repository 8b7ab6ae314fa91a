//! The main domain, the standby domain, and the choice between them.

pub(crate) mod domain;
pub(crate) mod failover;
pub(crate) mod router;
