//! A received request.

use http::HeaderMap;

/// A request with its target exactly as in the request line.
#[derive(Clone, Copy)]
pub(crate) struct RawRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a> RawRequest<'a> {
    /// Returns the value of a header that occurs exactly once, is text, and is not empty.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().filter(|v| !v.trim().is_empty()),
            _ => None,
        }
    }
}
