//! Key files on disk.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::keys::KeyError;
#[cfg(unix)]
use crate::log;
use crate::text::may_be_path;

/// No key or certificate chain is near this size; a wrong path (a log, a device) may be.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a whole key file into memory that is wiped when dropped.
///
/// # Errors
/// [`KeyError`]: it is not a path, or the file does not exist, cannot be read, or is larger than 1 MiB.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        // The key itself may have been given as the path, and errors are shown.
        _ if !may_be_path(path) => KeyError::NotAPath,
        io::ErrorKind::NotFound => KeyError::NotFound { path: path.to_owned() },
        _ => KeyError::Unreadable { path: path.to_owned(), source },
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    // Reserve the whole size at once: a growing buffer leaves copies behind. A pipe reports no length,
    // and gets room for any key.
    let capacity = usize::try_from(length).unwrap_or(0).saturating_add(1).max(1 << 14);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    io::Read::read_to_end(&mut io::Read::take(&mut file, MAX_BYTES), &mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Warns if users other than the owner can read a secret, such as "this private key".
pub fn warn_if_exposed(path: &Path, what: &str) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if crate::keys::file_source::is_credential(path) {
            return;
        }
        let Ok(metadata) = std::fs::metadata(path) else { return };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            log::warn!(
                path = %path.display(),
                mode = %format_args!("{mode:03o}"),
                "other users can read {what}: chmod 600 {}",
                path.display(),
            );
        }
    }
    #[cfg(not(unix))]
    let _ = (path, what);
}
