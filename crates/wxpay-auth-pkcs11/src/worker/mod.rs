//! Threads that own sessions, and their recovery when a session fails.

pub(crate) mod queue;

use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::{oneshot, watch};
use wxpay_auth_core::internal::log;
use wxpay_auth_core::internal::panics::caught;
use wxpay_auth_core::internal::remote::PROBE;
use zeroize::Zeroizing;

use crate::error::Pkcs11Error;
use crate::worker::queue::SignatureQueue;

/// The operations on a token that the threads need.
pub(crate) trait Sessions: Send + Sync + 'static {
    /// A session that is logged in and has found the key.
    type Session: Send + 'static;

    /// Opens a session.
    fn open(&self) -> Result<Self::Session, Pkcs11Error>;

    /// Signs, and verifies the signature.
    fn sign(&self, session: &Self::Session, message: &[u8]) -> Result<Vec<u8>, Pkcs11Error>;

    /// Decrypts a field.
    fn decrypt(
        &self,
        session: &Self::Session,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error>;

    /// Closes a session, possibly after an error in it.
    fn close(&self, session: Self::Session, after: Option<&Pkcs11Error>);

    /// Returns how often the module has been restarted.
    fn generation(&self) -> u64;

    /// Restarts the module, if that may help against this error. Returns whether to retry.
    fn restart(&self, generation: u64, error: &Pkcs11Error) -> bool;

    /// Returns the error for callers.
    fn explain(&self, error: Pkcs11Error) -> Pkcs11Error {
        error
    }
}

/// Threads with a session each, fed from one queue. They end when this is dropped.
pub(crate) struct Workers {
    queue: Arc<SignatureQueue<Job>>,
    running: watch::Receiver<usize>,
}

struct Job {
    task: Task,
    reply: oneshot::Sender<Done>,
}

/// What a thread does in its session.
enum Task {
    Sign(Vec<u8>),
    Decrypt(Vec<u8>),
}

/// A signature, or a decrypted field.
type Done = Result<Zeroizing<Vec<u8>>, Pkcs11Error>;

impl Task {
    fn carry_out<S: Sessions>(&self, sessions: &S, session: &S::Session) -> Done {
        match self {
            Self::Sign(message) => sessions.sign(session, message).map(Zeroizing::new),
            Self::Decrypt(ciphertext) => sessions.decrypt(session, ciphertext),
        }
    }
}

