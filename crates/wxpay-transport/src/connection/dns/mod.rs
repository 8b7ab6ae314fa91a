//! Addresses of host names.

pub(crate) mod failed_addresses;
pub(crate) mod lookup;
pub(crate) mod recent_addresses;
pub(crate) mod resolve;
pub(crate) mod system_lookup;
