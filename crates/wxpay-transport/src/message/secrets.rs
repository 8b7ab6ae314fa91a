//! What a response may repeat and no error may show.

use wxpay_auth::{VerifyError, foreign_text};

/// How many characters of a foreign text are shown.
const MAX_TEXT: usize = 300;

/// Holds what was sent and must not be shown.
#[derive(Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    pub(crate) fn new(secrets: Vec<String>) -> Self {
        Self(secrets)
    }

    #[cfg(test)]
    pub(crate) fn of(secrets: &[&str]) -> Self {
        Self(secrets.iter().map(|secret| (*secret).to_owned()).collect())
    }

    /// Makes a text of a response fit to be shown.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.shown_within(text, MAX_TEXT)
    }

    pub(crate) fn shown_within(&self, text: &str, most: usize) -> String {
        let secrets: Vec<&str> = self.0.iter().map(String::as_str).collect();
        foreign_text(text, most, &secrets)
    }

    /// Makes an error that quotes a header of a response fit to be shown.
    pub(crate) fn cut_out_of(&self, mut error: VerifyError) -> VerifyError {
        let named = match &error {
            VerifyError::KeyNotValid { serial, .. }
            | VerifyError::Mismatch { serial, .. }
            | VerifyError::Unavailable { serial, .. } => Some(serial),
            _ => None,
        };
        // A key that is called like something that was sent is none.
        if let Some(serial) = named.filter(|serial| self.shown(serial.as_str()) != serial.as_str())
        {
            error = VerifyError::unknown_serial(serial);
        }
        if let VerifyError::UnknownSerial { serial, .. } | VerifyError::Probe { serial, .. } =
            &mut error
        {
            *serial = self.shown(serial);
        }
        error
    }
}
