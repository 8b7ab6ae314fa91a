//! Sessions with a token: opening, login, and use with a key.

pub(crate) mod key_session;
pub(crate) mod login;
pub(crate) mod open_close_lock;
pub(crate) mod pin_history;
