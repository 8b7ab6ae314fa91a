//! The file of a journal: made, locked, read at any place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::error::JournalError;

/// Opens a file for one job, and makes it if there is none: readable by its owner only, and known to its folder after
/// a crash.
pub(super) fn open_locked(path: &Path) -> Result<File, JournalError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    let file = match only_ours(&mut options).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Another job may make it at the same time: the lock decides.
            let file = only_ours(options.create(true)).open(path);
            let file = file.map_err(not_opened("create"))?;
            sync_folder(path).map_err(JournalError::io("create"))?;
            file
        }
        opened => opened.map_err(not_opened("open"))?,
    };
    lock(&file)?;
    Ok(file)
}

#[cfg(unix)]
fn only_ours(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

/// Others may read, but not write: this is the lock.
#[cfg(windows)]
fn only_ours(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ: u32 = 1;
    options.share_mode(FILE_SHARE_READ)
}

fn not_opened(action: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |error| {
        const ERROR_SHARING_VIOLATION: i32 = 32;
        if cfg!(windows) && error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) {
            return JournalError::Locked;
        }
        JournalError::io(action)(error)
    }
}

#[cfg(unix)]
fn lock(file: &File) -> Result<(), JournalError> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(JournalError::Locked),
        Err(error) => Err(JournalError::io("lock")(error.into())),
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on unix")]
fn lock(_: &File) -> Result<(), JournalError> {
    Ok(())
}

/// Gives the lock up, although other handles of the file may live on for a moment.
pub(super) fn unlock(file: &File) {
    #[cfg(unix)]
    // The end of the process would give it up, too.
    let _ = rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock);
    #[cfg(not(unix))]
    let _ = file;
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on unix")]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Reads a file from a place of its own, whatever others do with it.
#[derive(Debug)]
pub(crate) struct FileAt {
    file: Arc<File>,
    offset: u64,
}

impl FileAt {
    pub(crate) fn new(file: Arc<File>, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl Read for FileAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.offset)?;
        // It moves the position of the file, which only appends.
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
