//! API security end to end: platform certificates that come and go, the move to the public key and back, and merchant
//! certificates that are exchanged, all of it under load.

mod download;
mod many_merchants;
mod merchant;
mod merchant_certificate;
mod migration;
mod rotation;
mod unknown_serials;
