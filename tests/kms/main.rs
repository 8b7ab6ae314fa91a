//! Keys in key services: a real OpenBao, doubles of the others.

mod alibaba;
mod aws;
mod echoes;
mod fields;
mod tencent;
mod vault;
mod vault_approval;
mod vault_cluster;
mod vault_faults;
mod vault_tokens;
