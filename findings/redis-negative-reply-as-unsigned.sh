#!/usr/bin/env bash
# redis 1.8.1 (the Rust client): a negative integer of the server, read as an unsigned type, is a huge number and no error.
#
# A script that answers "how long to wait" with a negative number, because of a clock that was set back, say, makes a caller wait for
# half of eternity. Text that says the same ("-5") is refused, so the two ways in which a server may send a number differ.
#
# Seen:
#   integer -5 as u64: Ok(18446744073709551611)
#   integer -5 as u32: Ok(4294967291)
#   integer 4294967296 as u32: Ok(0)
#   text -5 as u64: an error
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[workspace]

[dependencies]
redis = { version = "=1.8.1", default-features = false }
TOML
cat >"$work/src/main.rs" <<'RUST'
use redis::{FromRedisValue, Value};

fn main() {
    let told = |ended: Option<String>| ended.map_or("an error".to_owned(), |n| format!("Ok({n})"));
    let as_u64 = |value| told(u64::from_redis_value(value).ok().map(|n| n.to_string()));
    let as_u32 = |value| told(u32::from_redis_value(value).ok().map(|n| n.to_string()));
    println!("integer -5 as u64: {}", as_u64(Value::Int(-5)));
    println!("integer -5 as u32: {}", as_u32(Value::Int(-5)));
    println!("integer 4294967296 as u32: {}", as_u32(Value::Int(1 << 32)));
    println!("text -5 as u64: {}", as_u64(Value::BulkString(b"-5".to_vec())));
}
RUST
seen=$(cargo run --quiet --manifest-path "$work/Cargo.toml" --target-dir "$work/target")
expected='integer -5 as u64: Ok(18446744073709551611)
integer -5 as u32: Ok(4294967291)
integer 4294967296 as u32: Ok(0)
text -5 as u64: an error'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
