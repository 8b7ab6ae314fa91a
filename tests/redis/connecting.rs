//! Passwords, TLS, and several addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use wxpay_tests::black_hole::{BlackHole, mute};
use wxpay_tests::log::Log;
use wxpay_tests::redis_server::{RedisServer, free_port};
use wxpay_tests::switchboard::Switchboard;
use wxpay_transport::rustls::pki_types::PrivateKeyDer;
use wxpay_transport::rustls::{ClientConfig, RootCertStore, crypto};

use super::limiter::{SAFETY, key, pass, patient};

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_password_is_given_and_never_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let server = RedisServer::start_with(&["--requirepass", "pa55:w@rd"]);
    let host = format!("127.0.0.1:{}", server.port());

    let knows_it = patient(&format!("redis://:pa55%3Aw%40rd@{host}"), 1);
    pass(&knows_it, key("x", 1000)).await;
    assert!(!knows_it.is_degraded());
    for (url, why) in [
        (format!("redis://:pa55other@{host}"), "authentication failed"),
        (format!("redis://user:pa55other@{host}"), "authentication failed"),
        (format!("redis://{host}"), "NOAUTH"),
    ] {
        let limiter = Arc::into_inner(patient(&url, 1)).unwrap().rest(Duration::ZERO);
        let before = log.text().matches(" WARN ").count();
        for _ in 0..10 {
            pass(&limiter, key("x", 1000)).await;
        }
        assert!(limiter.is_degraded(), "{why}");
        let text = log.text();
        assert_eq!(text.matches(" WARN ").count(), before + 1, "one line in total: {text}");
        assert!(
            text.lines().rev().any(|line| line.contains(" WARN ") && line.contains(why)),
            "{text}"
        );
        assert!(!format!("{limiter:?} {limiter:#?}").contains("pa55"), "{limiter:?}");
    }
    assert!(!log.text().contains("pa55"), "{}", log.text());
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn tls_is_spoken_and_the_server_is_verified() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = std::env::temp_dir().join(format!("wxpay-redis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (certificate, private_key) = (directory.join("tls.pem"), directory.join("tls.key"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&private_key, pair.signing_key.serialize_pem()).unwrap();
    assert!(PrivateKeyDer::try_from(pair.signing_key.serialize_der()).is_ok());
    let port = free_port().to_string();
    let (certificate, private_key) = (certificate.to_str().unwrap(), private_key.to_str().unwrap());
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        private_key,
        "--tls-ca-cert-file",
        certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = format!("rediss://localhost:{port}");
    let trusting = Arc::into_inner(patient(&url, 1)).unwrap().tls(config).unwrap();
    pass(&trusting, key("x", 10)).await;
    assert!(!trusting.is_degraded());
    assert_eq!(server.run(&["DBSIZE"]), "1");
    // The platform does not trust this authority.
    let by_default = patient(&url, 1);
    pass(&by_default, key("y", 10)).await;
    assert!(by_default.is_degraded());
    assert_eq!(server.run(&["DBSIZE"]), "1");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn an_address_that_says_nothing_keeps_nobody_from_the_others() {
    let server = RedisServer::start();
    let local = |last| IpAddr::from([127, 0, 0, last]);
    let _silent = BlackHole::at(local(2), server.port());
    let taken = mute((local(3), server.port()).into()).await;
    let board = Switchboard::default();
    board.connect_all("redis.example", &[local(2), local(3), local(1)]);
    let url = format!("redis://redis.example:{}", server.port());
    let limiter = Arc::into_inner(patient(&url, 1)).unwrap().resolver(board).rest(Duration::ZERO);
    let reached = async {
        while server.run(&["DBSIZE"]) != "1" {
            pass(&limiter, key("x", 1000)).await;
        }
    };
    tokio::time::timeout(SAFETY, reached).await.expect("the last address is reached");
    let before = taken.load(Ordering::Relaxed);
    assert!(before >= 1);

    // The next connection starts with the working address.
    server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    server.run(&["FLUSHALL"]);
    let reached = async {
        while server.run(&["DBSIZE"]) != "1" {
            pass(&limiter, key("y", 1000)).await;
        }
    };
    tokio::time::timeout(SAFETY, reached).await.expect("it is reached again");
    assert_eq!(taken.load(Ordering::Relaxed), before);
}
