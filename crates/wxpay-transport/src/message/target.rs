//! Request targets: path and query, signed and sent byte for byte.

use std::fmt;

use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::message::query_pairs::query_pairs;
use crate::message::request_error::RequestError;

/// Everything but the unreserved characters of RFC 3986. A path could contain more of them raw, but
/// encoded characters pass every intermediate server unchanged.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Maximum length of a target, in bytes.
const MAX_LENGTH: usize = 8 * 1024;

/// The target of a request: its absolute path, with an optional query.
///
/// It is encoded once, when it is built; the same bytes are signed and sent.
///
/// ```
/// use wxpay_transport::Target;
///
/// let target = Target::new("/v3/marketing/partner/delivery-plan/delivery-plans")?
///     .segment("12000")?
///     .segment("terminate")?;
/// assert_eq!(
///     target.as_str(),
///     "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate"
/// );
///
/// let target = Target::new("/v3/bill")?.query("name", "a b&c")?;
/// assert_eq!(target.as_str(), "/v3/bill?name=a%20b%26c");
/// # Ok::<(), wxpay_transport::RequestError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(String);

impl Target {
    /// Parses an encoded path, with or without a query.
    ///
    /// # Errors
    /// [`RequestError`] if it does not begin with `/`, or has a character that must be encoded, a `%`
    /// without two hexadecimal digits, a fragment, or a segment `.` or `..`.
    pub fn new(target: impl Into<String>) -> Result<Self, RequestError> {
        let target = target.into();
        if !target.starts_with('/') {
            return Err(RequestError::TargetNotAbsolute);
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        for (start, part, is_query) in [(0, path, false), (path.len() + 1, query, true)] {
            if let Some(position) = first_unencoded(part, is_query) {
                return Err(RequestError::TargetNotEncoded { position: start + position });
            }
        }
        if path.split('/').any(is_dot_segment) {
            return Err(RequestError::DotSegment);
        }
        Self(target).checked()
    }

    /// Adds one path segment, percent-encoding it.
    ///
    /// # Errors
    /// [`RequestError`] if the segment is empty, or `.` or `..` (which no encoding protects), or if there
    /// already is a query.
    pub fn segment(mut self, segment: &str) -> Result<Self, RequestError> {
        if self.0.contains('?') {
            return Err(RequestError::SegmentAfterQuery);
        }
        if segment.is_empty() {
            return Err(RequestError::EmptySegment);
        }
        if is_dot_segment(segment) {
            return Err(RequestError::DotSegment);
        }
        if !self.0.ends_with('/') {
            self.0.push('/');
        }
        self.0.extend(utf8_percent_encode(segment, ENCODED));
        self.checked()
    }

    /// Adds one query parameter, percent-encoding name and value. The value is a text or a number.
    ///
    /// # Errors
    /// [`RequestError`] if the target becomes too long.
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Result<Self, RequestError> {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.extend(utf8_percent_encode(name, ENCODED));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(&value.to_string(), ENCODED));
        self.checked()
    }

    /// Adds the members of a struct or map as query parameters, in order. A member that is `None` is
    /// omitted, and so is a `NaN` or infinite number, which JSON cannot represent.
    ///
    /// ```
    /// # use wxpay_transport::Target;
    /// #[derive(serde::Serialize)]
    /// struct Page<'a> {
    ///     brand_id: &'a str,
    ///     offset: u32,
    ///     limit: Option<u32>,
    /// }
    ///
    /// let page = Page { brand_id: "12", offset: 20, limit: None };
    /// let target = Target::new("/v3/x")?.queries(&page)?;
    /// assert_eq!(target.as_str(), "/v3/x?brand_id=12&offset=20");
    /// # Ok::<(), wxpay_transport::RequestError>(())
    /// ```
    ///
    /// # Errors
    /// [`RequestError::QueryForm`] if it is neither a struct nor a map, or a member is not a text, number or
    /// boolean; [`RequestError::NotJson`] if it cannot be serialized; [`RequestError::TargetTooLong`].
    pub fn queries(self, parameters: &impl Serialize) -> Result<Self, RequestError> {
        query_pairs(parameters)?
            .into_iter()
            .try_fold(self, |target, (name, value)| target.query(&name, value))
    }

    /// Takes a target that WeChat Pay wrote, which may contain other characters than those that this type encodes;
    /// `None` if it cannot be sent byte for byte.
    pub(crate) fn given(target: &str) -> Option<Self> {
        let is_sendable = target.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let target = Self(target.to_owned()).checked().ok()?;
        let is_absolute = target.0.starts_with('/');
        (is_absolute && is_sendable && target.to_path_and_query().is_ok()).then_some(target)
    }

