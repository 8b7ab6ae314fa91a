//! Why WeChat Pay rejected a signature: compares the message it verified with the one signed here.

use std::fmt;

use serde_json::{Map, Value};

use crate::message::secrets::Secrets;

/// A line of the signed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignedLine {
    /// The first line, such as `POST`.
    Method,
    /// The second line: path and query.
    Url,
    /// The third line: Unix seconds.
    Timestamp,
    /// The fourth line.
    Nonce,
    /// The fifth line, which may be empty.
    Body,
}

impl fmt::Display for SignedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "method",
            Self::Url => "url",
            Self::Timestamp => "timestamp",
            Self::Nonce => "nonce",
            Self::Body => "body",
        })
    }
}

const LINES: [SignedLine; 5] = [
    SignedLine::Method,
    SignedLine::Url,
    SignedLine::Timestamp,
    SignedLine::Nonce,
    SignedLine::Body,
];

/// Explains a `SIGN_ERROR`: which line of the signed message differs from what the server saw.
///
/// WeChat Pay returns the message that *it* built. If all lines agree, the message is correct, and the key
/// or serial number is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignDiagnosis {
    differs: Option<SignedLine>,
    ours: Option<String>,
    theirs: Option<String>,
    our_length: usize,
    their_length: Option<usize>,
}

impl SignDiagnosis {
    /// Compares the message signed here with the one the server says it built.
    pub(crate) fn new(ours: &[u8], theirs: &SignInformation, secrets: &Secrets) -> Self {
        let whole = theirs.length.is_none_or(|length| length == theirs.message.len());
        let their_message = theirs.message.as_bytes();
        // A truncated message ends in a line feed that is not part of it.
        let cut = (!whole).then(|| their_message.strip_suffix(b"\n")).flatten();
        let our_lines = five_lines(ours);
        let their_lines = five_lines(cut.unwrap_or(their_message));
        let last_shown = their_lines.iter().flatten().count().saturating_sub(1);

        let differs = LINES.iter().enumerate().zip(our_lines).zip(their_lines).find_map(
            |(((index, line), ours), theirs)| {
                // A line that the server did not show cannot differ.
                let (ours, theirs) = (ours.unwrap_or_default(), theirs?);
                let agree = if whole || index != last_shown {
                    ours == theirs
                } else {
                    ours.starts_with(theirs)
                };
                (!agree).then_some((*line, ours, theirs))
            },
        );
        let lengths_agree = theirs.length.is_none_or(|length| length == ours.len());
        // Nonce and body must not be shown.
        let may_be_shown = |line| !matches!(line, SignedLine::Nonce | SignedLine::Body);
        let shown =
            |line, text| may_be_shown(line).then(|| secrets.shown(&String::from_utf8_lossy(text)));
        Self {
            differs: match differs {
                Some((line, ..)) => Some(line),
                None if lengths_agree => None,
                None => Some(SignedLine::Body),
            },
            ours: differs.and_then(|(line, ours, _)| shown(line, ours)),
            theirs: differs.and_then(|(line, _, theirs)| shown(line, theirs)),
            our_length: ours.len(),
            their_length: theirs.length,
        }
    }

    /// Returns the first line that differs; `None` if the messages agree, as far as the server shows its
    /// own. In that case the key or the serial number is wrong.
    pub fn differs(&self) -> Option<SignedLine> {
        self.differs
    }

    /// Returns the line as signed here. Nonces and bodies are not kept.
    pub fn ours(&self) -> Option<&str> {
        self.ours.as_deref()
    }

    /// Returns the line as the server saw it, with other request contents removed. Nonces and bodies are not kept.
    pub fn theirs(&self) -> Option<&str> {
        self.theirs.as_deref()
    }

    /// Returns the length of the message signed here, in bytes.
    pub fn our_length(&self) -> usize {
        self.our_length
    }

    /// Returns the length of the message the server built, in bytes.
    pub fn their_length(&self) -> Option<usize> {
        self.their_length
    }
}

impl fmt::Display for SignDiagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.differs, &self.ours, &self.theirs) {
            (Some(line), Some(ours), Some(theirs)) => {
                write!(f, "the {line} differs: signed {ours:?}, the server saw {theirs:?}")
            }
            (Some(SignedLine::Nonce), ..) => f.write_str("the nonce differs"),
            (Some(line), ..) => {
                write!(f, "the {line} differs: {} bytes were signed", self.our_length)?;
                match self.their_length {
                    Some(theirs) => write!(f, ", the server saw {theirs}"),
                    None => Ok(()),
                }
            }
            (None, ..) => f.write_str(
                "the server built the same message: the key does not belong to the serial_no, or \
                 not to the mchid; or a signer of your own signed something else than the message",
            ),
        }
    }
}

