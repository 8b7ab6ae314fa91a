#!/usr/bin/env bash
# hyper-util 0.1.21, `client::legacy::connect::proxy::Tunnel`: a proxy that answers CONNECT with another 2xx than 200 is
# refused, and the error tells no status.
#
# RFC 9110, 9.3.6: "Any 2xx (Successful) response indicates that the sender (and all inbound proxies) will switch to tunnel
# mode immediately after the response header section". A proxy on loopback answers CONNECT with 200, 201, 204, 403 and 407.
#
# Seen:
#   200: tunnel
#   201: unsuccessful
#   204: unsuccessful
#   403: unsuccessful
#   407: proxy authorization required
# So a client that goes through Tunnel fails with a proxy that says 201, and what else a proxy said (403, 429, 503) is lost.
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
hyper-util = { version = "=0.1.21", features = ["client-legacy", "client-proxy", "http1", "tokio"] }
tokio = { version = "1", features = ["io-util", "macros", "net", "rt"] }
tower-service = "0.3"
TOML
cat >"$work/src/main.rs" <<'RUST'
use hyper_util::client::legacy::connect::{proxy::Tunnel, HttpConnector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for status in ["200 OK", "201 Created", "204 No Content", "403 Forbidden", "407 Proxy Authentication Required"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answers = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            stream
        });
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let ended = Tunnel::new(proxy, tcp).call("https://origin.example:443".parse().unwrap()).await;
        let told = match ended {
            Ok(_) => "tunnel".to_owned(),
            Err(error) => error.to_string().replace("tunnel error: ", ""),
        };
        println!("{}: {told}", &status[..3]);
        drop(answers.await);
    }
}
RUST
seen=$(cargo run --quiet --manifest-path "$work/Cargo.toml" --target-dir "$work/target")
expected='200: tunnel
201: unsuccessful
204: unsuccessful
403: unsuccessful
407: proxy authorization required'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
