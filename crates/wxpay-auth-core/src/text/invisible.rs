//! Invisible characters, which are often copied along with text from a page or a document.

use std::fmt;
use std::path::Path;

/// Returns whether a character is invisible: a byte order mark, a zero-width space, a direction mark.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Returns the first invisible character of a text.
pub fn invisible(text: &str) -> Option<char> {
    text.chars().find(|c| is_invisible(*c))
}

/// Shows an invisible character by its code point: `U+FEFF`.
#[derive(Debug)]
pub struct Number(pub char);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.0))
    }
}

/// Names the invisible character in a path, if there is one: the path alone does not show it.
pub(crate) struct InPath<'a>(pub(crate) &'a Path);

impl fmt::Display for InPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match invisible(&self.0.to_string_lossy()) {
            Some(c) => write!(f, " (there is an invisible character in the path, {})", Number(c)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_told_from_what_is_not() {
        for unseen in ["\u{feff}a", "a\u{200b}", "\u{202a}C:\\keys", "a\u{2060}b", "\u{ad}"] {
            assert!(invisible(unseen).is_some(), "{unseen:?}");
        }
        for seen in ["", "a b", "密钥", "a\u{a0}b", "a\nb", "é"] {
            assert_eq!(invisible(seen), None, "{seen:?}");
        }
        assert_eq!(Number('\u{feff}').to_string(), "U+FEFF");
        assert_eq!(InPath(Path::new("/etc/key.pem")).to_string(), "");
        assert!(InPath(Path::new("\u{feff}/etc/key.pem")).to_string().contains("U+FEFF"));
    }
}