/// What the server says about its own message, including the body.
pub(crate) struct SignInformation {
    message: String,
    length: Option<usize>,
}

impl SignInformation {
    pub(crate) fn from_object(object: &Map<String, Value>) -> Option<Self> {
        let message = object.get("truncated_sign_message")?.as_str()?.to_owned();
        let length = object.get("sign_message_length").and_then(Value::as_u64);
        Some(Self { message, length: length.and_then(|n| usize::try_from(n).ok()) })
    }
}

impl fmt::Debug for SignInformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInformation").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Splits a message into its lines; the fifth, the body, is the rest without the final line feed.
fn five_lines(message: &[u8]) -> [Option<&[u8]>; 5] {
    let mut lines = [None; 5];
    let mut parts = message.splitn(5, |b| *b == b'\n');
    for line in &mut lines {
        *line = parts.next();
    }
    if let [.., Some(body)] = &mut lines {
        *body = body.strip_suffix(b"\n").unwrap_or(body);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn information(message: &str, length: usize) -> SignInformation {
        SignInformation { message: message.to_owned(), length: Some(length) }
    }

    fn diagnose(ours: &[u8], theirs: &SignInformation) -> SignDiagnosis {
        SignDiagnosis::new(ours, theirs, &Secrets::default())
    }

    const OURS: &str = "POST\n/v3/x?a=1\n1554208460\nNONCE\n{\"amount\":{\"total\":1}}\n";

    #[test]
    fn the_first_line_that_differs_is_named() {
        for (from, to, line) in [
            ("POST", "GET", SignedLine::Method),
            ("?a=1", "", SignedLine::Url),
            ("1554208460", "1554208461", SignedLine::Timestamp),
        ] {
            let theirs = OURS.replace(from, to);
            let diagnosis = diagnose(OURS.as_bytes(), &information(&theirs, theirs.len()));
            assert_eq!(diagnosis.differs(), Some(line));
            assert!(diagnosis.ours().unwrap().contains(from), "{diagnosis}");
            assert!(!diagnosis.theirs().unwrap().contains(from), "{diagnosis}");
        }
    }

    #[test]
    fn nonces_are_compared_and_not_shown() {
        let theirs = OURS.replace("NONCE", "ECNON");
        let diagnosis = diagnose(OURS.as_bytes(), &information(&theirs, theirs.len()));
        assert_eq!(diagnosis.differs(), Some(SignedLine::Nonce));
        assert_eq!(diagnosis.to_string(), "the nonce differs");
        let text = format!("{diagnosis:?}");
        assert!(!text.contains("NONCE") && !text.contains("ECNON"), "{text}");
    }

    #[test]
    fn bodies_are_compared_and_not_shown() {
        let empty = "POST\n/v3/x?a=1\n1554208460\nNONCE\n\n";
        let diagnosis = diagnose(OURS.as_bytes(), &information(empty, empty.len()));
        assert_eq!(diagnosis.differs(), Some(SignedLine::Body));
        assert_eq!(
            (diagnosis.our_length(), diagnosis.their_length()),
            (OURS.len(), Some(empty.len()))
        );
        let text = format!("{diagnosis} {diagnosis:?}");
        assert!(!text.contains("amount"), "{text}");

        let same_length = OURS.replace("total", "tatol");
        let theirs = information(&same_length, OURS.len());
        assert_eq!(diagnose(OURS.as_bytes(), &theirs).differs(), Some(SignedLine::Body));
    }

    #[test]
    fn a_message_that_was_cut_is_compared_as_far_as_it_goes() {
        for cut in 0..OURS.len() {
            let theirs = information(&OURS[..cut], OURS.len());
            let diagnosis = diagnose(OURS.as_bytes(), &theirs);
            assert_eq!(diagnosis.differs(), None, "cut at {cut}: {diagnosis}");

            let other_method = OURS.replace("POST", "PUT!");
            let theirs = information(&other_method[..cut], OURS.len());
            let diagnosis = diagnose(OURS.as_bytes(), &theirs);
            let visible = (cut > 1).then_some(SignedLine::Method);
            assert_eq!(diagnosis.differs(), visible, "cut at {cut}: {diagnosis}");
        }
    }

    #[test]
    fn the_same_message_means_another_key() {
        let diagnosis = diagnose(OURS.as_bytes(), &information(OURS, OURS.len()));
        assert_eq!(diagnosis.differs(), None);
        assert!(diagnosis.to_string().contains("serial_no"));
    }
}
