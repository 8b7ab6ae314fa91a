//! Signatures that wait for a core, and the threads that compute them.
//!
//! The threads belong to no runtime: a runtime whose blocking threads are all busy, or that shuts down,
//! does not delay any signature.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::oneshot;

use super::Busy;
use crate::log;
use crate::panics::caught;

/// How long an idle thread is kept.
const STAY: Duration = Duration::from_secs(10);

/// How many results are delivered together while many signatures wait.
const TOGETHER: usize = 4;

/// A signature to compute, and the caller that waits for it.
pub(super) trait Job: Send {
    fn compute(&mut self);

    /// Delivers the result, which wakes a thread of the runtime.
    fn deliver(self: Box<Self>);
}

pub(super) struct SigningQueue {
    cores: usize,
    jobs: Mutex<Jobs>,
    called: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// By number: the lowest is the oldest.
    waiting: BTreeMap<u64, Box<dyn Job>>,
    next: u64,
    /// Number of threads that are working, or were woken to work.
    awake: usize,
    asleep: usize,
    /// Number of woken threads that are still asleep.
    called: usize,
}

impl SigningQueue {
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { cores, jobs: Mutex::default(), called: Condvar::new() }
    }

    /// Queues a job, and makes sure that a thread processes it. Dropping the ticket removes the job, unless it
    /// has begun.
    pub(super) fn push(&'static self, job: Box<dyn Job>) -> Ticket {
        self.push_on(job, |work| {
            thread::Builder::new().name("wxpay-sign".to_owned()).spawn(work).map(drop)
        })
    }

    fn push_on(
        &'static self,
        job: Box<dyn Job>,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> Ticket {
        let mut jobs = self.jobs();
        let number = jobs.next;
        jobs.next += 1;
        jobs.waiting.insert(number, job);
        let ticket = Ticket { queue: self, number };
        if jobs.awake == self.cores {
            return ticket;
        }
        jobs.awake += 1;
        if jobs.asleep > 0 {
            jobs.asleep -= 1;
            jobs.called += 1;
            drop(jobs);
            self.called.notify_one();
            return ticket;
        }
        drop(jobs);
        if spawn(Box::new(|| self.stay())).is_err() {
            // If no thread can be spawned, it is done here.
            self.work_off(Then::Go);
        }
        ticket
    }

    /// Processes the queue whenever it is woken, and ends after being idle for `STAY`.
    fn stay(&self) {
        loop {
            self.work_off(Then::Sleep);
            let (mut jobs, _) = self
                .called
                .wait_timeout_while(self.jobs(), STAY, |jobs| jobs.called == 0)
                .unwrap_or_else(PoisonError::into_inner);
            if jobs.called == 0 {
                jobs.asleep -= 1;
                return;
            }
            jobs.called -= 1;
        }
    }

    /// Processes the queue until it is empty.
    fn work_off(&self, then: Then) {
        let mut done: Vec<Box<dyn Job>> = Vec::with_capacity(TOGETHER);
        while let Some((mut job, many_wait)) = self.next(then) {
            job.compute();
            done.push(job);
            // Each result wakes a thread of the runtime, which takes the core from this one. While many
            // signatures wait for the cores, delivering several results at once costs the callers nothing.
            if !many_wait || done.len() == TOGETHER {
                done.drain(..).for_each(deliver);
            }
        }
        // The other threads may have taken the waiting jobs.
        done.into_iter().for_each(deliver);
    }

    /// Takes the next job; returns whether many wait behind it.
    fn next(&self, then: Then) -> Option<(Box<dyn Job>, bool)> {
        let mut jobs = self.jobs();
        let next = jobs.waiting.pop_first();
        if next.is_none() {
            // Under the lock, so that the caller of the next job wakes or starts a thread.
            jobs.awake -= 1;
            jobs.asleep += usize::from(then == Then::Sleep);
        }
        next.map(|(_, job)| (job, jobs.waiting.len() >= 2 * self.cores))
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // No job runs while the lock is held, and nothing else here panics.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many jobs wait, and how many threads are awake.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let jobs = self.jobs();
        (jobs.waiting.len(), jobs.awake)
    }

    #[cfg(test)]
    pub(super) fn cores(&self) -> usize {
        self.cores
    }

    #[cfg(test)]
    pub(super) fn with_cores(cores: usize) -> Self {
        Self { cores, ..Self::new() }
    }
}

