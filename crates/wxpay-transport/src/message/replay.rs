//! Whether a request may be repeated.

use std::fmt;

/// Whether a call may be sent again when it is unknown whether it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Replay {
    /// A query: repeating it changes nothing.
    Safe,
    /// The server recognises a repetition with the same parameters by a number in the body (`out_request_no`,
    /// `out_trade_no`), and carries it out once.
    Keyed,
    /// Repeating could do it twice, or return a misleading response. It is sent again only if nothing of it
    /// was sent, or if WeChat Pay itself did not accept it (429).
    Never,
}

impl Replay {
    /// Returns whether the call may be repeated after an unknown outcome.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Self::Safe | Self::Keyed)
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe",
            Self::Keyed => "keyed",
            Self::Never => "never",
        })
    }
}
