//! File keys: their formats, their certificates, and processes that sign with them.

mod certificate_request;
mod credentials;
mod fields;
mod forked;
mod pkcs12;