    /// Returns the target as it is signed and sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.0.split_once('?').map_or(&*self.0, |(path, _)| path)
    }

    /// Converts it to hyper's type, which must not change a byte of it.
    pub(crate) fn to_path_and_query(&self) -> Result<PathAndQuery, RequestError> {
        match PathAndQuery::try_from(self.0.as_str()) {
            Ok(parsed) if parsed.as_str() == self.0 => Ok(parsed),
            _ => Err(RequestError::TargetNotEncoded { position: 0 }),
        }
    }

    fn checked(self) -> Result<Self, RequestError> {
        if self.0.len() > MAX_LENGTH {
            return Err(RequestError::TargetTooLong { length: self.0.len(), limit: MAX_LENGTH });
        }
        Ok(self)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Omits the query, which may contain personal data.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = (self.path(), self.0.contains('?'));
        write!(f, "Target({path}{})", if query { "?…" } else { "" })
    }
}

/// Also recognises `%2E`, which servers treat as a dot.
fn is_dot_segment(segment: &str) -> bool {
    let segment = segment.replace("%2e", ".").replace("%2E", ".");
    segment == "." || segment == ".."
}

/// Finds the first character that RFC 3986 does not allow in a path, or in a query.
fn first_unencoded(part: &str, is_query: bool) -> Option<usize> {
    let bytes = part.as_bytes();
    let allowed = |(position, byte): (usize, &u8)| match byte {
        b'%' => bytes
            .get(position + 1..position + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
        | b',' | b';' | b'=' | b':' | b'@' | b'/' => true,
        b'?' => is_query,
        other => other.is_ascii_alphanumeric(),
    };
    bytes.iter().enumerate().position(|at| !allowed(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_encoded_once() {
        for (segment, encoded) in [
            ("12000", "12000"),
            ("a b", "a%20b"),
            ("a/b", "a%2Fb"),
            ("50%", "50%25"),
            ("%41", "%2541"),
            ("a?b#c", "a%3Fb%23c"),
            ("a+b", "a%2Bb"),
            ("a.b", "a.b"),
            ("...", "..."),
            ("计划", "%E8%AE%A1%E5%88%92"),
            ("\u{0}\n", "%00%0A"),
        ] {
            let target = Target::new("/v3").unwrap().segment(segment).unwrap();
            assert_eq!(target.as_str(), format!("/v3/{encoded}"), "{segment:?}");
            assert_eq!(target.to_path_and_query().unwrap().as_str(), target.as_str());
        }
    }

    #[test]
    fn what_cannot_be_a_segment_is_refused() {
        let v3 = || Target::new("/v3").unwrap();
        assert_eq!(v3().segment(""), Err(RequestError::EmptySegment));
        for dots in [".", "..", "%2e", "%2E.", ".%2e"] {
            assert_eq!(v3().segment(dots), Err(RequestError::DotSegment), "{dots}");
            assert_eq!(Target::new(format!("/v3/{dots}/x")), Err(RequestError::DotSegment));
        }
        let query = v3().query("a", "b").unwrap();
        assert_eq!(query.segment("c"), Err(RequestError::SegmentAfterQuery));
        assert!(matches!(
            v3().segment(&"x".repeat(9000)),
            Err(RequestError::TargetTooLong { length: 9004, .. })
        ));
    }

    #[test]
    fn a_raw_target_is_taken_as_it_is_or_refused() {
        for target in
            ["/", "/v3/certificates", "/v3/a%2Fb?x=1&y=%7B%22a%22%3A1%7D", "/v3/x?time=10:00/+?"]
        {
            assert_eq!(Target::new(target).unwrap().to_path_and_query().unwrap().as_str(), target);
        }
        assert_eq!(Target::new("v3"), Err(RequestError::TargetNotAbsolute));
        assert_eq!(Target::new(""), Err(RequestError::TargetNotAbsolute));
        assert_eq!(Target::new("https://a/b"), Err(RequestError::TargetNotAbsolute));
        for (target, position) in [
            ("/v3/a b", 5),
            ("/v3/#x", 4),
            ("/v3/%", 4),
            ("/v3/%4", 4),
            ("/v3/%zz", 4),
            ("/v3?q=a\"b", 7),
            ("/v3?q=计", 6),
            ("/v3\r\nX: y", 3),
            ("/v3/{id}", 4),
        ] {
            assert_eq!(
                Target::new(target),
                Err(RequestError::TargetNotEncoded { position }),
                "{target:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_built_passes_as_a_raw_target(segment in ".{1,40}", name in ".{0,9}", value in ".{0,9}") {
            let built = Target::new("/v3").unwrap().segment(&segment).and_then(|t| t.query(&name, &value));
            if let Ok(built) = built {
                proptest::prop_assert_eq!(&Target::new(built.as_str()).unwrap(), &built);
                let parsed = built.to_path_and_query().unwrap();
                proptest::prop_assert_eq!(parsed.as_str(), built.as_str());
                let sent = built.as_str().strip_prefix("/v3/").unwrap().split_once('?').unwrap().0;
                let decoded = percent_encoding::percent_decode_str(sent).decode_utf8().unwrap();
                proptest::prop_assert_eq!(decoded, segment);
            }
        }
    }
}
