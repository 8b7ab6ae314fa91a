//! Hands each notification over once, and responds in time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::time::Instant;
use wxpay_auth::{ResourceDecryptor, Verifier};
use wxpay_auth_core::internal::log;

use crate::error::ReceiveError;
use crate::handled::{Handled, HandlerError, Outcome};
use crate::held_id::HeldId;
use crate::notification::Notification;
use crate::panics::{Ended, run_until};
use crate::receiver::NotificationReceiver;
use crate::replay::{Begun, Claim, ReplayStore, ReplayStoreError};

/// WeChat Pay waits for 5 seconds.
const TIME_LIMIT: Duration = Duration::from_secs(4);
const LONGEST_TIME_LIMIT: Duration = Duration::from_millis(4500);
/// What recording the end may take after the time limit.
const GRACE: Duration = Duration::from_millis(400);
/// How long a response waits until the end is recorded.
const SETTLING: Duration = Duration::from_secs(1);
/// How long a claim lasts if its process dies.
const HOLD: Duration = Duration::from_secs(30);
/// Twice the time limit, and more.
const SHORTEST_HOLD: Duration = Duration::from_secs(10);
/// The longest documented schedule sends the last time after 9 hours and 6 minutes.
const KEEP: Duration = Duration::from_secs(86400);

/// Receives notifications (回调通知), hands each over once, and responds in time, behind any HTTP server.
///
/// | what | response | is it sent again? |
/// |---|---|---|
/// | handed over, or handed over before | 204 | no |
/// | not authentic (signature probes too), not a notification | 401, 413, 400 | by WeChat Pay, yes |
/// | being handed over by another process, too late, the store of ids or a key is away, the handler failed | 503 | yes |
/// | the handler panicked | 500 | yes |
///
/// A handler that does not end within the time limit is dropped at its next `.await`, and the notification is handed
/// over again when WeChat Pay sends it again. So a handler does little: it writes the notification into a queue or a
/// table of the application, in one transaction, with its [id](Notification::id) as the key. What it passes to
/// `tokio::spawn` or `spawn_blocking` goes on; if such work fails later, nobody sends the notification again.
///
/// The order in which notifications arrive is not documented, and it is not guaranteed that they arrive at all.
///
/// ```
/// use wxpay_auth::ApiV3Key;
/// use wxpay_notification::{MemoryReplayStore, NotificationEndpoint, NotificationReceiver, Outcome};
/// use wxpay_testing::WechatPay;
///
/// # #[tokio::main]
/// # async fn main() {
/// let wechat_pay = WechatPay::builder().build();
/// let key = ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
/// let receiver = NotificationReceiver::new(wechat_pay.key_ring(), key);
/// let endpoint = NotificationEndpoint::new(receiver, MemoryReplayStore::new());
///
/// let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", r#"{"plan_id":"12000"}"#);
/// // The second one is what WeChat Pay sends if the first response is lost.
/// for handed_over in [true, false] {
///     let handled = endpoint
///         .handle(notification.request(), |notification| async move {
///             println!("{}: {}", notification.id(), notification.event_type());
///             Ok::<(), std::io::Error>(())
///         })
///         .await;
///     assert_eq!(matches!(handled.outcome(), Outcome::HandedOver { .. }), handed_over);
///     assert_eq!(handled.into_response().status(), 204);
/// }
/// # }
/// ```
pub struct NotificationEndpoint<V, D, S> {
    receiver: NotificationReceiver<V, D>,
    store: Arc<S>,
    time_limit: Duration,
    hold: Duration,
    keep: Duration,
}

