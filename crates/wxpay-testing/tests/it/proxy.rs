//! The proxy opens tunnels, or refuses them.

use crate::common::{Call, address, terminate};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxpay_testing::{ConnectProxy, ProxyManners, WireServer};

/// Requests a tunnel to a host, and returns the status line.
async fn connect(proxy: &ConnectProxy, host: &str, more: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address(&proxy.url())).await.unwrap();
    let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (stream, status)
}

#[tokio::test]
async fn a_tunnel_leads_to_the_server_whatever_its_name() {
    let server = WireServer::start_plain().await;
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    let host = format!("gateway.example:{}", server.address().port());
    let (mut stream, status) = connect(&proxy, &host, "").await;
    assert_eq!((status.as_str(), proxy.tunnels()), ("200", 1));
    let response = Call::post(&server, &terminate("12000")).send_on(&mut stream).await.unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn credentials_open_it_and_nothing_else() {
    use base64::Engine;
    let server = WireServer::start_plain().await;
    let proxy = ConnectProxy::start(ProxyManners::Credentials("me:secret".to_owned())).await;
    let host = server.address().to_string();
    let header = |credentials: &str| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    };
    for (more, expected) in
        [(String::new(), "407"), (header("me:wrong"), "407"), (header("me:secret"), "200")]
    {
        assert_eq!(connect(&proxy, &host, &more).await.1, expected);
    }
    assert_eq!(proxy.tunnels(), 1);
    assert_eq!(proxy.url_with("me:secret"), proxy.url().replace("//", "//me:secret@"));
}

#[tokio::test]
async fn it_refuses_or_hangs() {
    let proxy = ConnectProxy::start(ProxyManners::Refuse(502)).await;
    assert_eq!(connect(&proxy, "127.0.0.1:1", "").await.1, "502");
    assert_eq!(proxy.tunnels(), 0);

    let proxy = ConnectProxy::start(ProxyManners::Hang).await;
    let hanging = connect(&proxy, "127.0.0.1:1", "");
    assert!(tokio::time::timeout(Duration::from_millis(100), hanging).await.is_err());
    assert_eq!(proxy.tunnels(), 0);
}

#[tokio::test]
async fn what_is_no_connect_is_a_bad_request() {
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    assert_eq!(connect(&proxy, "nowhere", "").await.1, "400");
    assert_eq!(proxy.tunnels(), 0);
}

#[tokio::test]
async fn nothing_is_left_of_a_proxy_that_was_dropped() {
    let server = WireServer::start_plain().await;
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    let (mut stream, _) = connect(&proxy, &server.address().to_string(), "").await;
    let url = proxy.url();
    drop(proxy);
    assert!(stream.read_u8().await.is_err(), "the tunnel ends");
    assert!(TcpStream::connect(address(&url)).await.is_err());
}
