//! One call of the service, shared by all callers that need its response.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use wxpay_auth_core::SignErrorKind;

use crate::error::KmsError;
use crate::runtimes::{FOREIGN_PATIENCE, current_runtime};

/// Lets concurrent callers share one call, which runs in a task of its own with its own time limit:
/// a caller that stops waiting does not cancel it. A call that runs on another runtime is waited
/// for 1 s at most, because that runtime may sleep; then the caller starts another call.
#[derive(Debug)]
pub(crate) struct SingleFlight<T> {
    bound: Duration,
    /// The last call that was started; it may have ended.
    last: Mutex<Option<Flight<T>>>,
}

#[derive(Debug, Clone)]
struct Flight<T> {
    response: Response<T>,
    runtime: Id,
    begun: Instant,
    /// How many earlier calls may still run.
    beside: usize,
}

/// `None` until there is a response. If the sender is dropped first, there will be none.
type Response<T> = watch::Receiver<Option<Result<T, KmsError>>>;

/// How many calls may run at once on runtimes that may sleep. A wrong secret may be sent that
/// often, and some services lock it out at the fifth attempt.
const MOST_AT_ONCE: usize = 4;

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Creates one with a time limit for its calls.
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, last: Mutex::new(None) }
    }

    /// Returns the response to the running call, or starts a call and returns its response.
    ///
    /// A call has no response if its runtime shuts down: its callers then start another one.
    pub(crate) async fn join<F>(&self, begin: impl FnOnce() -> F + Send) -> Result<T, KmsError>
    where
        F: Future<Output = Result<T, KmsError>> + Send + 'static,
    {
        let (mut begin, mut passed_by) = (Some(begin), None);
        while let Some(flight) = self.enter(&mut begin, passed_by.as_ref())? {
            let waiting = response(flight.response.clone());
            let ended = match self.patience_with(&flight) {
                None => Some(waiting.await),
                Some(end) => timeout_at(end, waiting).await.ok(),
            };
            match ended {
                Some(Some(response)) => return response,
                // The call was aborted.
                Some(None) => {}
                None => passed_by = Some(flight),
            }
        }
        // This caller's own call was aborted: it panicked, or its runtime shuts down.
        Err(KmsError::new(SignErrorKind::Unavailable, "the request to the service was aborted"))
    }

    /// Starts a call without waiting for it, unless one is running.
    #[cfg(feature = "_access-key")]
    pub(crate) fn begin<F>(&self, begin: impl FnOnce() -> F) -> Result<(), KmsError>
    where
        F: Future<Output = Result<T, KmsError>> + Send + 'static,
    {
        self.enter(&mut Some(begin), None).map(drop)
    }

    /// Returns until when to wait for a call; `None` if it ends by itself.
    fn patience_with(&self, flight: &Flight<T>) -> Option<Instant> {
        if current_runtime() == Some(flight.runtime) {
            return None;
        }
        let end = flight.begun + self.bound;
        let is_last = flight.beside + 1 >= MOST_AT_ONCE;
        Some(if is_last { end } else { end.min(Instant::now() + FOREIGN_PATIENCE) })
    }

    /// Returns the running call. Starts one if there is none and this caller has not started one
    /// yet.
    fn enter<F>(
        &self,
        begin: &mut Option<impl FnOnce() -> F>,
        passed_by: Option<&Flight<T>>,
    ) -> Result<Option<Flight<T>>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut beside = 0;
        if let Some(running) = last.as_ref().filter(|flight| self.is_running(flight)) {
            let is_passed_by = |flight: &Flight<T>| running.response.same_channel(&flight.response);
            if !passed_by.is_some_and(is_passed_by) {
                return Ok(Some(running.clone()));
            }
            beside = running.beside + 1;
        }
        let Some(begin) = begin.take() else { return Ok(None) };
        let runtime = Handle::try_current().map_err(|e| {
            KmsError::setting("there is no Tokio runtime", "call it on one").with_source(e)
        })?;
        let id = runtime.id();
        let (sender, response) = watch::channel(None);
        let (question, bound) = (begin(), self.bound);
        runtime.spawn(async move {
            let ended = tokio::time::timeout(bound, question).await;
            // There may be no receiver left.
            sender.send_replace(Some(ended.unwrap_or_else(|_| Err(KmsError::timeout(bound)))));
        });
        let flight = Flight { response, runtime: id, begun: Instant::now(), beside };
        *last = Some(flight.clone());
        Ok(Some(flight))
    }

    /// Returns whether there may still be a response. A call past its time limit sleeps with its
    /// runtime.
    fn is_running(&self, flight: &Flight<T>) -> bool {
        let may_come = flight.response.has_changed().is_ok() && flight.response.borrow().is_none();
        let is_here = || current_runtime() == Some(flight.runtime);
        may_come && (flight.begun.elapsed() < self.bound || is_here())
    }
}

