//! The task that renews the token, so that a process that signs seldom does not lose it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::login::Login;
use super::session::Session;
use super::token::Lease;
use crate::credentials::cache::{CredentialCache, CredentialSource};
use crate::runtimes::FOREIGN_PATIENCE;

/// How long it is waited before the token is renewed again, after that has failed.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

/// Holds the task, which ends with it.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    task: Mutex<Option<Task>>,
}

#[derive(Debug)]
struct Task {
    runtime: Id,
    handle: JoinHandle<()>,
    progress: Arc<Mutex<Progress>>,
}

/// What the task has done, by which is seen whether it sleeps.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The last change of the token that it knows of.
    seen: Option<Instant>,
    /// By when its next step is done; `None` when it waits for another token.
    next_step: Option<Instant>,
}

impl Progress {
    /// Tells whether the task should have done something by now.
    fn is_late(self, changed: Option<Instant>) -> bool {
        let unseen = changed.filter(|_| changed > self.seen);
        let due = [self.next_step, unseen].into_iter().flatten().min();
        due.is_some_and(|due| Instant::now() > due + FOREIGN_PATIENCE)
    }
}

impl Keeper {
    /// Starts the task on the runtime of the caller, unless there is one: it ends with its runtime. One that
    /// is late on another runtime sleeps with that, and is replaced.
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

impl Drop for Keeper {
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
        // It makes no difference which of the two it was, or whether the session has ended.
        match next {
            Some(next) => drop(tokio::time::timeout_at(next, changed.changed()).await),
            None => drop(changed.changed().await),
        }
    }
}

/// Sees to it that the token lasts, and returns when that is to be done again; `None` when nothing can be
/// done before there is another token.
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
        // What was under way may have been something else.
        Ok(kept) if !Arc::ptr_eq(&kept, &token) => return kept.lease().map(Lease::due),
        Ok(_) => return Some(Instant::now() + SHORTEST),
        Err(error) => error,
    };
    if token.is_first_warning() {
        tracing::warn!(%error, ?left, "the token of vault ends, and was neither renewed nor replaced");
    } else {
        tracing::debug!(%error, ?left, "the token of vault was neither renewed nor replaced");
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
        // The session lives on: nothing but the end of the keeper ends the task.
        let session = Arc::clone(&vault.session);
        for _ in 0..2 {
            vault.keeper.watch(&session);
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
