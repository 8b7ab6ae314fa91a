//! Host names with several addresses, some of which do not work.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use wxpay_auth::{FileKeySigner, KeyRing};
use wxpay_testing::{ConnectProxy, ProxyManners, ServerTls, WireServer};
use wxpay_tests::black_hole::{BlackHole, mute};
use wxpay_tests::requests::list;
use wxpay_tests::switchboard::Switchboard;
use wxpay_tests::{builder, chain};
use wxpay_transport::{
    BaseUrl, ClientBuilder, ConnectStage, Delivery, Error, Proxy, TimeoutKind, Transport,
};

/// The name in the certificate of the server.
const NAME: &str = "gateway.example";

/// The address of the server.
const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn local(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Returns a client for a server whose name has these addresses.
fn client_for(server: &WireServer, addresses: &[IpAddr]) -> ClientBuilder<FileKeySigner, KeyRing> {
    let board = Switchboard::default();
    board.connect_all(NAME, addresses);
    builder(server, &format!("https://{NAME}:{}", server.address().port())).resolver(board)
}

#[tokio::test]
async fn one_address_that_works_is_enough_wherever_it_stands() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let port = server.address().port();
    let _silent = [2, 3].map(|last| BlackHole::at(local(last), port));
    let (a, b) = (local(2), local(3));
    for addresses in [[GOOD, a, b], [a, GOOD, b], [a, b, GOOD]] {
        let client = client_for(&server, &addresses).build().unwrap();
        client.send(list()).await.unwrap_or_else(|e| panic!("{addresses:?}: {}", chain(&e)));
    }
    assert_eq!(server.journal().len(), 3);
}

#[tokio::test]
async fn an_ipv6_that_leads_nowhere_is_passed_by() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    let _silent = BlackHole::at(v6, server.address().port());
    let client = client_for(&server, &[v6, GOOD]).build().unwrap();
    client.send(list()).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
}

#[tokio::test]
async fn many_silent_addresses_have_their_part_of_a_short_time() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let port = server.address().port();
    let silent: Vec<_> = (2..22).map(local).collect();
    let _silent: Vec<_> = silent.iter().map(|address| BlackHole::at(*address, port)).collect();
    let addresses: Vec<_> = silent.into_iter().chain([GOOD]).collect();
    // A head start of 300 ms for each address would exceed the connect timeout.
    let client = client_for(&server, &addresses).connect_timeout(Duration::from_secs(3));
    let client = client.build().unwrap();
    client.send(list()).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
}

#[tokio::test]
async fn an_address_that_failed_is_tried_last() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let port = server.address().port();
    let (first, second) =
        (mute((local(2), port).into()).await, mute((local(3), port).into()).await);
    let client = client_for(&server, &[local(2), local(3), GOOD]).build().unwrap();
    let taken = || (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
    // The other addresses accept connections but send nothing: each gets a share of the time.
    client.send(list()).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!((taken(), server.connections()), ((1, 1), 1));
    server.disconnect(wxpay_testing::How::Close);
    while server.connections() == 1 {
        // Wait until the client notices the closed connection.
        let _ = client.send(list()).await;
    }
    assert_eq!(taken(), (1, 1), "the working address is tried first");
}

#[tokio::test]
async fn an_error_names_the_host_and_its_addresses() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let port = server.address().port();
    let _silent = BlackHole::at(local(2), port);
    let authority = format!("{NAME}:{port}");

    let client = client_for(&server, &[local(2), local(4)]);
    let client = client.connect_timeout(Duration::from_secs(2)).build().unwrap();
    let error = client.send(list()).await.unwrap_err();
    let shown = chain(&error);
    let Error::Timeout(timeout) = &error else { panic!("{shown}") };
    assert_eq!((timeout.kind(), error.delivery()), (TimeoutKind::Connect, Delivery::NotSent));
    for expected in [
        format!("{authority} (tcp)"),
        format!("127.0.0.2:{port} does not answer"),
        format!("127.0.0.4:{port} failed: connection refused"),
    ] {
        assert!(shown.contains(&expected), "{expected}: {shown}");
    }

    let client = client_for(&server, &[local(4), local(5)]).build().unwrap();
    let error = client.send(list()).await.unwrap_err();
    let Error::Connect(connect) = &error else { panic!("{error:?}") };
    assert_eq!(connect.stage(), ConnectStage::Tcp);
    assert_eq!(connect.addresses(), [4, 5].map(|last| SocketAddr::from((local(last), port))));
    assert_eq!(
        error.to_string(),
        format!("no connection to {authority} (tcp): 127.0.0.4:{port}, 127.0.0.5:{port}")
    );
}

#[tokio::test]
async fn a_proxy_has_several_addresses_as_well() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    let port: u16 = proxy.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let _silent = BlackHole::at(local(2), port);
    let taken = mute((local(3), port).into()).await;
    let board = Switchboard::default();
    board.connect_all("proxy.example", &[local(2), local(3), GOOD]);
    let client = builder(&server, &format!("https://{NAME}:{}", server.address().port()))
        .resolver(board)
        .proxy(Proxy::new(format!("http://proxy.example:{port}")).unwrap())
        .build()
        .unwrap();
    client.send(list()).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!((proxy.tunnels(), taken.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_not_asked_at_its_other_addresses() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let proxy = ConnectProxy::start(ProxyManners::Refuse(407)).await;
    let port: u16 = proxy.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let other = mute((local(2), port).into()).await;
    let board = Switchboard::default();
    board.connect_all("proxy.example", &[GOOD, local(2)]);
    let client = builder(&server, &format!("https://{NAME}:{}", server.address().port()))
        .resolver(board)
        .proxy(Proxy::new(format!("http://user:wrong@proxy.example:{port}")).unwrap())
        .build()
        .unwrap();
    // Sending a wrong password repeatedly locks the user out.
    let error = client.send(list()).await.unwrap_err();
    let Error::Connect(connect) = &error else { panic!("{error:?}") };
    assert_eq!(connect.proxy_status().map(|status| status.as_u16()), Some(407));
    assert_eq!(other.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn plain_http_to_localhost_stays_on_this_machine() {
    let server = WireServer::start_plain().await;
    let port = server.address().port();
    let elsewhere = mute((local(2), port).into()).await;
    let board = Switchboard::default();
    board.connect("localhost", local(2));
    for url in [format!("http://localhost:{port}"), format!("http://LOCALHOST:{port}")] {
        for base in [BaseUrl::new(&url).unwrap(), BaseUrl::dangerous_plain_http(&url).unwrap()] {
            let client = builder(&server, &server.base_url()).base_url(base);
            client.resolver(board.clone()).build().unwrap().send(list()).await.unwrap();
        }
    }
    assert_eq!((server.journal().len(), elsewhere.load(Ordering::Relaxed)), (4, 0));
}

#[tokio::test]
async fn plain_http_goes_through_no_proxy() {
    let server = WireServer::start_plain().await;
    let proxy = ConnectProxy::start(ProxyManners::Open).await;
    let port = server.address().port();
    let board = Switchboard::default();
    board.connect(NAME, GOOD);
    for url in [format!("http://127.0.0.1:{port}"), format!("http://{NAME}:{port}")] {
        let client = builder(&server, &server.base_url())
            .base_url(BaseUrl::dangerous_plain_http(url).unwrap())
            .resolver(board.clone())
            .proxy(Proxy::new(proxy.url()).unwrap());
        client.build().unwrap().send(list()).await.unwrap();
    }
    assert_eq!((server.journal().len(), proxy.tunnels()), (2, 0));
}