impl<V: Verifier, D: ResourceDecryptor, S: ReplayStore + 'static> NotificationEndpoint<V, D, S> {
    /// Creates an endpoint from a receiver and a store of ids.
    pub fn new(receiver: NotificationReceiver<V, D>, store: S) -> Self {
        let store = Arc::new(store);
        Self { receiver, store, time_limit: TIME_LIMIT, hold: HOLD, keep: KEEP }
    }

    /// Sets the time within which a notification is verified and handed over. The default is 4 s, the maximum 4.5 s:
    /// WeChat Pay waits for 5 s. Recording the end may take 0.4 s more.
    #[must_use]
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time_limit = time.min(LONGEST_TIME_LIMIT);
        self
    }

    /// Sets how long an id is taken if the process that takes it dies. Meanwhile WeChat Pay is asked to send the
    /// notification again. The default is 30 s, the minimum 10 s.
    #[must_use]
    pub fn hold(mut self, time: Duration) -> Self {
        self.hold = time.max(SHORTEST_HOLD);
        self
    }

    /// Sets how long it is remembered that a notification was handed over. The default is a day, the minimum the time
    /// that an id is taken. By the official pages WeChat Pay sends for up to 9 hours and 6 minutes.
    #[must_use]
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// Returns what verifies and decrypts.
    pub fn receiver(&self) -> &NotificationReceiver<V, D> {
        &self.receiver
    }

    /// Returns the store of ids.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Verifies a notification, and hands it over to the handler, unless that was done before. Runs on `tokio`, with its
    /// timer.
    ///
    /// Dropping this future, as an HTTP server does if its client goes away, drops the handler. The notification is
    /// handed over again when WeChat Pay sends it again.
    pub async fn handle<H, F, E>(&self, request: Request<Bytes>, handler: H) -> Handled
    where
        H: FnOnce(Notification) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<HandlerError>,
    {
        let deadline = self.deadline();
        let (parts, body) = request.into_parts();
        self.handle_by(deadline, &parts.headers, Ok(body), handler).await
    }

    /// Returns the end of a request that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.time_limit
    }

    pub(crate) async fn handle_by<H, F, E>(
        &self,
        deadline: Instant,
        headers: &HeaderMap,
        body: Result<Bytes, ReceiveError>,
        hand_to: H,
    ) -> Handled
    where
        H: FnOnce(Notification) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<HandlerError>,
    {
        let received = match body {
            Ok(body) => run_until(deadline, self.receiver.receive(headers, body)).await,
            Err(error) => Ended::Done(Err(error)),
        };
        let (id, outcome) = match received {
            Ended::Done(Ok(notification)) => {
                let id = notification.id().into();
                (Some(id), self.hand_over(deadline, notification, hand_to).await)
            }
            Ended::Done(Err(error)) => (None, Outcome::Refused(error)),
            Ended::Late => (None, Outcome::Late),
            Ended::Panicked => (None, Outcome::Panicked),
        };
        let handled = Handled { id, outcome };
        tell(&handled);
        handled
    }

    async fn hand_over<H, F, E>(
        &self,
        deadline: Instant,
        notification: Notification,
        handler: H,
    ) -> Outcome
    where
        H: FnOnce(Notification) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<HandlerError>,
    {
        let claim = match Claim::new(notification.id()) {
            Ok(claim) => claim,
            Err(error) => return Outcome::StoreFailed(error.into()),
        };
        let held = HeldId::new(Arc::clone(&self.store), claim.clone(), self.keep.max(self.hold));
        let ended = match run_until(deadline, self.store.begin(&claim, self.hold)).await {
            // A process that was stopped for longer than the claim lasts would hand over what another process has, too.
            Ended::Done(Ok(Begun::First)) if Instant::now() >= deadline => Ended::Late,
            Ended::Done(Ok(Begun::First)) => {
                // The function itself may panic, before it returns a future.
                let handed_over = async { handler(notification).await.map_err(Into::into) };
                run_until(deadline, handed_over).await
            }
            Ended::Done(Ok(Begun::InProgress)) => return held.leave_to_others(Outcome::InProgress),
            Ended::Done(Ok(Begun::Done)) => return held.leave_to_others(Outcome::Duplicate),
            // If the store has taken it all the same, the claim runs out. Another query would not help one that is busy.
            Ended::Done(Err(error)) => return held.leave_to_others(Outcome::StoreFailed(error)),
            Ended::Late => Ended::Late,
            Ended::Panicked => return Outcome::StoreFailed(ReplayStoreError::Panicked),
        };
        let until = (deadline + GRACE).min(Instant::now() + SETTLING);
        match ended {
            Ended::Done(Ok(())) => Outcome::HandedOver { is_recorded: held.record(until).await },
            Ended::Done(Err(error)) => held.release(until, Outcome::HandlerFailed(error)).await,
            Ended::Late => held.release(until, Outcome::Late).await,
            Ended::Panicked => held.release(until, Outcome::Panicked).await,
        }
    }
}

/// Writes what became of a notification to the log.
fn tell(handled: &Handled) {
    match &handled.outcome {
        Outcome::HandedOver { .. } | Outcome::Duplicate | Outcome::InProgress => {
            log::debug!(?handled, "a notification was received");
        }
        Outcome::Refused(error @ ReceiveError::Decrypt { .. }) => {
            log::error!(?error, "a notification could not be decrypted; it is sent again");
        }
        // Anybody can send the others.
        Outcome::Refused(error) => {
            log::info!(%error, hint = error.hint(), "a notification was refused");
        }
        Outcome::StoreFailed(error) => {
            log::error!(?error, "a notification was not handed over; it is sent again");
        }
        // The application knows its own error, which may contain a secret.
        Outcome::HandlerFailed(_) => {
            log::warn!(id = handled.id(), "the handler of a notification failed; it is sent again");
        }
        Outcome::Late => {
            log::warn!(id = handled.id(), "a notification took too long; it is sent again");
        }
        Outcome::Panicked => {
            log::error!(id = handled.id(), "the code that handles a notification panicked");
        }
    }
}

impl<V: Clone, D: Clone, S> Clone for NotificationEndpoint<V, D, S> {
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.clone(), store: Arc::clone(&self.store), ..*self }
    }
}

impl<V: fmt::Debug, D: fmt::Debug, S: fmt::Debug> fmt::Debug for NotificationEndpoint<V, D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationEndpoint")
            .field("receiver", &self.receiver)
            .field("store", &self.store)
            .field("time_limit", &self.time_limit)
            .field("hold", &self.hold)
            .field("keep", &self.keep)
            .finish()
    }
}
