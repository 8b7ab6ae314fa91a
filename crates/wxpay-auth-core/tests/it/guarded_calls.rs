//! Code of the application is called only where its panics are caught.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

/// Lists the files below a folder that contain a text.
fn with(text: &str, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            with(text, &path, found);
        } else if std::fs::read_to_string(&path).unwrap().contains(text) {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// Returns the source files that contain a text, without those for tests.
fn sources_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    with(text, &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.retain(|name| name != "panicking.rs");
    found
}

/// Only the events of this module are guarded.
#[test]
fn events_are_written_by_one_module() {
    let found = sources_with("tracing::");
    assert!(found.iter().all(|name| name == "log.rs"), "{found:?}");
    assert!(!sources_with("log::").is_empty(), "the sources are not here");
}

/// Elsewhere, the payload of a panic would be dropped unguarded.
#[test]
fn panics_are_caught_by_one_module() {
    let found = sources_with("catch_unwind");
    assert!(found.iter().all(|name| name == "panics.rs"), "{found:?}");
}
