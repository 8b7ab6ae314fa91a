//! Subscribers and recorders that panic: what is watched is as it would be unwatched.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::subscriber::Interest;
use tracing::{Event, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Plan, Point, ServerTls, WireServer};
use wxpay_tests::builder;
use wxpay_tests::requests::{list, terminate};
use wxpay_tests::until::until;
use wxpay_transport::{Backoff, BaseUrl, Error, Failover, Outcome, Transport};

use super::panics::{Panics, client};

/// Panics in the selected method of a subscriber.
impl<S: Subscriber> Layer<S> for Panics {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        self.asked();
        true
    }

    fn on_new_span(&self, _: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.asked();
    }

    fn on_record(&self, _: &span::Id, _: &span::Record<'_>, _: Context<'_, S>) {
        self.asked();
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.asked();
    }

    fn on_enter(&self, _: &span::Id, _: Context<'_, S>) {
        self.asked();
    }

    fn on_exit(&self, _: &span::Id, _: Context<'_, S>) {
        self.asked();
    }

    fn on_close(&self, _: span::Id, _: Context<'_, S>) {
        self.asked();
    }
}

impl CounterFn for Panics {
    fn increment(&self, _: u64) {
        self.asked();
    }

    fn absolute(&self, _: u64) {
        self.asked();
    }
}

impl GaugeFn for Panics {
    fn increment(&self, _: f64) {
        self.asked();
    }

    fn decrement(&self, _: f64) {
        self.asked();
    }

    fn set(&self, _: f64) {
        self.asked();
    }
}

impl HistogramFn for Panics {
    fn record(&self, _: f64) {
        self.asked();
    }
}

impl Recorder for Panics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.asked();
        Counter::from_arc(Arc::new(self.clone()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.asked();
        Gauge::from_arc(Arc::new(self.clone()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.asked();
        Histogram::from_arc(Arc::new(self.clone()))
    }
}

/// With a single dispatcher, `tracing` caches an event as disabled if a thread without a subscriber reaches
/// it first.
pub(super) fn other_subscriber() -> tracing::Dispatch {
    tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default())
}

/// Runs a function with a recorder or subscriber that panics, on this thread.
type Under = fn(Panics, &mut dyn FnMut());

const WATCHED: [(&str, Under); 2] = [
    ("recorder", |panics, run| metrics::with_local_recorder(&panics, run)),
    ("subscriber", |panics, run| {
        let subscriber = tracing_subscriber::registry().with(panics);
        tracing::subscriber::with_default(subscriber, run);
    }),
];

/// The result of a call, and whether it gets a 429 first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Story {
    Done,
    DoneAfter429,
    Refused,
    /// The response cannot be verified, so the outcome is unknown.
    Unverified,
    /// The connection breaks after the call was executed.
    Lost,
    /// No connection can be opened, so the breaker opens for the next call.
    NotSent,
}

impl Story {
    /// Runs the call; returns its result, and the number of attempts.
    async fn run(self, server: &WireServer) -> (Result<u16, Outcome>, usize) {
        let audit = Panics::at(0);
        let url = if self == Self::NotSent { "http://127.0.0.1:1" } else { &server.base_url() };
        let retry = if self == Self::NotSent { 1 } else { 2 };
        let client = builder(server, url)
            .audit(audit.clone())
            .retry(Backoff::new().first(Duration::from_millis(1)).attempts(retry))
            .failover(Failover::to(BaseUrl::new("http://127.0.0.1:2").unwrap()).after_failures(1))
            .max_concurrent_calls(1)
            .max_queued_calls(0)
            .build()
            .unwrap();
        let status = |status, code: &str| Misbehaviour::Status {
            status,
            body: ErrorBody::json(code, "told to"),
            signed: true,
            executed: false,
        };
        match self {
            Self::Done | Self::NotSent => {}
            Self::DoneAfter429 => server.misbehave_once(status(429, "RATELIMIT_EXCEEDED")),
            Self::Refused => server.misbehave_once(status(400, "PARAM_ERROR")),
            Self::Unverified => server.misbehave_once(Misbehaviour::UnsignedSuccess),
            Self::Lost => server.fault_once(Fault::new(Point::Executed, How::Close)),
        }
        server.add_plan(Plan::new("12000", "1004"));
        let ended = client.send(terminate("12000")).await;
        // A call that could not connect may not have been signed, and then has no record.
        let unsent = ended.as_ref().err().filter(|_| self == Self::NotSent);
        let attempts = unsent
            .and_then(Error::attempts)
            .map_or_else(|| audit.asked.load(Ordering::Relaxed), |attempts| attempts as usize);
        (ended.map(|r| r.status().as_u16()).map_err(|e| e.outcome()), attempts)
    }

