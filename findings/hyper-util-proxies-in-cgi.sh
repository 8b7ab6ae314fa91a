#!/usr/bin/env bash
# hyper-util 0.1.21, `client::proxy::matcher::Matcher::from_env`: where REQUEST_METHOD is set, as it is for every CGI program,
# no variable of a proxy is read, HTTPS_PROXY and ALL_PROXY included.
#
# A header `Proxy:` of a request becomes HTTP_PROXY in a CGI program, so clients leave that one out there (curl reads it in lower
# case only). HTTPS_PROXY and ALL_PROXY cannot be set by a request. A program that may reach the internet through its proxy only
# finds no way then, or goes directly where it should not, and nothing says so.
#
# Seen:
#   without REQUEST_METHOD: HTTPS_PROXY used, ALL_PROXY used
#   with REQUEST_METHOD=GET: HTTPS_PROXY ignored, ALL_PROXY ignored
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
http = "=1.4.2"
hyper-util = { version = "=0.1.21", features = ["client-proxy"] }
TOML
cat >"$work/src/main.rs" <<'RUST'
use hyper_util::client::proxy::matcher::Matcher;

fn main() {
    let origin: http::Uri = "https://origin.example".parse().unwrap();
    let used = Matcher::from_env().intercept(&origin).is_some();
    print!("{}", if used { "used" } else { "ignored" });
}
RUST
cargo build --quiet --manifest-path "$work/Cargo.toml" --target-dir "$work/target"
program=$work/target/debug/finding
proxy=http://proxy.example:3128
clean=(env -i)
seen="without REQUEST_METHOD: HTTPS_PROXY $("${clean[@]}" HTTPS_PROXY=$proxy "$program"), ALL_PROXY $("${clean[@]}" ALL_PROXY=$proxy "$program")
with REQUEST_METHOD=GET: HTTPS_PROXY $("${clean[@]}" REQUEST_METHOD=GET HTTPS_PROXY=$proxy "$program"), ALL_PROXY $("${clean[@]}" REQUEST_METHOD=GET ALL_PROXY=$proxy "$program")"
expected='without REQUEST_METHOD: HTTPS_PROXY used, ALL_PROXY used
with REQUEST_METHOD=GET: HTTPS_PROXY ignored, ALL_PROXY ignored'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
