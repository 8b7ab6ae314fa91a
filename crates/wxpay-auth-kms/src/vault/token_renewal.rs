//! The task that renews the token, so that it does not expire while a process signs rarely.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wxpay_auth_core::internal::log;

use super::login::Login;
use super::session::Session;
use super::token::Lease;
use crate::credentials::cache::{CredentialCache, CredentialSource};
use crate::runtimes::FOREIGN_PATIENCE;

/// Minimum wait before the token is renewed again after a failure.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

/// Owns the renewal task, and aborts it when dropped.
#[derive(Debug, Default)]
pub(super) struct TokenRenewal {
    task: Mutex<Option<Task>>,
}

#[derive(Debug)]
struct Task {
    runtime: Id,
    handle: JoinHandle<()>,
    progress: Arc<Mutex<Progress>>,
}

/// The progress of the task, to detect that its runtime sleeps.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The last replacement of the token that it has seen.
    seen: Option<Instant>,
    /// When its next step should be done; `None` while it waits for another token.
    next_step: Option<Instant>,
}

impl Progress {
    /// Returns whether the task is behind schedule.
    fn is_late(self, changed: Option<Instant>) -> bool {
        let unseen = changed.filter(|_| changed > self.seen);
        let due = [self.next_step, unseen].into_iter().flatten().min();
        due.is_some_and(|due| Instant::now() > due + FOREIGN_PATIENCE)
    }
}

impl TokenRenewal {
    /// Starts the task on the runtime of the caller, unless one is running. The task ends with its
    /// runtime; a task that is late on another runtime is replaced, because that runtime sleeps.
    pub(super) fn watch(&self, session: &Arc<Session>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, changed) = (runtime.id(), session.tokens().changed());
        let keeps = |task: &Task| {
            let progress = *task.progress.lock().unwrap_or_else(PoisonError::into_inner);
            !task.handle.is_finished()
                && (task.runtime == id || !progress.is_late(*changed.borrow()))
        };
        if task.as_ref().is_some_and(keeps) {
            return;
        }
        if let Some(old) = task.take() {
            old.handle.abort();
        }
        let progress = Arc::new(Mutex::new(Progress {
            seen: *changed.borrow(),
            next_step: Some(Instant::now() + Login::PATIENCE),
        }));
        let handle = runtime.spawn(keep(Arc::downgrade(session), changed, Arc::clone(&progress)));
        *task = Some(Task { runtime: id, handle, progress });
    }
}

impl Drop for TokenRenewal {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.handle.abort();
        }
    }
}

async fn keep(
    session: Weak<Session>,
    mut changed: watch::Receiver<Option<Instant>>,
    progress: Arc<Mutex<Progress>>,
) {
    let note = |seen, next_step| {
        *progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress { seen, next_step };
    };
    loop {
        let Some(kept) = session.upgrade() else { return };
        let seen = *changed.borrow_and_update();
        note(seen, Some(Instant::now() + Login::PATIENCE));
        let next = keep_alive(kept.tokens()).await;
        note(seen, next);
        drop(kept);
        // Whether the time is up, the token has changed or the session has ended: the loop checks
        // again.
        match next {
            Some(next) => drop(tokio::time::timeout_at(next, changed.changed()).await),
            None => drop(changed.changed().await),
        }
    }
}

/// Renews or replaces the token if it is due, and returns when to call this again; `None` if
/// nothing can be done until there is another token.
async fn keep_alive(tokens: &CredentialCache<Login>) -> Option<Instant> {
    let (token, auth) = (tokens.kept()?, tokens.source().auth());
    let lease = *token.lease()?;
    if Instant::now() < lease.due() {
        return Some(lease.due());
    }
    let left = lease.end().saturating_duration_since(Instant::now());
    if left.is_zero() && !auth.logs_in() {
        return None;
    }
    let old = Arc::clone(&token);
    let prolong = move |login: Arc<Login>| async move { login.prolong(&old, lease).await };
    let error = match tokens.replaced(Some(Arc::clone(&token)), prolong).await {
        // The shared call may have been started for something else.
        Ok(kept) if !Arc::ptr_eq(&kept, &token) => return kept.lease().map(Lease::due),
        Ok(_) => return Some(Instant::now() + SHORTEST),
        Err(error) => error,
    };
    if token.is_first_warning() {
        log::warn!(%error, ?left, "the token of vault expires, and was neither renewed nor replaced");
    } else {
        log::debug!(%error, ?left, "the token of vault was neither renewed nor replaced");
    }
    if !auth.has_others() && !error.kind().is_transient() {
        return None;
    }
    let wait = if left.is_zero() { LONGEST } else { (left / 3).clamp(SHORTEST, LONGEST) };
    Some(Instant::now() + wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::endpoint::Endpoint;
    use crate::secret::Secret;
    use crate::vault::{VaultAuth, VaultTransit};

    #[tokio::test]
    async fn the_task_ends_with_what_it_works_for() {
        let vault = VaultTransit::builder(Endpoint::new("https://vault").unwrap(), "merchant")
            .auth(VaultAuth::token(Secret::new("hunter2")))
            .build()
            .unwrap();
        let tasks = || Handle::current().metrics().num_alive_tasks();
        // The session stays alive, so only dropping the renewal can end the task.
        let session = Arc::clone(&vault.session);
        for _ in 0..2 {
            vault.renewal.watch(&session);
            tokio::task::yield_now().await;
            assert_eq!(tasks(), 1);
        }
        let clone = vault.clone();
        drop(vault);
        tokio::task::yield_now().await;
        assert_eq!(tasks(), 1);
        drop(clone);
        while tasks() > 0 {
            tokio::task::yield_now().await;
        }
        drop(session);
    }
}