    /// The expected result, the number of attempts, and the number of executions.
    fn expected(self) -> (Result<u16, Outcome>, usize, usize) {
        match self {
            Self::Done => (Ok(204), 1, 1),
            Self::DoneAfter429 => (Ok(204), 2, 1),
            Self::Refused => (Err(Outcome::Rejected), 1, 0),
            Self::Unverified | Self::Lost => (Err(Outcome::Unknown), 1, 1),
            Self::NotSent => (Err(Outcome::NotSent), 2, 0),
        }
    }
}

/// Panics of a recorder or a subscriber never change the result of a call.
#[test]
fn what_is_watched_is_as_it_would_be_unwatched() {
    let _other = other_subscriber();
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let others = others.unwrap();
    let server = others.block_on(WireServer::start_plain());
    let stories = [
        Story::Done,
        Story::DoneAfter429,
        Story::Refused,
        Story::Unverified,
        Story::Lost,
        Story::NotSent,
    ];
    // Once, and from this call on.
    let manners: [fn(usize) -> Panics; 2] = [Panics::at, Panics::from];
    for ((name, under), story) in WATCHED.iter().flat_map(|w| stories.map(|story| (w, story))) {
        for panics_at in manners {
            for at in 1.. {
                let (panics, before) = (panics_at(at), server.executions());
                let mut ended = None;
                under(panics.clone(), &mut || {
                    let here = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    ended = Some(here.unwrap().block_on(story.run(&server)));
                });
                let (ended, attempts) = ended.unwrap();
                let executions = server.executions() - before;
                let told = format!("{story:?}: the {name} panics ({:?})", panics.at);
                assert_eq!((ended, attempts, executions), story.expected(), "{told}");
                if panics.asked.load(Ordering::Relaxed) < at {
                    assert!(at > 3, "{told}");
                    break;
                }
            }
        }
    }
}

/// Dropped calls, and calls that propagate a panic, also end.
#[tokio::test]
async fn a_subscriber_is_no_danger_to_a_call_that_is_dropped() {
    let _other = other_subscriber();
    let server = WireServer::start_tls(ServerTls::Good).await;
    for (asked, is_dropped) in (1..40).flat_map(|at| [(at, true), (at, false)]) {
        let subscriber = tracing_subscriber::registry().with(Panics::from(asked));
        let _logging = tracing::subscriber::set_default(subscriber);
        let nonces = Panics::at(usize::from(!is_dropped));
        let (client, before) =
            (client(&server, |b| b.nonce_source(nonces)), server.journal().len());
        if is_dropped {
            server.fault_once(Fault::new(Point::Executed, How::Stall));
        }
        let call = tokio::spawn({
            let client = client.clone();
            async move { client.send(list()).await }
        });
        if is_dropped {
            until("the call was executed", || server.journal().len() > before).await;
            call.abort();
        }
        let error = call.await.expect_err("the call did not return normally");
        assert_eq!(error.is_cancelled(), is_dropped, "{error:?}");
        client.send(list()).await.unwrap();
    }
}
