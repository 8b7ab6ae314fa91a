//! A key in an HSM, on real tokens.
//!
//! A PKCS#11 module has one state in a process, with the sessions and the logins of all that use it; on some
//! tokens one module lies on top of another; and what is told to `faulty.c` is felt by all. So each test has a
//! process of its own: `alone!()`, or, where it changes nothing on its token, `own_process!()`;
//! and shuts its signers down: SoftHSM crashes when the process ends while a thread is still in it.

mod born;
mod errors;
mod faults;
mod foreign_keys;
mod kryoptic;
mod messages;
mod modules;
mod p11_kit;
mod pins;
mod tokens;
mod tpm;
