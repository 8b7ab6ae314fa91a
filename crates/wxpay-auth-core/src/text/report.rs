//! Reports an error on one line, with its causes and a hint.

use std::error::Error;
use std::fmt::{self, Write as _};

/// Writes an error, its causes, and a hint, on one line: `error: cause: cause; hint`.
///
/// The `Debug` output of this workspace's errors, because a program prints that if its `main` returns an
/// error. An empty hint is omitted.
///
/// # Errors
/// Those of the formatter.
pub fn write_report(
    f: &mut fmt::Formatter<'_>,
    error: &(dyn Error + 'static),
    hint: &str,
) -> fmt::Result {
    let mut line = OneLine(f);
    write!(line, "{error}")?;
    let mut source = error.source();
    while let Some(error) = source {
        write!(line, ": {error}")?;
        source = error.source();
    }
    if hint.is_empty() { Ok(()) } else { write!(line, "; {hint}") }
}

/// Replaces line ends with blanks: causes may come from other libraries.
struct OneLine<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, piece) in text.split(char::is_control).enumerate() {
            if index > 0 {
                self.0.write_char(' ')?;
            }
            self.0.write_str(piece)?;
        }
        Ok(())
    }
}

/// Implements `Debug` with [`write_report`].
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_report {
    ($($error:ty),+ $(,)?) => {$(
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::write_report(f, self, self.hint())
            }
        }
    )+};
}
pub use debug_as_report;

#[cfg(test)]
mod tests {
    use std::io;

    use crate::{KeyError, Mchid, SignError, SignErrorKind};

    #[test]
    fn an_error_is_one_line_with_causes_and_hint() {
        let cause = io::Error::other("the line\r\nis dead");
        let error = SignError::new(SignErrorKind::Unavailable, "no response")
            .with_source(cause)
            .with_hint("mend the line");
        let line = "signing failed (unavailable): no response: the line  is dead; mend the line";
        assert_eq!(format!("{error:?}"), line);
        assert_eq!(format!("{error:#?}"), line, "also where more room is given");
        let boxed: Box<dyn std::error::Error> = Mchid::new("").unwrap_err().into();
        assert!(format!("{boxed:?}").starts_with("mchid is empty; give the merchant number"));
        assert_eq!(format!("{:?}", KeyError::NoPem).lines().count(), 1);
    }
}
