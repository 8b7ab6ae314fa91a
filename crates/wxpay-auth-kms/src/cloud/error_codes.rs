//! The table of the error codes of a service.

use wxpay_auth_core::SignErrorKind;

/// A code, its kind, and what to do if that is more specific than the kind. An entry also matches
/// codes that begin with its code and a dot.
pub(crate) type Code = (&'static str, SignErrorKind, Option<&'static str>);

pub(crate) const CLOCK_HINT: &str =
    "set the clock of this machine (NTP): the service refuses signatures some minutes off";
pub(crate) const TOKEN_HINT: &str = "the session token has expired, or does not belong to the access key: get a new one, or use a \
     CredentialProvider";

/// Returns the longest entry that matches a code.
pub(crate) fn look_up<'a>(table: &'a [Code], code: &str) -> Option<&'a Code> {
    let fits = |entry: &&Code| {
        code.strip_prefix(entry.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    table.iter().filter(fits).max_by_key(|entry| entry.0.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_one_counts() {
        const TABLE: &[Code] = &[
            ("A.B.C", SignErrorKind::Timeout, None),
            ("A", SignErrorKind::Other, None),
            ("A.B", SignErrorKind::Throttled, Some("wait")),
        ];
        let found = |code| look_up(TABLE, code).map(|entry| entry.0);
        assert_eq!(found("A"), Some("A"));
        assert_eq!(found("A.X.C"), Some("A"));
        assert_eq!(found("A.B"), Some("A.B"));
        assert_eq!(found("A.B.X"), Some("A.B"));
        assert_eq!(found("A.B.C"), Some("A.B.C"));
        assert_eq!(found("A.BC"), Some("A"));
        assert_eq!(found("AB"), None);
        assert_eq!(found(""), None);
    }
}
