//! A store that fails in each of its steps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wxpay_auth::{ApiV3Key, KeyRing};
use wxpay_notification::{
    Begun, Claim, Handled, MemoryReplayStore, NotificationEndpoint, Outcome, ReplayStore,
    ReplayStoreError, async_trait,
};
use wxpay_testing::OutgoingNotification;

use crate::receiver::{RESOURCE, receiver, wechat_pay};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Works,
    Fails,
    Hangs,
    Panics,
    /// It does what it is asked to, and the response is lost.
    Mutters,
}

/// A store in memory, whose steps can be made to fail.
#[derive(Debug)]
struct Store {
    memory: MemoryReplayStore,
    begin: Mutex<Manner>,
    done: Mutex<Manner>,
    release: Mutex<Manner>,
    dones: AtomicUsize,
}

impl Store {
    fn new(begin: Manner, done: Manner, release: Manner) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryReplayStore::new(),
            begin: Mutex::new(begin),
            done: Mutex::new(done),
            release: Mutex::new(release),
            dones: AtomicUsize::new(0),
        })
    }

    fn mend(&self) {
        for step in [&self.begin, &self.done, &self.release] {
            *step.lock().unwrap() = Manner::Works;
        }
    }
}

async fn step<T>(
    manner: Manner,
    works: impl Future<Output = Result<T, ReplayStoreError>>,
) -> Result<T, ReplayStoreError> {
    match manner {
        Manner::Works => works.await,
        Manner::Fails => Err(ReplayStoreError::unavailable("down")),
        Manner::Hangs => std::future::pending().await,
        Manner::Panics => panic!("the store panics"),
        Manner::Mutters => {
            works.await?;
            Err(ReplayStoreError::unavailable("no response"))
        }
    }
}

#[async_trait]
impl ReplayStore for Store {
    async fn begin(&self, claim: &Claim, hold: Duration) -> Result<Begun, ReplayStoreError> {
        let manner = *self.begin.lock().unwrap();
        step(manner, self.memory.begin(claim, hold)).await
    }

    async fn done(&self, claim: &Claim, keep: Duration) -> Result<bool, ReplayStoreError> {
        self.dones.fetch_add(1, Ordering::SeqCst);
        let manner = *self.done.lock().unwrap();
        step(manner, self.memory.done(claim, keep)).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), ReplayStoreError> {
        let manner = *self.release.lock().unwrap();
        step(manner, self.memory.release(claim)).await
    }
}

type Endpoint = NotificationEndpoint<KeyRing, ApiV3Key, Arc<Store>>;

fn on(store: &Arc<Store>) -> (Endpoint, OutgoingNotification) {
    let wechat_pay = wechat_pay();
    let endpoint = NotificationEndpoint::new(receiver(&wechat_pay), Arc::clone(store));
    (endpoint, wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE))
}

/// Sends a notification, and counts how often it is handed over.
async fn send(endpoint: &Endpoint, sent: &OutgoingNotification, count: &AtomicUsize) -> Handled {
    endpoint
        .handle(sent.request(), |_| async {
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<(), std::io::Error>(())
        })
        .await
}

fn status(handled: &Handled) -> u16 {
    handled.receipt().status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_handed_over_while_it_is_not_known_whether_it_was() {
    for manner in [Manner::Fails, Manner::Hangs, Manner::Panics, Manner::Mutters] {
        let store = Store::new(manner, Manner::Works, Manner::Works);
        let ((endpoint, sent), count) = (on(&store), AtomicUsize::new(0));
        for _ in 0..3 {
            let handled = send(&endpoint, &sent, &count).await;
            assert_eq!((status(&handled), count.load(Ordering::SeqCst)), (503, 0), "{manner:?}");
        }
        store.mend();
        // What it took is given back in the background, or has run out.
        tokio::time::sleep(Duration::from_secs(30)).await;
        for _ in 0..2 {
            let handled = send(&endpoint, &sent, &count).await;
            assert_eq!((status(&handled), count.load(Ordering::SeqCst)), (204, 1), "{manner:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_is_acknowledged_and_recorded_later() {
    for manner in [Manner::Fails, Manner::Mutters] {
        let store = Store::new(Manner::Works, manner, Manner::Works);
        let ((endpoint, sent), count) = (on(&store), AtomicUsize::new(0));
        let handled = send(&endpoint, &sent, &count).await;
        assert_eq!(status(&handled), 204);
        let outcome = handled.outcome();
        assert!(matches!(outcome, Outcome::HandedOver { is_recorded: false, .. }), "{outcome:?}");
        // Another sending meets the claim, or the record whose response was lost.
        let again = send(&endpoint, &sent, &count).await;
        let expected = if manner == Manner::Fails { 503 } else { 204 };
        assert_eq!((status(&again), count.load(Ordering::SeqCst)), (expected, 1), "{manner:?}");
        store.mend();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(store.dones.load(Ordering::SeqCst) > 1);
        // The claim has run out by now.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let again = send(&endpoint, &sent, &count).await;
        assert!(matches!(again.outcome(), Outcome::Duplicate), "{again:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1, "{manner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_or_panics_at_the_end_does_not_keep_the_response() {
    for manner in [Manner::Hangs, Manner::Panics] {
        let store = Store::new(Manner::Works, manner, Manner::Works);
        let ((endpoint, sent), count) = (on(&store), AtomicUsize::new(0));
        let begin = tokio::time::Instant::now();
        let handled = send(&endpoint, &sent, &count).await;
        assert_eq!((status(&handled), count.load(Ordering::SeqCst)), (204, 1), "{manner:?}");
        // By the paused clock.
        assert!(begin.elapsed() < Duration::from_secs(5), "{manner:?}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_cannot_be_given_back_runs_out() {
    for manner in [Manner::Fails, Manner::Hangs, Manner::Panics] {
        let store = Store::new(Manner::Works, Manner::Works, manner);
        let ((endpoint, sent), count) = (on(&store), AtomicUsize::new(0));
        let begin = tokio::time::Instant::now();
        let failed = endpoint.handle(sent.request(), |_| async { Err::<(), _>("no") }).await;
        assert!(matches!(failed.outcome(), Outcome::HandlerFailed(_)), "{failed:?}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{manner:?}: {:?}", begin.elapsed());
        let handled = send(&endpoint, &sent, &count).await;
        assert!(matches!(handled.outcome(), Outcome::InProgress), "{manner:?}: {handled:?}");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(status(&send(&endpoint, &sent, &count).await), 204);
        assert_eq!(count.load(Ordering::SeqCst), 1, "{manner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_four_seconds_and_is_then_dropped() {
    let store = Store::new(Manner::Works, Manner::Works, Manner::Works);
    let ((endpoint, sent), count) = (on(&store), AtomicUsize::new(0));
    let begin = tokio::time::Instant::now();
    let slow = endpoint.handle(sent.request(), |_| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<(), std::io::Error>(())
    });
    let late = slow.await;
    assert!(matches!(late.outcome(), Outcome::Late), "{late:?}");
    let took = begin.elapsed().as_millis();
    assert!((4000..=4001).contains(&took) && status(&late) == 503, "{took} ms: {late:?}");
    assert_eq!((store.dones.load(Ordering::SeqCst), count.load(Ordering::SeqCst)), (0, 0));
    // Its id was given back.
    assert_eq!(status(&send(&endpoint, &sent, &count).await), 204);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1, "the first one was dropped");
}
