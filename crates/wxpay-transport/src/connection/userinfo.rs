//! User and password in a URL.

/// Returns whether a text is a valid user and password of a URL (RFC 3986, section 3.2.1): reserved
/// characters must be percent-encoded. With a raw one, part of the password would be taken for a host,
/// and shown.
pub(crate) fn is_encoded(userinfo: &str) -> bool {
    let bytes = userinfo.as_bytes();
    bytes.iter().enumerate().all(|(n, byte)| match byte {
        b'%' => bytes.get(n + 1..n + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
        | b',' | b';' | b'=' | b':' => true,
        other => other.is_ascii_alphanumeric(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_a_url_is_encoded() {
        for userinfo in ["", "user:pw", "a:b:c", "p%40s", "-._~!$&'()*+,;="] {
            assert!(is_encoded(userinfo), "{userinfo}");
        }
        for raw in ["a@b", "a/b", "a?b", "a#b", "a b", "a\nb", "%", "%4", "%4g", "密", "[", "\""] {
            assert!(!is_encoded(raw), "{raw}");
        }
    }
}
