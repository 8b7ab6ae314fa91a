//! The common parts of the targets: the layout of an input, and the requirements on every text.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// An input in the form of a response: its status, a line per header, an empty line, its body.
pub struct Response<'a> {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// Parses an input. Headers that hyper would reject are omitted.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let (status, rest) = split(input, b"\n")?;
        let status = str::from_utf8(status).ok()?.parse().ok()?;
        let (head, body) = match rest.strip_prefix(b"\n") {
            Some(body) => (&b""[..], body),
            None => split(rest, b"\n\n").unwrap_or((rest, b"")),
        };
        let mut headers = HeaderMap::new();
        for line in head.split(|b| *b == b'\n') {
            let Some((name, value)) = split(line, b": ") else { continue };
            let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        Some(Self { status, headers, body })
    }
}

/// Splits bytes at the first occurrence of the separator.
pub fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// Checks that a text is safe for a log: one line, no control characters, not too long.
#[track_caller]
pub fn assert_one_line(text: &str, at_most: usize) {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    assert!(!text.contains(breaks), "not one line: {text:?}");
    let characters = text.chars().count();
    assert!(characters <= at_most, "{characters} characters: {text:?}");
}

/// Checks an error, and all its sources.
#[track_caller]
pub fn assert_good_error(error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        assert_one_line(&error.to_string(), 1200);
        next = error.source();
    }
}

/// Runs a future that never waits.
pub fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}
