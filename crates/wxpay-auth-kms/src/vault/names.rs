//! Names of mounts, keys and namespaces, which become parts of a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::KmsError;

/// The characters that are not encoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Checks the path of a mount or a namespace, and encodes it. A trailing `/`, as in the listing of
/// Vault, is removed.
pub(super) fn path(what: &str, path: &str) -> Result<String, KmsError> {
    let segments: Vec<_> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    if segments.iter().all(|segment| is_segment(segment)) {
        let encoded = segments.iter().map(|s| utf8_percent_encode(s, SEGMENT).to_string());
        return Ok(encoded.collect::<Vec<_>>().join("/"));
    }
    Err(KmsError::setting(
        // Not quoted: it may be a misplaced secret.
        format!("{what} is not a path"),
        "write it as Vault lists it: transit, or team-a/transit",
    ))
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.chars().any(char::is_control)
}

/// Checks the name of a key: Transit allows letters, digits, `_`, `-` and `.`, the last two not at
/// either end.
pub(super) fn key(key: &str) -> Result<(), KmsError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.starts_with(is_word)
        && key.ends_with(is_word)
        && key.chars().all(|c| is_word(c) || matches!(c, '-' | '.'))
    {
        return Ok(());
    }
    Err(KmsError::setting(
        "the name of the key is not valid for Transit",
        "give the name of the key alone (letters, digits, _, - and .); the mount is set apart, mount=transit",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_by_segment() {
        for (good, encoded) in [
            ("transit", "transit"),
            ("transit/", "transit"),
            ("team-a/transit", "team-a/transit"),
            ("支付/a b?c#d%2F", "%E6%94%AF%E4%BB%98/a%20b%3Fc%23d%252F"),
        ] {
            assert_eq!(path("the mount", good).unwrap(), encoded);
        }
        for wrong in ["", "/", "//", "/transit", "a//b", "..", "a/../sys", "a/.", "a\nb"] {
            let error = path("the mount", wrong).unwrap_err();
            assert_eq!(error.to_string(), "the mount is not a path");
        }
    }

    #[test]
    fn keys_are_words() {
        for good in ["merchant", "m", "wx_pay.2026-01"] {
            key(good).unwrap();
        }
        for wrong in ["", "a/b", "..", ".a", "a-", "a b", "密钥", "a%2Fb", "a?b", "a\n"] {
            let error = key(wrong).unwrap_err();
            assert_eq!(error.to_string(), "the name of the key is not valid for Transit");
        }
    }
}
