//! Key files on disk.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::keys::KeyError;
use crate::text::may_be_path;

/// No key or certificate chain comes near this size; a wrong path (a log, a device) may.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a whole key file into memory that is wiped when dropped.
///
/// # Errors
/// [`KeyError`]: it is no path, the file is not there, cannot be read, or is larger than 1 MiB.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        // Somebody gave the key itself, and errors are shown.
        _ if !may_be_path(path) => KeyError::NotAPath,
        io::ErrorKind::NotFound => KeyError::NotFound { path: path.to_owned() },
        _ => KeyError::Unreadable { path: path.to_owned(), source },
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    // Room for the whole file at once: a buffer that grows leaves copies behind. A pipe says that it
    // has no length, and gets room for any key.
    let capacity = usize::try_from(length).unwrap_or(0).saturating_add(1).max(1 << 14);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    io::Read::read_to_end(&mut io::Read::take(&mut file, MAX_BYTES), &mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Warns when others than the owner can read a secret: "this private key", say.
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
            tracing::warn!(
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
