//! Why a notification was not received, or its resource not read.

use thiserror::Error;
use wxpay_auth::{DecryptError, UnverifiedNotification, foreign_text};
use wxpay_auth_core::internal::debug_as_report;

/// The longest id or event type that an error shows, in characters.
const LONGEST: usize = 64;

/// Why a notification was not received. It must not be acknowledged.
#[derive(Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The body is longer than the receiver accepts. Nothing of it was looked at.
    #[error("the notification has {length} bytes, more than {limit} are refused")]
    #[non_exhaustive]
    TooLarge {
        /// The length of the body, in bytes; of a body that arrives in pieces, what is known of it.
        length: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Its body did not arrive as a whole.
    #[error("the body of the notification did not arrive as a whole")]
    Incomplete,
    /// Its signature was not accepted.
    #[error(transparent)]
    Unverified(#[from] UnverifiedNotification),
    /// It is signed by WeChat Pay, and is no notification.
    #[error("the notification is verified, and has no valid envelope: {problem}")]
    #[non_exhaustive]
    Envelope {
        /// What is wrong.
        problem: String,
    },
    /// It is signed by WeChat Pay, and its resource cannot be decrypted.
    #[error("the resource of the notification {id} cannot be decrypted")]
    #[non_exhaustive]
    Decrypt {
        /// The id of the notification, shortened.
        id: String,
        /// Why.
        #[source]
        source: DecryptError,
    },
}

impl ReceiveError {
    pub(crate) fn too_large(length: u64, limit: usize) -> Self {
        Self::TooLarge { length, limit }
    }

    pub(crate) fn envelope(problem: impl Into<String>) -> Self {
        Self::Envelope { problem: problem.into() }
    }

    pub(crate) fn decrypt(id: &str, source: DecryptError) -> Self {
        Self::Decrypt { id: foreign_text(id, LONGEST, &[]), source }
    }

    /// Returns whether the same notification may be accepted later, without any change by its sender: a key could not
    /// be fetched, or the resource could not be decrypted.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unverified(error) => {
                matches!(error.cause(), wxpay_auth::VerifyError::Unavailable { .. })
            }
            Self::Decrypt { .. } | Self::Incomplete => true,
            Self::TooLarge { .. } | Self::Envelope { .. } => false,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => {
                "nothing, if it does not come from WeChat Pay; otherwise raise the limit (NotificationReceiver::body_limit)"
            }
            Self::Incomplete => "check the proxies in front; WeChat Pay sends it again",
            Self::Unverified(error) => error.hint(),
            Self::Envelope { .. } => {
                "check that this URL is set for notifications only; if it is, report it with the id of the event"
            }
            Self::Decrypt { source, .. } => source.hint(),
        }
    }
}

/// The resource of a notification does not have the form that the caller expects. Its bytes are there nevertheless
/// ([`Notification::resource_bytes`](crate::Notification::resource_bytes)).
#[derive(Error, Clone, PartialEq, Eq)]
#[error("the resource of {event_type} does not have the expected form: {problem}")]
pub struct ResourceError {
    event_type: String,
    problem: String,
}

impl ResourceError {
    pub(crate) fn new(event_type: &str, error: &serde_json::Error) -> Self {
        let event_type = foreign_text(event_type, LONGEST, &[]);
        Self { event_type, problem: problem(error) }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "read the bytes (Notification::resource_bytes), or a type of your own; nothing of the notification is lost"
    }
}

debug_as_report!(ReceiveError, ResourceError);

/// Describes an error of `serde_json` without the values that its text may repeat: they are personal data.
pub(crate) fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // These name a field of a type of ours, or of the application.
    if text.starts_with("missing field `") || text.starts_with("duplicate field `") {
        return foreign_text(&text, 120, &[]);
    }
    let what = match error.classify() {
        serde_json::error::Category::Data => "a value of another type",
        serde_json::error::Category::Eof => "the JSON ends too early",
        _ => "no JSON",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_the_json_is_repeated() {
        #[derive(serde::Deserialize, Debug)]
        struct Expected {
            #[serde(rename = "n")]
            _n: u8,
        }
        let error = |json: &str| {
            ResourceError::new("A.B", &serde_json::from_str::<Expected>(json).unwrap_err())
        };
        for (json, problem) in [
            (r#"{"n":"13800000000"}"#, "a value of another type at line 1 column 18"),
            ("{}", "missing field `n` at line 1 column 2"),
            (r#"{"n":1,"n":2}"#, "duplicate field `n` at line 1 column 10"),
            (r#"{"n":"#, "the JSON ends too early at line 1 column 5"),
            ("13800000000;", "a value of another type at line 1 column 11"),
            ("secret", "no JSON at line 1 column 1"),
        ] {
            let error = error(json);
            let text = format!("the resource of A.B does not have the expected form: {problem}");
            assert_eq!(error.to_string(), text, "{json}");
            assert!(!format!("{error:?}").contains("1380000"), "{error:?}");
        }
    }

    #[test]
    fn what_may_be_accepted_later_is_told_apart() {
        let unverified = |cause| ReceiveError::from(UnverifiedNotification::new(cause));
        let serial: wxpay_auth::WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
        let (gone, wrong) = (
            wxpay_auth::VerifyError::unavailable(serial.clone(), "down"),
            wxpay_auth::VerifyError::mismatch(serial),
        );
        assert!(unverified(gone).is_temporary());
        assert!(ReceiveError::decrypt("1", DecryptError::Mismatch).is_temporary());
        for lasting in [
            unverified(wrong),
            ReceiveError::too_large(9, 8),
            ReceiveError::envelope("id is empty"),
        ] {
            assert!(!lasting.is_temporary(), "{lasting}");
            assert!(lasting.hint().len() > 15, "{lasting:?}");
        }
    }
}
