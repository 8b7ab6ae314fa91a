//! Keys in files: how they get there, their certificates, and processes that sign with them.

mod certificate_request;
mod credentials;
mod forked;
mod pkcs12;
