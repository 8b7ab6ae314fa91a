//! Tunnels through proxies, and the errors when a proxy opens none.

use std::time::Duration;

use wxpay_auth::{FileKeySigner, KeyRing};
use wxpay_testing::{ConnectProxy, PlanState, ProxyManners, ServerTls, WireServer};
use wxpay_tests::requests::{list, terminate};
use wxpay_tests::tinyproxy::Tinyproxy;
use wxpay_tests::{builder, chain};
use wxpay_transport::{
    ClientBuilder, ConfigError, ConnectError, ConnectStage, Delivery, Error, Outcome, Proxy,
    Transport,
};

fn through(server: &WireServer, url: &str) -> ClientBuilder<FileKeySigner, KeyRing> {
    builder(server, &server.base_url()).proxy(Proxy::new(url).unwrap())
}

/// Makes a call, and returns why the connection failed.
async fn refused(client: ClientBuilder<FileKeySigner, KeyRing>) -> (Error, String) {
    let error = client.build().unwrap().send(list()).await.unwrap_err();
    assert_eq!((error.delivery(), error.outcome()), (Delivery::NotSent, Outcome::NotSent));
    assert!(error.may_retry());
    let shown = format!("{} / {}", chain(&error), error.hint());
    (error, shown)
}

fn connect_error(error: &Error) -> &ConnectError {
    let Error::Connect(connect) = error else { panic!("{error:?}") };
    connect
}

#[tokio::test]
async fn through_a_proxy() {
    for proxy_tls in [false, true] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        // Characters with a meaning in URLs, Basic credentials or percent-encoding.
        let manners = ProxyManners::Credentials("user:p@s#s:/?% 密".to_owned());
        let proxy = match proxy_tls {
            true => ConnectProxy::start_tls(manners).await,
            false => ConnectProxy::start(manners).await,
        };
        let url = proxy.url_with("user:p%40s%23s:%2f%3F%25%20%E5%AF%86");
        let client = through(&server, &url).build().unwrap();
        let ended = client.send(terminate("12000")).await;
        ended.unwrap_or_else(|e| panic!("{proxy_tls}: {}", chain(&e)));
        assert_eq!(server.plan_state("12000"), Some(PlanState::Terminated));
        assert_eq!(proxy.tunnels(), 1);
    }
}

#[tokio::test]
async fn an_exception_goes_past_the_proxy() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    for (except, tunnels) in [("example.com", 1), ("127.0.0.0/8", 1), ("*", 1)] {
        let through = Proxy::new(proxy.url()).unwrap().except(except);
        let client = builder(&server, &server.base_url()).proxy(through).build().unwrap();
        // The first client uses the proxy, the others do not: the count does not change.
        client.send(list()).await.unwrap();
        assert_eq!(proxy.tunnels(), tunnels, "{except}");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_status() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    for (status, hint) in [
        (302, "no proxy for CONNECT"),
        (400, "log of the proxy"),
        (401, "user and password of the proxy"),
        (403, "CONNECT pass to this host"),
        (407, "user and password of the proxy"),
        (429, "slow down"),
        (502, "does not reach this host"),
        (503, "does not reach this host"),
    ] {
        let proxy = ConnectProxy::start(ProxyManners::Refuse(status)).await;
        let (error, shown) = refused(through(&server, &proxy.url_with("user:wrong-pa55"))).await;
        let connect = connect_error(&error);
        let authority = proxy.url().replace("http://", "");
        assert_eq!(connect.stage(), ConnectStage::Proxy, "{shown}");
        assert_eq!(connect.proxy_status().map(|s| s.as_u16()), Some(status), "{shown}");
        assert_eq!(connect.proxy(), Some(authority.as_str()), "{shown}");
        assert_eq!(error.status(), None, "it is not WeChat Pay's");
        let expected = format!("(proxy): through the proxy {authority}, which answered {status}");
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert!(error.hint().contains(hint), "{shown}");
        assert!(!format!("{error:?} {shown}").contains("wrong-pa55"), "{error:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_hangs_or_is_not_there() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let proxy = ConnectProxy::start(ProxyManners::Hang).await;
    let authority = proxy.url().replace("http://", "");
    let client = through(&server, &proxy.url()).connect_timeout(Duration::from_millis(200));
    let (error, shown) = refused(client).await;
    assert!(matches!(error, Error::Timeout(_)), "{shown}");
    assert!(shown.contains(&format!("{authority} (proxy)")), "{shown}");

    let gone = proxy.url();
    drop(proxy);
    tokio::task::yield_now().await;
    let (error, shown) = refused(through(&server, &gone)).await;
    let connect = connect_error(&error);
    assert_eq!((connect.stage(), connect.proxy_status()), (ConnectStage::Proxy, None), "{shown}");
    assert_eq!(connect.proxy(), Some(authority.as_str()));
    assert!(error.hint().contains("address and port of the proxy"), "{shown}");
}

#[tokio::test]
async fn what_lies_behind_the_proxy_is_told_apart_from_it() {
    let server = WireServer::start_tls(ServerTls::WrongHost).await;
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    let (error, shown) = refused(through(&server, &proxy.url())).await;
    let connect = connect_error(&error);
    assert_eq!((connect.stage(), connect.proxy_status()), (ConnectStage::Tls, None), "{shown}");
    assert!(shown.contains("(tls): through the proxy 127.0.0.1:"), "{shown}");
    assert_eq!(proxy.tunnels(), 1, "no other address of the proxy would help");
}

#[test]
fn a_url_with_a_raw_password_is_refused() {
    let error = Proxy::new("http://user:pa#ss@proxy.example:3128").unwrap_err();
    assert_eq!(error, ConfigError::ProxyNotEncoded);
    assert!(error.to_string().contains("percent-encoded"), "{error}");
    assert!(error.hint().contains("%23"), "{}", error.hint());
}

#[tokio::test]
#[ignore = "needs tinyproxy: run scripts/test"]
async fn tinyproxy_opens_a_tunnel() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let port = server.address().port();
    let proxy = Tinyproxy::start(&["BasicAuth user pass-word_1", &format!("ConnectPort {port}")]);
    let client = through(&server, &proxy.url_with("us%65r:pass-word%5F1")).build().unwrap();
    let response = client.send(list()).await;
    response.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(server.journal().len(), 1);
}

#[tokio::test]
#[ignore = "needs tinyproxy: run scripts/test"]
async fn tinyproxy_refuses_and_is_named_with_its_status() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let port = server.address().port();
    let open = format!("ConnectPort {port}");
    let unreachable = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (settings, user, port, status, hint) in [
        (vec!["BasicAuth user pa55", &open], "user:wrong@", port, 401, "user and password"),
        (vec!["BasicAuth user pa55", &open], "", port, 407, "user and password"),
        (vec!["ConnectPort 1"], "", port, 403, "CONNECT pass to this host"),
        (vec![], "", unreachable.port(), 500, "does not reach this host"),
    ] {
        let proxy = Tinyproxy::start(&settings);
        let url = proxy.url().replace("://", &format!("://{user}"));
        let client = builder(&server, &format!("https://127.0.0.1:{port}"));
        let (error, shown) = refused(client.proxy(Proxy::new(url).unwrap())).await;
        let connect = connect_error(&error);
        assert_eq!(connect.proxy_status().map(|s| s.as_u16()), Some(status), "{shown}");
        assert!(error.hint().contains(hint), "{shown}");
    }
    assert_eq!(server.connections(), 0);
}
