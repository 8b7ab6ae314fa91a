//! Failed connections have sent nothing.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::filter::LevelFilter;
use wxpay_marketing::{DeliveryPlans, Error};
use wxpay_testing::{ServerTls, WireServer, ca_pem, client_config, server_config};
use wxpay_tests::log::Log;
use wxpay_tests::requests::list;
use wxpay_tests::{TestClient, builder, chain, own_process, plan_id};
use wxpay_transport::{
    Client, ConnectStage, ConnectionReuse, Delivery, Outcome, Proxy, Tls, Transport,
};

fn assert_not_connected(error: &Error, stage: ConnectStage, hint: &str) {
    let shown = format!("{} / {}", chain(error), error.hint());
    let Error::Transport(wxpay_transport::Error::Connect(connect)) = error else {
        panic!("{shown}")
    };
    assert_eq!(connect.stage(), stage, "{shown}");
    assert_eq!(error.delivery(), Delivery::NotSent, "{shown}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{shown}");
    assert!(error.may_retry(), "{shown}");
    assert!(error.hint().contains(hint), "{shown}");
}

async fn terminate(client: TestClient) -> Result<(), Error> {
    DeliveryPlans::new(client).terminate(&plan_id("12000")).await.map(|_| ())
}

#[tokio::test]
async fn a_port_where_nobody_listens() {
    let server = WireServer::start_plain().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = builder(&server, &format!("http://{free}")).build().unwrap();
    let error = terminate(client).await.unwrap_err();
    assert_not_connected(&error, ConnectStage::Tcp, "firewall");
}

#[tokio::test]
async fn a_name_that_nobody_knows() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, "https://no-such-host.invalid").build().unwrap();
    let error = terminate(client).await.unwrap_err();
    assert_not_connected(&error, ConnectStage::Dns, "name server");
}

#[tokio::test]
async fn certificates_that_do_not_fit() {
    for tls in [ServerTls::WrongHost, ServerTls::Expired] {
        let server = WireServer::start_tls(tls).await;
        let client = builder(&server, &server.base_url()).build().unwrap();
        let error = terminate(client).await.unwrap_err();
        assert_not_connected(&error, ConnectStage::Tls, "somebody else answers");
        assert_eq!(server.journal().len(), 0, "{tls:?}");
    }
}

#[tokio::test]
async fn an_authority_that_is_not_trusted() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    // With the platform's roots, which do not include the test's authority.
    let client = Client::builder(server.mchid(), server.signer(), server.key_ring())
        .base_url(server.base_url().parse().unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let error = terminate(client).await.unwrap_err();
    assert_not_connected(&error, ConnectStage::Tls, "trusted roots");
}

#[tokio::test]
async fn tls_to_a_server_that_speaks_none() {
    let server = WireServer::start_plain().await;
    let base_url = server.base_url().replace("http://", "https://");
    let client = builder(&server, &base_url).build().unwrap();
    let error = terminate(client).await.unwrap_err();
    assert_not_connected(&error, ConnectStage::Tls, "nothing was sent");
}

/// Sends these bytes in response to each handshake.
async fn peer(response: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // The first record begins with type, version and length.
                let mut hello = [0; 5];
                stream.read_exact(&mut hello).await?;
                let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
                stream.read_exact(&mut vec![0; length]).await?;
                stream.write_all(response).await?;
                stream.read_u8().await
            });
        }
    });
    format!("https://{address}")
}

/// A server that supports at most TLS 1.1 sends an alert, or selects 1.1 anyway.
#[tokio::test]
async fn an_old_version_of_tls() {
    const ALERT: &[u8] = b"\x15\x03\x02\x00\x02\x02\x46"; // Fatal, protocol_version.
    const SERVER_HELLO: &[u8] = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02\
        0123456789abcdef0123456789abcdef\x00\xc0\x13\x00"; // ECDHE-RSA-AES128-SHA.
    let server = WireServer::start_plain().await;
    for response in [ALERT, SERVER_HELLO] {
        let client = builder(&server, &peer(response).await).build().unwrap();
        let error = terminate(client).await.unwrap_err();
        assert_not_connected(&error, ConnectStage::Tls, "nothing was sent");
    }
}

#[tokio::test]
async fn a_server_that_speaks_http_2_alone() {
    let server = WireServer::start_plain().await;
    let mut config = server_config(ServerTls::Good);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            // The server's preface: its settings.
            let _ = stream.write_all(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
            let _ = stream.read_to_end(&mut heard).await;
        }
        heard
    });
    let client = builder(&server, &format!("https://{address}")).build().unwrap();
    let error = terminate(client).await.unwrap_err();
    assert_not_connected(&error, ConnectStage::Tls, "nothing was sent");
    assert_eq!(heard.await.unwrap(), b"", "no request is sent to what may not understand it");
}

#[tokio::test]
async fn a_client_configuration_of_ones_own() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let mut config = client_config();
    // With ALPN left in place, the server could select a protocol that the client does not support.
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = builder(&server, &server.base_url()).tls(config).build().unwrap();
    terminate(client).await.unwrap();
}

/// The session store of a client has room for all connections. Each connection carries one call, and is
/// closed.
#[tokio::test]
async fn calls_that_come_at_once_go_on_with_sessions() {
    const CALLS: usize = 32;
    own_process!();
    // With a single dispatcher, `tracing` caches an event as disabled if a thread without a subscriber
    // reaches it first.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    for tls in [ServerTls::Good, ServerTls::Tls12] {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::DEBUG)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let server = WireServer::start_tls(tls).await;
        let client = builder(&server, &server.base_url())
            .tls(Tls::roots_pem(ca_pem().as_bytes()).unwrap())
            .connection_reuse(ConnectionReuse::None)
            .build()
            .unwrap();
        let handshakes = |kind: &str| {
            let kind = format!("tls=\"{kind}\"");
            log.text().lines().filter(|line| line.contains(&kind)).count()
        };
        let mut full = 0;
        for round in 0..4 {
            let call = |_| {
                let client = client.clone();
                async move { client.send(list()).await.map(|_| ()) }
            };
            let ended = (0..CALLS).map(call).collect::<JoinSet<_>>().join_all().await;
            assert!(ended.iter().all(Result::is_ok), "{tls:?}: {ended:?}");
            // After two rounds there is a session for each connection, however many were opened in advance
            // and not used.
            if round < 2 {
                full = handshakes("full");
            }
            assert_eq!(handshakes("full"), full, "{tls:?}, round {round}");
        }
        assert!(handshakes("resumed") >= CALLS, "{tls:?}: {}", log.text());
    }
}
