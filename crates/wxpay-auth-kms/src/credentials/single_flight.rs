//! One question for all who want its response.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use wxpay_auth_core::SignErrorKind;

use crate::error::KmsError;

/// Lets many callers wait for one question, which runs in a task of its own and within a bound of
/// its own: whoever gives up stops waiting, and no more.
#[derive(Debug)]
pub(crate) struct SingleFlight<T> {
    bound: Duration,
    /// The one that was begun last; it may have ended.
    last: Mutex<Option<Response<T>>>,
}

/// Holds nothing until there is a response. When the other end goes first, there will be none.
type Response<T> = watch::Receiver<Option<Result<T, KmsError>>>;

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Makes one whose questions may take so long.
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, last: Mutex::new(None) }
    }

    /// Returns the response to the question that is running, or to the one that is begun here.
    ///
    /// One that runs on a runtime which ends has no response: whoever waits for it begins its own.
    pub(crate) async fn join<F>(&self, begin: impl FnOnce() -> F + Send) -> Result<T, KmsError>
    where
        F: Future<Output = Result<T, KmsError>> + Send + 'static,
    {
        let mut begin = Some(begin);
        while let Some(mut response) = self.enter(&mut begin)? {
            if let Ok(response) = response.wait_for(Option::is_some).await
                && let Some(response) = &*response
            {
                return response.clone();
            }
        }
        // It has begun one itself, which was cut off: it broke, or its runtime ends.
        Err(KmsError::new(SignErrorKind::Unavailable, "what was asked of the service was cut off"))
    }

    /// Begins a question, unless one is running, and waits for nothing.
    #[cfg(feature = "_access-key")]
    pub(crate) fn begin<F>(&self, begin: impl FnOnce() -> F) -> Result<(), KmsError>
    where
        F: Future<Output = Result<T, KmsError>> + Send + 'static,
    {
        self.enter(&mut Some(begin)).map(drop)
    }

    /// Returns the question that is running. Begins one where there is none, which everybody may do
    /// once.
    fn enter<F>(
        &self,
        begin: &mut Option<impl FnOnce() -> F>,
    ) -> Result<Option<Response<T>>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = last.as_ref().filter(|response| is_running(response)) {
            return Ok(Some(running.clone()));
        }
        let Some(begin) = begin.take() else { return Ok(None) };
        let runtime = Handle::try_current().map_err(|e| {
            KmsError::setting("there is no Tokio runtime", "call it on one").with_source(e)
        })?;
        let (sender, response) = watch::channel(None);
        let (question, bound) = (begin(), self.bound);
        runtime.spawn(async move {
            let ended = tokio::time::timeout(bound, question).await;
            // Perhaps nobody waits any more.
            sender.send_replace(Some(ended.unwrap_or_else(|_| Err(KmsError::timeout(bound)))));
        });
        *last = Some(response.clone());
        Ok(Some(response))
    }
}

fn is_running<T>(response: &Response<T>) -> bool {
    response.has_changed().is_ok() && response.borrow().is_none()
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

    /// Counts what is asked, and answers with the count.
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

        // Somebody else, who waits for it, begins one that does not break.
        let other = flight.join(|| Arc::clone(&asked).after(SECOND));
        let (_, other) = tokio::join!(flight.join(breaking), other);
        assert_eq!(other.unwrap(), 1);
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
