//! Retries of calls: when, how often, and what is reported at the end.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Point, ServerTls, WireServer};
use wxpay_tests::requests::{list, terminate};
use wxpay_tests::{TestClient, builder};
use wxpay_transport::{
    Attempted, Backoff, ConnectionReuse, Delivery, Error, ExchangeFault, Outcome, Replay,
    RetryBudget, RetryPolicy, Transport,
};

const REPLAYS: [Replay; 3] = [Replay::Safe, Replay::Keyed, Replay::Never];

fn client(server: &WireServer) -> TestClient {
    let backoff = Backoff::new().first(Duration::from_millis(1));
    builder(server, &server.base_url()).retry(backoff).build().unwrap()
}

fn status(status: u16, code: &str) -> Misbehaviour {
    let body = ErrorBody::json(code, "told to");
    Misbehaviour::Status { status, body, signed: true, executed: false }
}

#[tokio::test]
async fn what_was_not_accepted_is_sent_again_whatever_it_is() {
    for replay in REPLAYS {
        let server = WireServer::start_plain().await;
        server.misbehave_times(2, status(429, "RATELIMIT_EXCEEDED"));
        client(&server).send(list().with_replay(replay)).await.unwrap();
        assert_eq!(server.journal().len(), 3, "{replay}");
    }
}

