//! Writes lines to a journal, many with one sync.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::error::JournalError;

/// The thread that writes. While it syncs a group of lines, the next group gathers: all who wait for the disk at the
/// same time share one sync.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    group: Mutex<Group>,
    has_changed: Condvar,
}

/// What is written next.
#[derive(Debug, Default)]
struct Group {
    lines: Vec<u8>,
    waiting: Vec<oneshot::Sender<Written>>,
    is_closing: bool,
    /// After a failed write or sync, what is on the disk is not known: nothing more is written.
    failed: Option<Arc<io::Error>>,
}

type Written = Result<(), Arc<io::Error>>;

impl Writer {
    /// Starts the thread. The file appends.
    pub(super) fn start(file: Arc<File>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writes = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wxpay-journal".to_owned());
        let thread = thread.spawn(move || writes.run(&file))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes lines soon, in order, without waiting for it.
    pub(super) fn write(&self, lines: &[u8]) -> Result<(), JournalError> {
        self.push(lines, None)
    }

    /// Writes lines, and waits until they, and all before them, are on the disk.
    ///
    /// If the future is dropped, they are written nevertheless.
    pub(super) async fn write_synced(&self, lines: &[u8]) -> Result<(), JournalError> {
        let (written, waits) = oneshot::channel();
        self.push(lines, Some(written))?;
        match waits.await {
            Ok(written) => written.map_err(|source| JournalError::Write { source }),
            Err(_) => Err(closed()),
        }
    }

    fn push(
        &self,
        lines: &[u8],
        written: Option<oneshot::Sender<Written>>,
    ) -> Result<(), JournalError> {
        let mut group = self.shared.group();
        if let Some(failed) = &group.failed {
            return Err(JournalError::Write { source: Arc::clone(failed) });
        }
        if group.is_closing {
            return Err(closed());
        }
        group.lines.extend_from_slice(lines);
        group.waiting.extend(written);
        drop(group);
        self.shared.has_changed.notify_one();
        Ok(())
    }

    /// Writes what is left, and ends the thread.
    pub(super) fn close(&self) {
        self.shared.group().is_closing = true;
        self.shared.has_changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

fn closed() -> JournalError {
    JournalError::Write { source: Arc::new(io::Error::other("the journal was closed")) }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn group(&self) -> MutexGuard<'_, Group> {
        // No code panics while it holds the lock.
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, file: &File) {
        let (mut lines, mut waiting) = (Vec::new(), Vec::new());
        loop {
            let mut group = self.group();
            while group.lines.is_empty() && group.waiting.is_empty() && !group.is_closing {
                group = self.has_changed.wait(group).unwrap_or_else(PoisonError::into_inner);
            }
            if group.lines.is_empty() && group.waiting.is_empty() {
                return;
            }
            std::mem::swap(&mut group.lines, &mut lines);
            std::mem::swap(&mut group.waiting, &mut waiting);
            drop(group);
            let written = write_group(file, &lines, !waiting.is_empty()).map_err(Arc::new);
            if let Err(failed) = &written {
                let mut group = self.group();
                group.failed = Some(Arc::clone(failed));
                group.lines.clear();
                waiting.append(&mut group.waiting);
            }
            for waits in waiting.drain(..) {
                // A caller that has gone away does not wait.
                let _ = waits.send(written.clone());
            }
            lines.clear();
        }
    }
}

fn write_group(mut file: &File, lines: &[u8], is_synced: bool) -> io::Result<()> {
    file.write_all(lines)?;
    if is_synced { file.sync_data() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::bulk::journal::scratch::Scratch;

    fn appending(path: &std::path::Path) -> Arc<File> {
        Arc::new(OpenOptions::new().create(true).append(true).open(path).unwrap())
    }

    #[tokio::test]
    async fn lines_are_whole_in_order_and_on_the_disk() {
        let scratch = Scratch::new();
        let writer = Arc::new(Writer::start(appending(&scratch.path())).unwrap());
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..8 {
            let writer = Arc::clone(&writer);
            callers.spawn(async move {
                for n in 0..50 {
                    let line = format!("{caller} {n}\n");
                    match n % 2 {
                        0 => writer.write(line.as_bytes()).unwrap(),
                        _ => writer.write_synced(line.as_bytes()).await.unwrap(),
                    }
                }
            });
        }
        callers.join_all().await;
        let text = std::fs::read_to_string(scratch.path()).unwrap();
        for caller in 0..8 {
            let begin = format!("{caller} ");
            let of_caller: Vec<_> = text.lines().filter_map(|l| l.strip_prefix(&begin)).collect();
            let in_order: Vec<_> = (0..50).map(|n| n.to_string()).collect();
            assert_eq!(of_caller, in_order);
        }
    }

    #[tokio::test]
    async fn what_was_not_waited_for_is_written_at_the_end() {
        let scratch = Scratch::new();
        let writer = Writer::start(appending(&scratch.path())).unwrap();
        writer.write(b"last\n").unwrap();
        writer.close();
        assert_eq!(std::fs::read(scratch.path()).unwrap(), b"last\n");
        assert!(matches!(writer.write(b"late\n"), Err(JournalError::Write { .. })));
    }

    #[tokio::test]
    async fn nothing_is_written_after_a_failure() {
        let scratch = Scratch::new();
        std::fs::write(scratch.path(), "").unwrap();
        // It cannot be written.
        let read_only = Arc::new(File::open(scratch.path()).unwrap());
        let writer = Writer::start(read_only).unwrap();
        for _ in 0..2 {
            let written = writer.write_synced(b"x\n").await;
            assert!(matches!(written, Err(JournalError::Write { .. })), "{written:?}");
        }
        assert!(matches!(writer.write(b"x\n"), Err(JournalError::Write { .. })), "at once");
    }
}
