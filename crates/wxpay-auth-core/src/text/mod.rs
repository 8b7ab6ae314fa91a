//! Text for people: what may be shown, and how an error is reported.

mod foreign_text;
mod invisible;
mod report;
mod serde_as_text;
mod shown_path;

pub use self::foreign_text::{SentTexts, foreign_text, without};
pub(crate) use self::invisible::InPath;
pub use self::invisible::{Number, invisible};
pub use self::report::{debug_as_report, write_report};
pub use self::serde_as_text::serde_as_text;
pub use self::shown_path::{Shown, ShownSecret, may_be_path, may_be_path_of_secret};
