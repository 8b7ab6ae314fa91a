//! The identity of a library file: PKCS#11 has one state per process and library, whatever its
//! path.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

/// A library file.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    path: PathBuf,
    /// Device and inode number, because a file may have several paths.
    file: Option<(u64, u64)>,
}

impl Library {
    /// Returns the library at a path, following links.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let file = number(&path);
        Ok(Self { path, file })
    }

    /// Returns the library that the loader has found and loaded for a bare name.
    ///
    /// The loader does not say which file it is, but the system lists the files mapped into this
    /// process.
    pub(crate) fn loaded_as(name: &Path) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let maps = std::fs::read("/proc/self/maps").map_err(
            |_| "the file of a bare name cannot be determined on this system: give its whole path",
        )?;
        let searched = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let searched = std::env::split_paths(&searched).collect();
        let found = find(name, mapped(&String::from_utf8_lossy(&maps)), searched);
        Ok(found.ok_or("the file of this name cannot be determined: give its whole path")?)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether both are the same library for the loader.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.path == other.path || (self.file.is_some() && self.file == other.file)
    }
}

#[cfg(unix)]
fn number(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn number(_path: &Path) -> Option<(u64, u64)> {
    None
}

/// Parses the files in the text of `/proc/self/maps`.
fn mapped(maps: &str) -> BTreeSet<PathBuf> {
    let paths = maps.lines().filter_map(|line| line.find('/').and_then(|begin| line.get(begin..)));
    paths.map(|path| path.strip_suffix(" (deleted)").unwrap_or(path).into()).collect()
}

/// Finds the only mapped file with this name, or the target of a link with this name in the folder
/// of a mapped file or in a search folder.
fn find(name: &Path, mapped: BTreeSet<PathBuf>, searched: Vec<PathBuf>) -> Option<Library> {
    let mut folders: BTreeSet<PathBuf> = searched.into_iter().collect();
    folders.extend(mapped.iter().filter_map(|path| path.parent().map(Path::to_owned)));
    let mapped: Vec<Library> =
        mapped.into_iter().map(|path| Library { file: number(&path), path }).collect();
    let linked: Vec<Library> =
        folders.iter().filter_map(|folder| Library::at(&folder.join(name)).ok()).collect();

    let mut fitting = mapped.into_iter().filter(|library| {
        library.path.file_name() == Some(name.as_os_str())
            || linked.iter().any(|linked| linked.is(library))
    });
    let first = fitting.next()?;
    fitting.all(|other| other.is(&first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0c0a00000-55d0c0a21000 r--p 00000000 08:01 393252                     /usr/bin/shop
7f2a1c000000-7f2a1c021000 rw-p 00000000 00:00 0
7f2a20000000-7f2a20010000 r-xp 00001000 08:01 131177                     /opt/an hsm/lib.so
7f2a20010000-7f2a20011000 r--p 00011000 08:01 131177                     /opt/an hsm/lib.so
7f2a20020000-7f2a20021000 r--p 00011000 08:01 131178                     /opt/old.so (deleted)
7ffd3f5e5000-7ffd3f606000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn mapped_files_are_read_from_the_text_of_the_system() {
        let expected = ["/opt/an hsm/lib.so", "/opt/old.so", "/usr/bin/shop"];
        assert_eq!(mapped(MAPS).into_iter().collect::<Vec<_>>(), expected.map(PathBuf::from));
        // A file that was replaced on disk is still the loaded one.
        let old = find(Path::new("old.so"), mapped(MAPS), Vec::new()).unwrap();
        assert_eq!(old.path(), Path::new("/opt/old.so"));
        assert!(find(Path::new("other.so"), mapped(MAPS), Vec::new()).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_name_is_the_file_that_it_leads_to() {
        let folder = std::env::temp_dir().join(format!("wxpay-library-{}", std::process::id()));
        let (real, links) = (folder.join("real"), folder.join("links"));
        std::fs::create_dir_all(&real).unwrap();
        std::fs::create_dir_all(&links).unwrap();
        let file = real.join("liba.so.1.2");
        std::fs::write(&file, "a").unwrap();
        std::fs::write(real.join("other.so"), "b").unwrap();
        std::os::unix::fs::symlink("liba.so.1.2", real.join("proxy.so")).unwrap();
        std::os::unix::fs::symlink(&file, links.join("far.so")).unwrap();
        std::fs::hard_link(&file, links.join("hard.so")).unwrap();

        let a = Library::at(&file).unwrap();
        let maps = || BTreeSet::from([file.clone(), real.join("other.so")]);
        let is_a = |name: &str, searched: &[&PathBuf]| {
            let searched = searched.iter().map(|&folder| folder.clone()).collect();
            find(Path::new(name), maps(), searched).map(|found| found.is(&a))
        };
        assert_eq!(is_a("liba.so.1.2", &[]), Some(true));
        assert_eq!(is_a("proxy.so", &[]), Some(true));
        assert_eq!(is_a("far.so", &[&links]), Some(true));
        assert_eq!(is_a("hard.so", &[&links]), Some(true));
        assert_eq!(is_a("other.so", &[]), Some(false));
        assert_eq!(is_a("far.so", &[]), None);
        // Two of the loaded files match, so the result is ambiguous.
        std::os::unix::fs::symlink(&file, links.join("other.so")).unwrap();
        assert_eq!(is_a("other.so", &[&links]), None);
        assert!(Library::at(&links.join("far.so")).unwrap().is(&a));
        assert!(Library::at(&links.join("hard.so")).unwrap().is(&a));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
