//! What may be done twice.

use std::fmt;

/// Says whether a call may be sent again when nobody knows whether it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Replay {
    /// Repeating changes nothing: a query.
    Safe,
    /// Repeating with the same parameters is recognised by a number in the body (`out_request_no`,
    /// `out_trade_no`), and carried out once.
    Keyed,
    /// Repeating could do it twice, or give a response that misleads: it is sent again only when
    /// nothing of it was sent, or when WeChat Pay itself did not accept it (429).
    Never,
}

impl Replay {
    /// Tells whether it may be repeated after an unknown outcome.
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