#[tokio::test]
async fn what_may_have_happened_is_sent_again_only_where_that_is_safe() {
    let accepted = Misbehaviour::UnexpectedSuccess { status: 202, body: String::new() };
    for (misbehaviour, outcome) in [
        (status(500, "SYSTEM_ERROR"), Some(Outcome::Unknown)),
        (status(503, "SERVICE_UNAVAILABLE"), Some(Outcome::Unknown)),
        (Misbehaviour::UnsignedSuccess, Some(Outcome::Unknown)),
        (Misbehaviour::Probe, Some(Outcome::Unknown)),
        (accepted, None),
    ] {
        for replay in REPLAYS {
            let server = WireServer::start_plain().await;
            server.misbehave_once(misbehaviour.clone());
            let ended = client(&server).send(list().with_replay(replay)).await;
            let shown = format!("{misbehaviour:?} {replay} {ended:?}");
            if replay == Replay::Never {
                assert_eq!(ended.err().map(|error| error.outcome()), outcome, "{shown}");
                assert_eq!(server.journal().len(), 1, "{shown}");
            } else {
                assert_eq!(ended.unwrap().status(), 200, "{shown}");
                assert_eq!(server.journal().len(), 2, "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_refused_is_not_sent_again() {
    for refused in [status(400, "PARAM_ERROR"), status(403, "NO_AUTH"), status(404, "NOT_FOUND")] {
        let server = WireServer::start_plain().await;
        server.misbehave(refused);
        let error = client(&server).send(list()).await.unwrap_err();
        assert_eq!((error.outcome(), server.journal().len()), (Outcome::Rejected, 1));
    }
}

#[tokio::test]
async fn each_attempt_is_a_request_of_its_own() {
    let server = WireServer::start_plain().await;
    server.misbehave_times(2, status(500, "SYSTEM_ERROR"));
    client(&server).send(list()).await.unwrap();
    let journal = server.journal();
    let signatures: HashSet<_> = journal.iter().map(|entry| entry.authorization()).collect();
    assert_eq!((journal.len(), signatures.len()), (3, 3));
    // The gateway refuses a nonce that was used before.
    assert!(journal.iter().all(|entry| *entry.verdict() == wxpay_testing::Verdict::Accepted));
}

#[tokio::test]
async fn attempts_are_counted_and_the_last_one_is_told() {
    let server = WireServer::start_plain().await;
    server.misbehave(status(500, "SYSTEM_ERROR"));
    let error = client(&server).send(list()).await.unwrap_err();
    assert_eq!((error.attempts(), server.journal().len()), (Some(3), 3));
    assert_eq!(error.status().map(|status| status.as_u16()), Some(500));
}

#[tokio::test]
async fn an_unknown_outcome_is_not_forgotten_by_what_comes_after() {
    // Executed, but the response is lost; then refused.
    let server = WireServer::start_plain().await;
    server.fault_once(Fault::new(Point::Executed, How::Close));
    let request = terminate("12000").with_replay(Replay::Keyed);
    let error = client(&server).send(request).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(400), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.hint().contains("an earlier attempt was sent"), "{}", error.hint());
    assert_eq!(server.executions(), 1);

    // Executed, but the response is lost; then no connection can be opened. With TLS this is known before
    // anything is written: the last attempt by itself was not sent.
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.fault_once(Fault::new(Point::Executed, How::Close));
    server.fault_once(Fault::new(Point::Accept, How::Close));
    server.fault_once(Fault::new(Point::Accept, How::Close));
    let request = terminate("12000").with_replay(Replay::Keyed);
    let error = client(&server).send(request).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert_eq!(error.attempts(), Some(3));
    assert_eq!((error.delivery(), error.outcome()), (Delivery::Unknown, Outcome::Unknown));
    assert!(error.hint().contains("an earlier attempt was sent"), "{}", error.hint());
    assert_eq!((server.executions(), server.requests_per_connection()), (1, vec![1, 0, 0]));
}

/// Counts how often it is called, and never retries.
#[derive(Debug, Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl RetryPolicy for Counting {
    fn wait(&self, _: &Attempted<'_>) -> Option<Duration> {
        self.0.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[tokio::test]
async fn a_policy_is_asked_only_where_trying_again_does_no_harm() {
    let counting = Counting::default();
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).retry(counting.clone()).build().unwrap();
    let asked = || counting.0.load(Ordering::Relaxed);

    client.send(list()).await.unwrap();
    server.misbehave_once(status(500, "SYSTEM_ERROR"));
    client.send(list().with_replay(Replay::Never)).await.unwrap_err();
    // The connection has carried another request, so the refusal is confirmed by a second request.
    server.misbehave_times(2, status(400, "PARAM_ERROR"));
    client.send(list()).await.unwrap_err();
    assert_eq!(asked(), 0);
    server.misbehave_once(status(500, "SYSTEM_ERROR"));
    client.send(list()).await.unwrap_err();
    server.misbehave_once(status(429, "RATELIMIT_EXCEEDED"));
    client.send(list().with_replay(Replay::Never)).await.unwrap_err();
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn a_wait_that_does_not_fit_ends_the_call() {
    #[derive(Debug)]
    struct Patient;
    impl RetryPolicy for Patient {
        fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration> {
            Some(attempted.left())
        }
    }
    let server = WireServer::start_plain().await;
    server.misbehave(status(429, "RATELIMIT_EXCEEDED"));
    let client = builder(&server, &server.base_url()).retry(Patient).build().unwrap();
    let error = client.send(list()).await.unwrap_err();
    assert_eq!((error.attempts(), error.outcome()), (Some(1), Outcome::Rejected));
}

#[tokio::test]
async fn an_outage_is_not_multiplied() {
    let server = WireServer::start_plain().await;
    server.misbehave(status(503, "SERVICE_UNAVAILABLE"));
    let client = builder(&server, &server.base_url())
        .retry(Backoff::new().first(Duration::from_millis(1)))
        .retry_budget(RetryBudget::new(10, 0.1))
        .build()
        .unwrap();
    for _ in 0..50 {
        client.send(list()).await.unwrap_err();
    }
    assert_eq!(server.journal().len(), 60, "50 attempts, and 10 retries");
}

/// Keeps a connection to the server, and closes it so that the client cannot notice before it writes.
async fn kept_and_closed(server: &WireServer, client: &TestClient) {
    client.send(list()).await.unwrap();
    assert_eq!(client.idle_connections(), 1);
    server.fault_once(Fault::new(Point::RequestBytes(1), How::Close));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_told_apart() {
    for replay in REPLAYS {
        let server = WireServer::start_plain().await;
        let reuse = ConnectionReuse::All;
        let builder = builder(&server, &server.base_url()).connection_reuse(reuse);
        let client = builder.build().unwrap();
        kept_and_closed(&server, &client).await;
        let error = client.send(list().with_replay(replay)).await.unwrap_err();
        let Error::Exchange(exchange) = &error else { panic!("{error:?}") };
        assert!(exchange.is_stale(), "{error:?}");
        assert_ne!(exchange.fault(), ExchangeFault::NotHttp);
        assert_eq!(error.outcome(), Outcome::Unknown, "HTTP/1.1 gives no more information");

        // A closed new connection is not stale, nor is a connection on which a response has begun.
        server.fault_once(Fault::new(Point::RequestBytes(1), How::Close));
        let error = client.send(list().with_replay(replay)).await.unwrap_err();
        assert!(!matches!(&error, Error::Exchange(e) if e.is_stale()), "{error:?}");
        client.send(list()).await.unwrap();
        server.fault_once(Fault::new(Point::ResponseBytes(5), How::Close));
        let error = client.send(list().with_replay(replay)).await.unwrap_err();
        assert!(!matches!(&error, Error::Exchange(e) if e.is_stale()), "{error:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_those_nothing_who_may_repeat() {
    for (replay, is_answered) in
        [(Replay::Safe, true), (Replay::Keyed, true), (Replay::Never, false)]
    {
        let server = WireServer::start_plain().await;
        // The backoff would be a minute, and there is no retry budget.
        let backoff =
            Backoff::new().first(Duration::from_secs(60)).longest(Duration::from_secs(60));
        let client = builder(&server, &server.base_url())
            .retry(backoff)
            .connection_reuse(ConnectionReuse::All)
            .retry_budget(RetryBudget::new(0, 0.0))
            .build()
            .unwrap();
        kept_and_closed(&server, &client).await;
        let ended = client.send(list().with_replay(replay)).await;
        assert_eq!(ended.is_ok(), is_answered, "{replay}");
        let connections = server.requests_per_connection();
        assert_eq!(connections, if is_answered { vec![1, 1] } else { vec![1] });
    }
}
