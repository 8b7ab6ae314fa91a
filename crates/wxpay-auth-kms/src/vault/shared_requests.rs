//! One shared request for concurrent callers that send the same one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Id;
use tokio::time::timeout;

use super::client::Call;
use crate::error::KmsError;
use crate::http::client::Response;
use crate::runtimes::{FOREIGN_PATIENCE, current_runtime};

/// Lets concurrent callers of the same request share it and its response. With an approval, two
/// requests would need two approvals, and a result that can be fetched once would reach one caller
/// only.
///
/// The request runs within the time of the first caller. If that one gives up, the next one sends
/// it again. If callers are on several runtimes, of which one may sleep, they wait 1 s at most.
#[derive(Debug, Default)]
pub(super) struct SharedRequests(Mutex<Vec<Entry>>);

/// A request and the number of its callers.
#[derive(Debug)]
struct Entry {
    question: Arc<SharedRequest>,
    callers: usize,
    /// The runtime of the first caller.
    runtime: Option<Id>,
    /// Whether callers are on several runtimes.
    is_mixed: bool,
}

struct SharedRequest {
    path: String,
    body: Option<Vec<u8>>,
    /// Locked by the caller that sends the request; `None` until there is a response.
    response: tokio::sync::Mutex<Option<SharedResponse>>,
}

type SharedResponse = Result<Arc<Response>, KmsError>;

impl SharedRequests {
    /// Returns the response to the same request in flight, or sends it.
    pub(super) async fn share(
        &self,
        call: Call<'_>,
        ask: impl Future<Output = Result<Response, KmsError>>,
    ) -> SharedResponse {
        let entered = self.enter(call);
        let turn = entered.question.response.lock();
        let mut response = if entered.is_mixed {
            let Ok(response) = timeout(FOREIGN_PATIENCE, turn).await else {
                return ask.await.map(Arc::new);
            };
            response
        } else {
            turn.await
        };
        if let Some(shared) = &*response {
            return shared.clone();
        }
        let shared = ask.await.map(Arc::new);
        *response = Some(shared.clone());
        // From here on, the same request is sent again.
        self.remove(&entered.question);
        shared
    }

    fn enter(&self, call: Call<'_>) -> Entered<'_> {
        let runtime = current_runtime();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.iter_mut().find(|entry| entry.question.is_of(call)) {
            entry.callers += 1;
            entry.is_mixed |= entry.runtime != runtime;
            let (question, is_mixed) = (Arc::clone(&entry.question), entry.is_mixed);
            return Entered { requests: self, question, is_mixed };
        }
        let (path, body) = (call.path.to_owned(), call.body.map(<[u8]>::to_vec));
        let question =
            Arc::new(SharedRequest { path, body, response: tokio::sync::Mutex::default() });
        all.push(Entry { question: Arc::clone(&question), callers: 1, runtime, is_mixed: false });
        Entered { requests: self, question, is_mixed: false }
    }

    fn remove(&self, question: &Arc<SharedRequest>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|entry| !Arc::ptr_eq(&entry.question, question));
    }
}

impl SharedRequest {
    fn is_of(&self, call: Call<'_>) -> bool {
        self.path == call.path && self.body.as_deref() == call.body
    }
}

impl std::fmt::Debug for SharedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A caller that sends the request or waits for its response.
struct Entered<'a> {
    requests: &'a SharedRequests,
    question: Arc<SharedRequest>,
    is_mixed: bool,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut all = self.requests.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain_mut(|entry| {
            let is_this = Arc::ptr_eq(&entry.question, &self.question);
            entry.callers -= usize::from(is_this);
            entry.callers > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};
    use tokio::time::{sleep, timeout};

    use super::super::refusal::Doing;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn call(body: &[u8]) -> Call<'_> {
        Call { doing: Doing::Sign, path: "/v1/transit/sign/merchant/sha2-256", body: Some(body) }
    }

    /// Returns the number of requests so far, after a second.
    async fn ask(asked: &AtomicUsize) -> Result<Response, KmsError> {
        let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(SECOND).await;
        Ok(Response::new("vault", StatusCode::OK, HeaderMap::new(), number.to_string()))
    }

    fn number(shared: &SharedResponse) -> usize {
        shared.as_ref().unwrap().json().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_at_once_is_one_request() {
        let (requests, asked) = (SharedRequests::default(), AtomicUsize::new(0));
        let share = |body| requests.share(call(body), ask(&asked));
        for round in [1, 3] {
            let (one, same, other) = tokio::join!(share(b"1"), share(b"1"), share(b"2"));
            assert_eq!((number(&one), number(&same), number(&other)), (round, round, round + 1));
        }
        assert!(requests.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn when_one_gives_up_the_next_one_asks() {
        let (requests, asked) = (SharedRequests::default(), AtomicUsize::new(0));
        let share = || requests.share(call(b"1"), ask(&asked));
        let (one, other) = tokio::join!(timeout(SECOND / 2, share()), share());
        assert!(one.is_err());
        assert_eq!(number(&other), 2);
        assert!(timeout(SECOND / 2, share()).await.is_err());
        assert!(requests.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_and_not_kept() {
        let (requests, asked) = (SharedRequests::default(), AtomicUsize::new(0));
        let fail = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            sleep(SECOND).await;
            Err(KmsError::timeout(SECOND))
        };
        let share = || requests.share(call(b"1"), fail());
        let (one, other) = tokio::join!(share(), share());
        assert!(one.is_err() && other.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(number(&requests.share(call(b"1"), ask(&asked)).await), 2);
    }

    #[test]
    fn nobody_waits_for_a_runtime_that_sleeps() {
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().start_paused(true).build().unwrap()
        };
        let (requests, asked) =
            (Arc::new(SharedRequests::default()), Arc::<AtomicUsize>::default());
        let share = || {
            let (requests, asked) = (Arc::clone(&requests), Arc::clone(&asked));
            async move { requests.share(call(b"1"), ask(&asked)).await }
        };
        let (sleeping, awake) = (runtime(), runtime());
        let first = sleeping.spawn(share());
        sleeping.block_on(async {
            while asked.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        });
        for number_asked in [2, 3] {
            let own = awake.block_on(async { timeout(SECOND * 9, share()).await });
            assert_eq!(number(&own.expect("it is asked anew")), number_asked);
        }
        assert_eq!(number(&sleeping.block_on(first).unwrap()), 1);
        assert!(requests.0.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_asked_is_not_shown() {
        let requests = SharedRequests::default();
        let _entered = requests.enter(call(b"hunter2"));
        assert!(!format!("{requests:?}").contains("hunter2"));
        assert!(!format!("{requests:?}").contains("104"), "{requests:?}");
    }
}
