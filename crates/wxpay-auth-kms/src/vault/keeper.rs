//! The task that renews the token, so that a process that signs seldom does not lose it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::session::Session;

/// Holds the task, which ends with it.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    task: Mutex<Option<Task>>,
}

#[derive(Debug)]
struct Task {
    runtime: Id,
    handle: JoinHandle<()>,
}

impl Keeper {
    /// Starts the task on the runtime of the caller, unless there is one: it ends with its runtime. One that is late
    /// on another runtime sleeps with that, and is replaced.
    pub(super) fn watch(&self, session: &Arc<Session>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let id = runtime.id();
        let keeps = |task: &Task| {
            !task.handle.is_finished() && (task.runtime == id || !session.is_kept_late())
        };
        if task.as_ref().is_some_and(keeps) {
            return;
        }
        if let Some(old) = task.take() {
            old.handle.abort();
        }
        let handle = runtime.spawn(keep(Arc::downgrade(session), session.changed()));
        *task = Some(Task { runtime: id, handle });
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

async fn keep(session: Weak<Session>, mut changed: watch::Receiver<()>) {
    loop {
        let Some(kept) = session.upgrade() else { return };
        changed.mark_unchanged();
        let next = kept.keep_alive().await;
        drop(kept);
        // It makes no difference which of the two it was, or whether the session has ended.
        match next {
            Some(next) => drop(tokio::time::timeout_at(next, changed.changed()).await),
            None => drop(changed.changed().await),
        }
    }
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