impl Workers {
    /// Starts a thread per session.
    pub(crate) fn start<S: Sessions>(
        sessions: &Arc<S>,
        opened: Vec<S::Session>,
        depth: usize,
    ) -> Result<Self, Pkcs11Error> {
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name("wxpay-pkcs11".to_owned()).spawn(work).map(drop)
        };
        Self::start_on(sessions, opened, depth, spawn)
    }

    fn start_on<S: Sessions>(
        sessions: &Arc<S>,
        opened: Vec<S::Session>,
        depth: usize,
        spawn: impl Fn(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> Result<Self, Pkcs11Error> {
        let queue = Arc::new(SignatureQueue::new(depth));
        let (running, watched) = watch::channel(0);
        let running = Arc::new(running);
        let workers = Self { queue: Arc::clone(&queue), running: watched };
        // If a thread cannot be started, its session must be closed.
        let mut rest = Rest { sessions: &**sessions, opened };
        while let Some(session) = rest.opened.pop() {
            running.send_modify(|running| *running += 1);
            let ended = Ended(Arc::clone(&running));
            let (sessions, queue) = (Arc::clone(sessions), Arc::clone(&queue));
            let (hand_over, handed_over) = mpsc::sync_channel(1);
            let spawned = spawn(Box::new(move || {
                let _ended = ended;
                if let Ok(session) = handed_over.recv() {
                    work(&*sessions, session, &queue);
                }
            }));
            if let Err(source) = spawned {
                rest.opened.push(session);
                return Err(Pkcs11Error::Thread { source });
            }
            // The thread waits for it.
            let _ = hand_over.send(session);
        }
        Ok(workers)
    }

    /// Queues a message for one of the threads to sign.
    pub(crate) async fn sign(
        &self,
        message: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, Pkcs11Error> {
        let mut signature = self.carry_out(Task::Sign(message.to_vec()), timeout).await?;
        Ok(std::mem::take(&mut *signature))
    }

    /// Queues a ciphertext for one of the threads to decrypt.
    pub(crate) async fn decrypt(
        &self,
        ciphertext: Vec<u8>,
        timeout: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error> {
        self.carry_out(Task::Decrypt(ciphertext), timeout).await
    }

    async fn carry_out(&self, task: Task, timeout: Duration) -> Done {
        let (reply, response) = oneshot::channel();
        // Dropped with this future, whether it completes or is cancelled.
        let _ticket = self.queue.push(Job { task, reply })?;
        match tokio::time::timeout(timeout, response).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Pkcs11Error::Panicked),
            Err(_) => Err(Pkcs11Error::Timeout { waited: timeout }),
        }
    }

    /// Returns the number of queued signatures.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Accepts no more work, and waits until the accepted work is done and the sessions are closed.
    pub(crate) async fn shut_down(&self, timeout: Duration) -> Result<(), Pkcs11Error> {
        self.queue.close();
        let mut running = self.running.clone();
        let ended = running.wait_for(|running| *running == 0);
        match tokio::time::timeout(timeout, ended).await {
            // An error means that the last thread has ended, and the sender with it.
            Ok(_) => Ok(()),
            Err(_) => Err(Pkcs11Error::Timeout { waited: timeout }),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Closes the sessions that have no thread.
struct Rest<'a, S: Sessions> {
    sessions: &'a S,
    opened: Vec<S::Session>,
}

impl<S: Sessions> Drop for Rest<'_, S> {
    fn drop(&mut self) {
        self.opened.drain(..).for_each(|session| self.sessions.close(session, None));
    }
}

struct Ended(Arc<watch::Sender<usize>>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Wakes those that wait for the end of all threads, with code of their runtimes.
        let _ = caught(|| self.0.send_modify(|running| *running -= 1));
    }
}

fn work<S: Sessions>(sessions: &S, session: S::Session, queue: &SignatureQueue<Job>) {
    let mut session = Some(session);
    while let Some(job) = queue.take() {
        // A panic loses the session; the next job opens another one.
        let working = || {
            let done = carry_out(sessions, &mut session, &job.task);
            done.map_err(|error| sessions.explain(error))
        };
        let done = caught(working).unwrap_or(Err(Pkcs11Error::Panicked));
        // The receiver is gone if the caller gave up. Sending wakes it, which runs code of its runtime.
        if caught(|| drop(job.reply.send(done))).is_none() {
            log::error!(hook = "Waker", "code of the application panicked");
        }
    }
    if let Some(session) = session {
        sessions.close(session, None);
    }
}

/// Carries out a task. After an error it retries in a new session, and once more after a restart of the module
/// if that may be the cause. Tokens return different codes for a lost login, so this does not
/// depend on the code.
fn carry_out<S: Sessions>(sessions: &S, session: &mut Option<S::Session>, task: &Task) -> Done {
    if let Some(open) = session.take() {
        match task.carry_out(sessions, &open) {
            Ok(done) => {
                *session = Some(open);
                return Ok(done);
            }
            Err(error) if error.left_the_session_alone() => {
                *session = Some(open);
                return Err(error);
            }
            Err(error) => {
                sessions.close(open, Some(&error));
                log::warn!(%error, "a session with the token failed; opening another one");
            }
        }
    }
    let generation = sessions.generation();
    match carry_out_anew(sessions, session, task) {
        Err(error) if !error.left_the_session_alone() && sessions.restart(generation, &error) => {
            carry_out_anew(sessions, session, task)
        }
        ended => ended,
    }
}

fn carry_out_anew<S: Sessions>(
    sessions: &S,
    session: &mut Option<S::Session>,
    task: &Task,
) -> Done {
    let open = sessions.open()?;
    match task.carry_out(sessions, &open) {
        Ok(done) => {
            *session = Some(open);
            Ok(done)
        }
        Err(error) if error.left_the_session_alone() => {
            *session = Some(open);
            Err(error)
        }
        Err(error) => {
            sessions.close(open, Some(&error));
            match task {
                Task::Sign(_) => Err(error),
                Task::Decrypt(_) => Err(field_or_key(sessions, session, error)),
            }
        }
    }
}

/// Tells a field that is for another key from a token that fails: a failed operation may be stuck in its session, in
/// which the key then does not sign either. So it signs in another one, which is kept; nothing is restarted for a field.
fn field_or_key<S: Sessions>(
    sessions: &S,
    session: &mut Option<S::Session>,
    error: Pkcs11Error,
) -> Pkcs11Error {
    let Pkcs11Error::Call { code, .. } = &error else { return error };
    let Ok(fresh) = sessions.open() else { return error };
    match sessions.sign(&fresh, PROBE) {
        Ok(_) => {
            *session = Some(fresh);
            Pkcs11Error::NotDecrypted { code: code.clone() }
        }
        Err(failed) => {
            sessions.close(fresh, Some(&failed));
            error
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use wxpay_auth_core::SignErrorKind;

    use super::*;
    use crate::panicking::{panic_twice, with_events};

    /// A token that follows a script, and then works.
    #[derive(Default)]
    struct Scripted {
        opens: Mutex<VecDeque<Result<(), Pkcs11Error>>>,
        signs: Mutex<VecDeque<Result<(), Pkcs11Error>>>,
        restarts: Mutex<VecDeque<bool>>,
        /// Each task first waits for a message here.
        access: Mutex<Option<mpsc::Receiver<()>>>,
        panics: AtomicUsize,
        log: Mutex<Vec<&'static str>>,
    }

    impl Scripted {
        fn log(&self, what: &'static str) {
            self.log.lock().unwrap().push(what);
        }

        fn taken_log(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.log.lock().unwrap())
        }
    }

    impl Scripted {
        fn carry_out(&self, what: &'static str, bytes: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
            if let Some(access) = &*self.access.lock().unwrap() {
                access.recv().unwrap();
            }
            self.log(what);
            if self.panics.load(Ordering::SeqCst) > 0 {
                self.panics.fetch_sub(1, Ordering::SeqCst);
                panic_twice()
            }
            self.signs.lock().unwrap().pop_front().unwrap_or(Ok(()))?;
            Ok(bytes.to_vec())
        }
    }

    impl Sessions for Scripted {
        type Session = ();

        fn open(&self) -> Result<(), Pkcs11Error> {
            self.log("open");
            self.opens.lock().unwrap().pop_front().unwrap_or(Ok(()))
        }

        fn sign(&self, (): &(), message: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
            self.carry_out("sign", message)
        }

        fn decrypt(&self, (): &(), ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error> {
            self.carry_out("decrypt", ciphertext).map(Zeroizing::new)
        }

        fn close(&self, (): (), after: Option<&Pkcs11Error>) {
            self.log(if after.is_some() { "discard" } else { "close" });
        }

        fn generation(&self) -> u64 {
            0
        }

        fn restart(&self, _: u64, _: &Pkcs11Error) -> bool {
            self.log("restart?");
            self.restarts.lock().unwrap().pop_front().unwrap_or(false)
        }
    }

    const SOON: Duration = Duration::from_secs(20);

    fn start(script: Scripted, sessions: usize, depth: usize) -> (Arc<Scripted>, Workers) {
        let script = Arc::new(script);
        let workers = Workers::start(&script, vec![(); sessions], depth).unwrap();
        (script, workers)
    }

    fn lost() -> Pkcs11Error {
        Pkcs11Error::Restarted
    }

    #[tokio::test]
    async fn a_failed_session_is_replaced_once() {
        let (script, workers) = start(Scripted::default(), 1, 8);
        assert_eq!(workers.sign(b"a", SOON).await.unwrap(), b"a");
        assert_eq!(script.taken_log(), ["sign"]);

        script.signs.lock().unwrap().push_back(Err(lost()));
        assert_eq!(workers.sign(b"b", SOON).await.unwrap(), b"b");
        assert_eq!(script.taken_log(), ["sign", "discard", "open", "sign"]);

        script.signs.lock().unwrap().extend([Err(lost()), Err(Pkcs11Error::InvalidSignature)]);
        let error = workers.sign(b"c", SOON).await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::InvalidSignature));
        let once = ["sign", "discard", "open", "sign", "discard", "restart?"];
        assert_eq!(script.taken_log(), once);

        // The next job begins with a new session.
        assert_eq!(workers.sign(b"d", SOON).await.unwrap(), b"d");
        assert_eq!(script.taken_log(), ["open", "sign"]);
    }

    #[tokio::test]
    async fn a_field_is_decrypted_with_the_same_recovery() {
        let (script, workers) = start(Scripted::default(), 1, 8);
        script.signs.lock().unwrap().push_back(Err(lost()));
        assert_eq!(*workers.decrypt(b"a".to_vec(), SOON).await.unwrap(), b"a");
        assert_eq!(script.taken_log(), ["decrypt", "discard", "open", "decrypt"]);

        // A field of another key: its session still signs, and is kept.
        let other = || Err(Pkcs11Error::NotDecrypted { code: "CKR_GENERAL_ERROR".to_owned() });
        script.signs.lock().unwrap().push_back(other());
        let error = workers.decrypt(b"b".to_vec(), SOON).await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::NotDecrypted { .. }) && !error.may_be_the_module());
        assert_eq!(workers.sign(b"c", SOON).await.unwrap(), b"c");
        assert_eq!(script.taken_log(), ["decrypt", "sign"]);

        // The same of a token whose sessions are stuck afterwards: a new one signs, and is kept.
        let stuck = || {
            let (call, code) = ("C_Decrypt".to_owned(), "CKR_GENERAL_ERROR".to_owned());
            Err(Pkcs11Error::Call { call, code, kind: SignErrorKind::Other })
        };
        script.signs.lock().unwrap().extend([stuck(), stuck()]);
        let error = workers.decrypt(b"d".to_vec(), SOON).await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::NotDecrypted { .. }), "{error:?}");
        let tries = ["decrypt", "discard", "open", "decrypt", "discard", "open", "sign"];
        assert_eq!(script.taken_log(), tries);
        assert_eq!(workers.sign(b"e", SOON).await.unwrap(), b"e");
        assert_eq!(script.taken_log(), ["sign"]);

        // The key does not sign either.
        script.signs.lock().unwrap().extend([stuck(), stuck(), stuck()]);
        let error = workers.decrypt(b"f".to_vec(), SOON).await.unwrap_err();
        assert!(!matches!(error, Pkcs11Error::NotDecrypted { .. }), "{error:?}");
        assert_eq!(script.taken_log().last(), Some(&"restart?"));
    }

    #[tokio::test]
    async fn a_session_that_was_not_touched_is_kept() {
        let (script, workers) = start(Scripted::default(), 1, 8);
        let held_up = || Pkcs11Error::HeldUp { waited: SOON };
        script.signs.lock().unwrap().push_back(Err(held_up()));
        let error = workers.sign(b"a", SOON).await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::HeldUp { .. }));
        assert_eq!(workers.sign(b"b", SOON).await.unwrap(), b"b");
        assert_eq!(script.taken_log(), ["sign", "sign"]);
    }

    #[tokio::test]
    async fn a_restart_is_followed_by_one_more_try() {
        let (script, workers) = start(Scripted::default(), 1, 8);
        script.signs.lock().unwrap().push_back(Err(lost()));
        script.opens.lock().unwrap().push_back(Err(lost()));
        script.restarts.lock().unwrap().push_back(true);
        assert_eq!(workers.sign(b"a", SOON).await.unwrap(), b"a");
        assert_eq!(script.taken_log(), ["sign", "discard", "open", "restart?", "open", "sign"]);

        script.signs.lock().unwrap().push_back(Err(lost()));
        script.opens.lock().unwrap().extend([Err(lost()), Err(Pkcs11Error::NoPin)]);
        script.restarts.lock().unwrap().extend([true, true]);
        let error = workers.sign(b"b", SOON).await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::NoPin));
        assert_eq!(script.taken_log(), ["sign", "discard", "open", "restart?", "open"]);
    }

    #[tokio::test]
    async fn a_panic_costs_one_signature_and_no_thread() {
        let (script, workers) = start(Scripted::default(), 1, 8);
        script.panics.store(1, Ordering::SeqCst);
        assert!(matches!(workers.sign(b"a", SOON).await, Err(Pkcs11Error::Panicked)));
        assert_eq!(workers.sign(b"b", SOON).await.unwrap(), b"b");
        assert_eq!(script.taken_log(), ["sign", "open", "sign"]);
    }

    /// The subscriber may panic, and may block: the session is closed before it is called.
    #[tokio::test]
    async fn a_subscriber_that_panics_costs_no_signature_and_no_session() {
        let script = Arc::new(Scripted::default());
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            let script = Arc::clone(&script);
            let on_event = move |_| {
                script.log("event");
                panic_twice()
            };
            thread::Builder::new().spawn(|| with_events(on_event, work)).map(drop)
        };
        let workers = Workers::start_on(&script, vec![()], 8, spawn).unwrap();
        script.signs.lock().unwrap().push_back(Err(lost()));
        assert_eq!(workers.sign(b"a", SOON).await.unwrap(), b"a");
        assert_eq!(script.taken_log(), ["sign", "discard", "event", "open", "sign"]);
        assert_eq!(workers.sign(b"b", SOON).await.unwrap(), b"b");
        assert_eq!(script.taken_log(), ["sign"]);
    }

    struct PanickingWaker;

    impl Wake for PanickingWaker {
        fn wake(self: Arc<Self>) {
            panic_twice()
        }
    }

    #[tokio::test]
    async fn a_waker_that_panics_costs_no_thread() {
        let (go, access) = mpsc::channel();
        let script = Scripted { access: Mutex::new(Some(access)), ..Scripted::default() };
        let (script, spawned) = (Arc::new(script), Mutex::new(None));
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            *spawned.lock().unwrap() = Some(thread::spawn(work));
            Ok(())
        };
        let workers = Workers::start_on(&script, vec![()], 8, spawn).unwrap();
        let waker = Waker::from(Arc::new(PanickingWaker));
        let mut panicking = Context::from_waker(&waker);
        let mut first = Box::pin(workers.sign(b"1", SOON));
        assert!(first.as_mut().poll(&mut panicking).is_pending());
        go.send(()).unwrap();
        let mut second = Box::pin(workers.sign(b"2", SOON));
        assert!(futures_poll(&mut second).await.is_none());
        while workers.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(first.await.unwrap(), b"1");
        // Nor does it matter to the thread who waits for its end.
        let mut ending = Box::pin(workers.shut_down(SOON));
        assert!(ending.as_mut().poll(&mut panicking).is_pending());
        go.send(()).unwrap();
        let ended = spawned.into_inner().unwrap().unwrap().join();
        assert!(ended.map_err(std::mem::forget).is_ok(), "the thread panicked");
        assert_eq!(second.await.unwrap(), b"2");
        ending.await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue_at_once() {
        let (go, access) = mpsc::channel();
        let script = Scripted { access: Mutex::new(Some(access)), ..Scripted::default() };
        let (script, workers) = start(script, 1, 1);
        let mut first = Box::pin(workers.sign(b"1", SOON));
        assert!(futures_poll(&mut first).await.is_none());
        while workers.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        let mut second = Box::pin(workers.sign(b"2", SOON));
        assert!(futures_poll(&mut second).await.is_none());
        let full = workers.sign(b"3", SOON).await;
        assert!(matches!(full, Err(Pkcs11Error::Overloaded { waiting: 1 })));

        drop(second);
        let mut fourth = Box::pin(workers.sign(b"4", SOON));
        assert!(futures_poll(&mut fourth).await.is_none());
        // A job that has started is not lost with its caller: the session continues.
        drop(first);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(fourth.await.unwrap(), b"4");
        assert_eq!(script.taken_log(), ["sign", "sign"]);
    }

    #[tokio::test]
    async fn a_token_that_hangs_ends_in_a_time_out() {
        let (go, access) = mpsc::channel();
        let script = Scripted { access: Mutex::new(Some(access)), ..Scripted::default() };
        let (_, workers) = start(script, 1, 4);
        let short = Duration::from_millis(20);
        assert!(matches!(workers.sign(b"1", short).await, Err(Pkcs11Error::Timeout { .. })));
        assert!(matches!(workers.sign(b"2", short).await, Err(Pkcs11Error::Timeout { .. })));
        assert_eq!(workers.waiting(), 0);
        let ended = workers.shut_down(short).await;
        assert!(matches!(ended, Err(Pkcs11Error::Timeout { .. })));
        // The thread recovers and ends normally.
        go.send(()).unwrap();
        workers.shut_down(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn shutting_down_finishes_what_was_taken() {
        let (go, access) = mpsc::channel();
        let script = Scripted { access: Mutex::new(Some(access)), ..Scripted::default() };
        let (script, workers) = start(script, 2, 8);
        let workers = Arc::new(workers);
        let signing: Vec<_> = (0..6_u8)
            .map(|i| {
                let workers = Arc::clone(&workers);
                tokio::spawn(async move { workers.sign(&[i], SOON).await.map(|s| (i, s)) })
            })
            .collect();
        while workers.waiting() < 4 {
            tokio::task::yield_now().await;
        }
        let ending = {
            let workers = Arc::clone(&workers);
            tokio::spawn(async move { workers.shut_down(SOON).await })
        };
        tokio::task::yield_now().await;
        assert!(!ending.is_finished());
        while !matches!(workers.sign(b"late", SOON).await, Err(Pkcs11Error::ShutDown)) {
            tokio::task::yield_now().await;
        }
        (0..6).for_each(|_| go.send(()).unwrap());
        for signed in signing {
            let (i, signature) = signed.await.unwrap().unwrap();
            assert_eq!(signature, [i]);
        }
        ending.await.unwrap().unwrap();
        assert_eq!(script.taken_log().iter().filter(|what| **what == "close").count(), 2);
    }

    #[tokio::test]
    async fn no_session_stays_open_when_a_thread_cannot_be_had() {
        let script = Arc::new(Scripted::default());
        let (spawned, ended) = (AtomicUsize::new(0), mpsc::channel());
        let spawn = |work: Box<dyn FnOnce() + Send>| {
            if spawned.fetch_add(1, Ordering::SeqCst) == 2 {
                return Err(io::Error::other("no more of them"));
            }
            let ended = ended.0.clone();
            thread::spawn(move || {
                work();
                ended.send(()).unwrap();
            });
            Ok(())
        };
        let failed = Workers::start_on(&script, vec![(); 5], 8, spawn);
        assert!(matches!(failed, Err(Pkcs11Error::Thread { .. })));
        (0..2).for_each(|_| ended.1.recv().unwrap());
        assert_eq!(script.taken_log(), ["close"; 5]);
    }

    #[tokio::test]
    async fn dropped_workers_end() {
        let (script, workers) = start(Scripted::default(), 3, 8);
        let mut running = workers.running.clone();
        drop(workers);
        let _ = running.wait_for(|running| *running == 0).await;
        assert_eq!(script.taken_log(), ["close"; 3]);
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
