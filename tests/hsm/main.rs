//! Keys in an HSM, on real tokens.
//!
//! A PKCS#11 module has one state per process, with the sessions and logins of all its users; on some tokens,
//! one module wraps another; and faults of `faulty.c` affect all of them. So each test runs in a process of its
//! own: with `alone!()`, or with `own_process!()` if it changes nothing on its token. Each test also shuts its
//! signers down: SoftHSM crashes when the process ends while a thread is still in it.

mod born;
mod errors;
mod faults;
mod fields;
mod foreign_keys;
mod hanging;
mod kryoptic;
mod lost_sessions;
mod messages;
mod modules;
mod p11_kit;
mod pins;
mod tokens;
mod tpm;