/// Waits for a response; `None` if there will be none.
async fn response<T: Clone>(mut response: Response<T>) -> Option<Result<T, KmsError>> {
    response.wait_for(Option::is_some).await.ok()?.clone()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BOUND: Duration = Duration::from_secs(10);

    /// Counts the calls and returns the count.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Asked {
        async fn after(self: Arc<Self>, time: Duration) -> Result<usize, KmsError> {
            let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(time).await;
            Ok(number)
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    async fn breaking() -> Result<usize, KmsError> {
        sleep(SECOND).await;
        panic!("it breaks on purpose")
    }

    fn both() -> (Arc<SingleFlight<usize>>, Arc<Asked>) {
        (Arc::new(SingleFlight::new(BOUND)), Arc::default())
    }

    fn joining(
        flight: &Arc<SingleFlight<usize>>,
        asked: &Arc<Asked>,
        time: Duration,
    ) -> JoinHandle<Result<usize, KmsError>> {
        let (flight, asked) = (Arc::clone(flight), Arc::clone(asked));
        tokio::spawn(async move { flight.join(|| asked.after(time)).await })
    }

    #[tokio::test(start_paused = true)]
    async fn many_share_a_response_and_the_next_one_asks_anew() {
        let (flight, asked) = both();
        for round in 1..3 {
            let tasks: Vec<_> = (0..20).map(|_| joining(&flight, &asked, SECOND)).collect();
            for task in tasks {
                assert_eq!(task.await.unwrap().unwrap(), round);
            }
            assert_eq!(asked.count(), round);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_as_well() {
        let flight = SingleFlight::<usize>::new(BOUND);
        let asked = AtomicUsize::new(0);
        let failing = || {
            asked.fetch_add(1, Ordering::SeqCst);
            async {
                sleep(SECOND).await;
                Err(KmsError::new(SignErrorKind::PermissionDenied, "no").with_code("E42"))
            }
        };
        let (one, other) = tokio::join!(flight.join(failing), flight.join(failing));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert_eq!(
                (error.kind(), error.code()),
                (SignErrorKind::PermissionDenied, Some("E42"))
            );
        }
        assert_eq!(asked.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_only_stops_waiting() {
        let (flight, asked) = both();
        let question = || Arc::clone(&asked).after(SECOND * 4);
        for _ in 0..3 {
            timeout(SECOND, flight.join(question)).await.unwrap_err();
        }
        assert_eq!(flight.join(question).await.unwrap(), 1);
        assert_eq!(asked.count(), 1);

        // Nor does it end when nobody waits at all.
        let done = Arc::new(AtomicUsize::new(0));
        let question = || {
            let done = Arc::clone(&done);
            async move {
                sleep(SECOND * 4).await;
                Ok(done.fetch_add(1, Ordering::SeqCst))
            }
        };
        timeout(SECOND, flight.join(question)).await.unwrap_err();
        sleep(SECOND * 4).await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_without_a_response_has_an_end() {
        let (flight, asked) = both();
        let begin = Instant::now();
        let error = flight.join(|| Arc::clone(&asked).after(BOUND * 9)).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Timeout);
        assert!(begin.elapsed() < BOUND + SECOND, "{:?}", begin.elapsed());
        assert_eq!(flight.join(|| Arc::clone(&asked).after(SECOND)).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_breaks_is_said_to_have_been_cut_off() {
        let (flight, asked) = both();
        let error = flight.join(breaking).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Unavailable);

        // Another caller that waits for it starts one that does not panic.
        let other = flight.join(|| Arc::clone(&asked).after(SECOND));
        let (_, other) = tokio::join!(flight.join(breaking), other);
        assert_eq!(other.unwrap(), 1);
    }

    #[test]
    fn one_on_a_runtime_that_sleeps_is_passed_by() {
        let (flight, asked) = both();
        let (sleeping, awake) = (paused(), paused());
        leave(&sleeping, &flight, &asked);
        awake.block_on(async {
            let begin = Instant::now();
            let joined = timeout(BOUND, joining(&flight, &asked, Duration::ZERO)).await;
            assert_eq!(joined.unwrap().unwrap().unwrap(), 2);
            assert!(begin.elapsed() >= FOREIGN_PATIENCE, "it may have been awake");
        });
        // When the first runtime continues, so does the call that was started there.
        sleeping.block_on(async {
            sleep(BOUND).await;
            let joined = joining(&flight, &asked, Duration::ZERO).await;
            assert_eq!(joined.unwrap().unwrap(), 3);
        });
    }

    #[test]
    fn there_are_only_so_many_at_once() {
        let (flight, asked) = both();
        let sleeping: Vec<_> = (0..MOST_AT_ONCE).map(|_| paused()).collect();
        for runtime in &sleeping {
            leave(runtime, &flight, &asked);
        }
        assert_eq!(asked.count(), MOST_AT_ONCE);
        paused().block_on(async {
            let begin = Instant::now();
            let joined = timeout(BOUND * 2, joining(&flight, &asked, Duration::ZERO)).await;
            assert_eq!(joined.unwrap().unwrap().unwrap(), MOST_AT_ONCE + 1);
            assert!(begin.elapsed() > BOUND / 2, "until the last one is late");
        });
    }

    fn paused() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    }

    /// Starts a call on a runtime, and drives it no further.
    fn leave(
        runtime: &tokio::runtime::Runtime,
        flight: &Arc<SingleFlight<usize>>,
        asked: &Arc<Asked>,
    ) {
        runtime.block_on(async {
            let before = asked.count();
            let _waiting = joining(flight, asked, BOUND / 2);
            while asked.count() == before {
                sleep(SECOND / 10).await;
            }
        });
    }

    #[test]
    fn when_its_runtime_ends_those_on_others_begin_anew() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (flight, asked) = both();
        let first = runtime();
        first.block_on(async {
            let waiting = joining(&flight, &asked, BOUND);
            while asked.count() == 0 {
                tokio::task::yield_now().await;
            }
            drop(waiting);
        });
        runtime().block_on(async {
            let waiting = joining(&flight, &asked, Duration::ZERO);
            tokio::task::yield_now().await;
            assert_eq!(asked.count(), 1);
            first.shutdown_background();
            assert_eq!(waiting.await.unwrap().unwrap(), 2);
        });
    }
}
