//! Metrics and logs of attempts, moves and breakers.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tracing_subscriber::util::SubscriberInitExt;
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Point, ServerTls, WireServer};
use wxpay_tests::log::Log;
use wxpay_tests::requests::list;
use wxpay_tests::until::until;
use wxpay_tests::{builder, own_process};
use wxpay_transport::{Backoff, BaseUrl, Failover, Replay, Transport};

/// Reads all metrics: names, labels and values. The value of a histogram is its count. Ports are left out.
fn read(snapshotter: &Snapshotter, main: &str, standby: &str) -> BTreeMap<String, f64> {
    let snapshot = snapshotter.snapshot().into_vec();
    let values = snapshot.into_iter().map(|(key, _, _, value)| {
        let (name, labels) = key.key().clone().into_parts();
        let labels: Vec<_> = labels.iter().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{} {}", name.as_str(), labels.join(" "));
        let value = match value {
            DebugValue::Counter(count) => f64::from(u32::try_from(count).unwrap()),
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => f64::from(u32::try_from(values.len()).unwrap()),
        };
        (name.trim().replace(main, "MAIN").replace(standby, "STANDBY"), value)
    });
    values.collect()
}

#[tokio::test]
async fn attempts_outcomes_moves_and_breakers_can_be_watched() {
    // The recorder is global to the process.
    own_process!();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _logging = subscriber.set_default();

    let main = WireServer::start_tls(ServerTls::Good).await;
    let wechat_pay = main.wechat_pay().clone();
    let standby = WireServer::builder().tls(ServerTls::Good).wechat_pay(wechat_pay);
    let standby = standby.start().await.unwrap();
    let names = [main.address().to_string(), standby.address().to_string()];
    let client = builder(&main, &main.base_url())
        .failover(Failover::to(BaseUrl::new(standby.base_url()).unwrap()).after_failures(1))
        .retry(Backoff::new().first(Duration::from_millis(1)))
        .max_concurrent_calls(1)
        .max_queued_calls(0)
        .build()
        .unwrap();
    let read = || read(&snapshotter, &names[0], &names[1]);

    client.send(list()).await.unwrap();
    let (body, signed) = (ErrorBody::json("SYSTEM_ERROR", "told to"), true);
    main.misbehave_once(Misbehaviour::Status { status: 500, body, signed, executed: false });
    client.send(list().with_replay(Replay::Never)).await.unwrap_err();
    let both = tokio::join!(client.send(list()), client.send(list()));
    assert!(both.1.is_err(), "there is one place, and no queue");

    // The caller cancels the call once its request has arrived.
    main.misbehave_once(Misbehaviour::Slow(Duration::from_secs(600)));
    let before = main.journal().len();
    tokio::select! {
        ended = client.send(list()) => panic!("{ended:?}"),
        () = until("the request arrived", || main.journal().len() > before) => {}
    }

    // `snapshot` resets counters and histograms.
    let [attempts, trips] = ["wxpay_attempts_total", "wxpay_round_trip_seconds"].map(str::to_owned);
    let expected: BTreeMap<_, _> = [
        (format!("{attempts} operation=delivery_plans.list host=MAIN outcome=verified"), 2.0),
        (format!("{attempts} operation=delivery_plans.list host=MAIN outcome=unknown"), 2.0),
        (format!("{trips} operation=delivery_plans.list host=MAIN"), 4.0),
        ("wxpay_sign_seconds operation=delivery_plans.list".to_owned(), 4.0),
        ("wxpay_connections_total host=MAIN tls=full purpose=call".to_owned(), 1.0),
        ("wxpay_connections_total host=MAIN tls=resumed purpose=call".to_owned(), 1.0),
        ("wxpay_calls_total operation=delivery_plans.list outcome=verified".to_owned(), 2.0),
        ("wxpay_calls_total operation=delivery_plans.list outcome=unknown".to_owned(), 1.0),
        ("wxpay_calls_total operation=delivery_plans.list outcome=not_sent".to_owned(), 1.0),
        ("wxpay_calls_total operation=delivery_plans.list outcome=dropped".to_owned(), 1.0),
        ("wxpay_overloads_total operation=delivery_plans.list what=calls".to_owned(), 1.0),
    ]
    .into();
    assert_eq!(read(), expected);

    main.fault_always(Some(Fault::new(Point::Accept, How::Close)));
    main.fault_once(Fault::new(Point::Executed, How::Close));
    client.send(list().with_replay(Replay::Never)).await.unwrap_err();
    client.send(list()).await.unwrap();
    let moved = read();
    let value = |name: &str| moved.get(name).copied();
    assert_eq!(value("wxpay_failovers_total from=MAIN to=STANDBY"), Some(1.0), "{moved:?}");
    assert_eq!(value("wxpay_breaker_state host=MAIN"), Some(2.0), "{moved:?}");
    let not_sent = "wxpay_attempts_total operation=delivery_plans.list host=MAIN outcome=not_sent";
    assert_eq!(value(not_sent), Some(1.0), "{moved:?}");

    let logged = log.text();
    for (what, host) in [
        ("calls leave this domain: it keeps failing", &names[0]),
        ("the next attempt goes to the other domain", &names[1]),
        ("an attempt ended", &names[0]),
        ("an attempt ended", &names[1]),
    ] {
        let is_there =
            logged.lines().any(|line| line.contains(what) && line.contains(host.as_str()));
        assert!(is_there, "{what} {host}\n{logged}");
    }
}