/// What a thread does when the queue is empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Sleep,
    Go,
}

fn deliver(job: Box<dyn Job>) {
    // A panic in a waker is its runtime's fault, and must not affect the next caller.
    if caught(|| job.deliver()).is_none() {
        log::error!(hook = "Waker", "code of the application panicked");
    }
}

/// Removes its job when dropped.
pub(super) struct Ticket {
    queue: &'static SigningQueue,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let job = self.queue.jobs().waiting.remove(&self.number);
        // Dropped after the lock is released: a job has a destructor.
        drop(job);
    }
}

/// A job that counts as a signature in progress.
pub(super) struct Task<W, T> {
    work: Option<W>,
    result: Option<T>,
    caller: oneshot::Sender<T>,
    busy: Busy,
}

impl<W, T> Task<W, T> {
    pub(super) fn new(work: W, caller: oneshot::Sender<T>, busy: Busy) -> Self {
        Self { work: Some(work), result: None, caller, busy }
    }
}

impl<W: FnOnce() -> T + Send, T: Send> Job for Task<W, T> {
    fn compute(&mut self) {
        if let Some(work) = self.work.take().filter(|_| !self.caller.is_closed()) {
            // A panic leaves no result, which its caller notices; other callers must not be affected.
            self.result = caught(work);
        }
    }

    fn deliver(self: Box<Self>) {
        let Self { result, caller, busy, .. } = *self;
        // The caller may sign again at once, and must then find itself alone.
        drop(busy);
        if let Some(result) = result {
            // A caller that has given up meanwhile does not receive it.
            let _ = caller.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::panicking::{panic_twice, with_events};

    struct Says(mpsc::Sender<thread::ThreadId>);

    impl Job for Says {
        fn compute(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }

        fn deliver(self: Box<Self>) {}
    }

    #[test]
    fn without_a_thread_it_is_done_where_it_is() {
        let queue: &'static _ = Box::leak(Box::new(SigningQueue::new()));
        let (says, heard) = mpsc::channel();
        let failing = |_| Err(io::Error::other("no more of them"));
        for _ in 0..3 {
            let _ticket = queue.push_on(Box::new(Says(says.clone())), failing);
            assert_eq!(heard.try_recv().unwrap(), thread::current().id());
            assert_eq!(queue.counts(), (0, 0));
        }
    }

    #[test]
    fn a_thread_that_sleeps_is_called_and_no_other_started() {
        let queue: &'static _ = Box::leak(Box::new(SigningQueue::with_cores(1)));
        let (says, heard) = mpsc::channel();
        let mut threads = Vec::new();
        for _ in 0..100 {
            let ticket = queue.push(Box::new(Says(says.clone())));
            threads.push(heard.recv_timeout(Duration::from_secs(30)).unwrap());
            drop(ticket);
        }
        threads.dedup();
        assert_eq!(threads.len(), 1);
    }

    struct PanicsInTheEnd;

    impl Job for PanicsInTheEnd {
        fn compute(&mut self) {}

        fn deliver(self: Box<Self>) {
            panic_twice();
        }
    }

    #[test]
    fn a_waker_that_panics_costs_no_thread() {
        let queue: &'static _ = Box::leak(Box::new(SigningQueue::with_cores(1)));
        let (says, heard) = mpsc::channel();
        for _ in 0..10 {
            let _panics = queue.push(Box::new(PanicsInTheEnd));
            let _says = queue.push(Box::new(Says(says.clone())));
            heard.recv_timeout(Duration::from_secs(30)).unwrap();
        }
    }

    #[test]
    fn a_waker_that_panics_is_told_of() {
        let ((), events) = with_events(|_| panic_twice(), || deliver(Box::new(PanicsInTheEnd)));
        assert_eq!(events, 2, "its panic, and the loss of that event");
    }
}
