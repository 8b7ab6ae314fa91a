//! `wxpay-auth` re-exports everything that is public in `wxpay-auth-core`, name by name.

use std::collections::BTreeSet;

const CORE: &str = include_str!("../../crates/wxpay-auth-core/src/lib.rs");
const AUTH: &str = include_str!("../../crates/wxpay-auth/src/lib.rs");

/// Returns the names that a `lib.rs` exports.
fn exported(lib: &str) -> BTreeSet<&str> {
    let exports = lib.split("pub use ").skip(1).filter_map(|export| export.split_once(';'));
    exports
        .flat_map(|(path, _)| path.rsplit("::").next().unwrap_or(path).split(['{', '}', ',']))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn wxpay_auth_leaves_out_nothing_of_its_core() {
    let (core, auth) = (exported(CORE), exported(AUTH));
    assert!(core.contains("Signer") && core.contains("http"), "{core:?}");
    let left_out: Vec<_> = core.difference(&auth).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}
