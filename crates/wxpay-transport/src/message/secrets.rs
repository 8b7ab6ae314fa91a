//! What a response may repeat but no error may show.

use wxpay_auth::VerifyError;
use wxpay_auth::internal::SentTexts;

/// Maximum number of characters shown of a foreign text.
const MAX_TEXT: usize = 300;

/// What was sent and must not be shown.
#[derive(Default)]
pub(crate) struct Secrets(SentTexts);

impl Secrets {
    pub(crate) fn new(secrets: &[String]) -> Self {
        Self(SentTexts::new(secrets.iter().map(String::as_str)))
    }

    #[cfg(test)]
    pub(crate) fn of(secrets: &[&str]) -> Self {
        Self(SentTexts::new(secrets.iter().copied()))
    }

    /// Makes a text of a response safe to show.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.shown_within(text, MAX_TEXT)
    }

    pub(crate) fn shown_within(&self, text: &str, most: usize) -> String {
        self.0.foreign_text(text, most)
    }

    /// Makes an error that quotes a response header safe to show.
    pub(crate) fn cut_out_of(&self, mut error: VerifyError) -> VerifyError {
        let named = match &error {
            VerifyError::KeyNotValid { serial, .. }
            | VerifyError::Mismatch { serial, .. }
            | VerifyError::Unavailable { serial, .. } => Some(serial),
            _ => None,
        };
        // A serial that contains something that was sent cannot name a key.
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
