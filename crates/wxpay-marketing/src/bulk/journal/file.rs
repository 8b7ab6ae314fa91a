//! The file of a journal: made, locked, read at any place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::JournalError;

/// Opens a file for one job, and makes it if there is none: readable by its owner only, and known to its folder after
/// a crash.
pub(super) fn open_locked(path: &Path) -> Result<File, JournalError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Another job may make it at the same time: the lock decides.
            let file = options.create(true).open(path).map_err(JournalError::io("create"))?;
            sync_folder(path).map_err(JournalError::io("create"))?;
            file
        }
        opened => opened.map_err(JournalError::io("open"))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(JournalError::Locked),
        Err(error) => Err(JournalError::io("lock")(error.into())),
    }
}

/// Gives the lock up, although other handles of the file may live on for a moment.
pub(super) fn unlock(file: &File) {
    // The end of the process would give it up, too.
    let _ = flock(file, FlockOperation::Unlock);
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
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
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
