//! Verifies notifications, whose errors are not about a response.

use std::error::Error as StdError;
use std::fmt;

use http::HeaderMap;

use crate::clock::Clock;
use crate::text::debug_as_report;
use crate::verifier::{Verified, Verifier, VerifyError, verify_response};

/// Verifies the signature of a notification (回调通知) over its raw body.
///
/// Call it before the body is decoded or parsed in any way. WeChat Pay signs notifications as it signs responses;
/// this is [`verify_response`] with errors that are about a notification.
///
/// # Errors
/// [`UnverifiedNotification`], for the causes of [`verify_response`], in the same order. The notification must not be
/// acknowledged: it is answered with 4xx or 5xx, signature probes too.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082320>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{KeyRing, SystemClock, http::HeaderMap, verify_notification};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let headers = HeaderMap::new(); // … those of the request …
/// let refused = verify_notification(&KeyRing::new(), &SystemClock, &headers, b"{}").await.unwrap_err();
/// assert_eq!(refused.to_string(), "the notification is not signed: it has no Wechatpay-Timestamp");
/// # });
/// ```
pub async fn verify_notification<V, C, B>(
    verifier: &V,
    clock: &C,
    headers: &HeaderMap,
    body: B,
) -> Result<Verified<B>, UnverifiedNotification>
where
    V: Verifier + ?Sized,
    C: Clock + ?Sized,
    B: AsRef<[u8]>,
{
    verify_response(verifier, clock, headers, body).await.map_err(UnverifiedNotification::new)
}

/// Why a notification was not accepted: do not trust it, and do not acknowledge it.
pub struct UnverifiedNotification {
    cause: VerifyError,
}

impl UnverifiedNotification {
    /// Takes the cause as a verifier returns it.
    pub fn new(cause: VerifyError) -> Self {
        Self { cause }
    }

    /// Returns the cause. Its own text is about a response.
    pub fn cause(&self) -> &VerifyError {
        &self.cause
    }

    /// Returns whether it was signed too long ago, or too far in the future: an old notification that somebody sends
    /// again, or a wrong clock. WeChat Pay signs anew when it sends a notification again.
    pub fn is_outside_window(&self) -> bool {
        matches!(self.cause, VerifyError::ClockSkew { .. })
    }

    /// Returns whether it is a signature probe, which has to be refused. The notification itself follows.
    pub fn is_probe(&self) -> bool {
        matches!(self.cause, VerifyError::Probe { .. })
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match &self.cause {
            VerifyError::MissingHeader { .. } => {
                "do not acknowledge it: check who sent it, and that no proxy or CDN strips the Wechatpay-* headers"
            }
            VerifyError::MalformedHeader { .. } => {
                "do not acknowledge it: check that no proxy rewrites the Wechatpay-* headers"
            }
            VerifyError::RepeatedHeader { .. } => {
                "do not acknowledge it: check which proxy or gateway adds Wechatpay-* headers of its own"
            }
            VerifyError::Probe { .. } => {
                "WeChat Pay tests now and then that wrong signatures are refused, and this one was: nothing is \
                 wrong here, and the notification itself follows"
            }
            VerifyError::ClockSkew { .. } => {
                "set the local clock (NTP); an old notification may be a replay, and WeChat Pay signs anew when it \
                 sends one again"
            }
            VerifyError::UnknownSerial { .. } => {
                "add the WeChat Pay public key or platform certificate of this id to the key ring; for days during \
                 a migration both are in use, so hold both"
            }
            VerifyError::KeyNotValid { .. }
            | VerifyError::UnsupportedAlgorithm
            | VerifyError::Unavailable { .. } => self.cause.hint(),
            VerifyError::MalformedSignature => {
                "do not trust it: it does not come from WeChat Pay, or something in between changes its headers"
            }
            VerifyError::Mismatch { .. } => {
                "do not trust it: verify over the raw body, before anything decodes or reformats it, and check \
                 that the key in the ring really belongs to this id"
            }
        }
    }
}

impl fmt::Display for UnverifiedNotification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            VerifyError::MissingHeader { name } => {
                write!(f, "the notification is not signed: it has no {name}")
            }
            VerifyError::MalformedHeader { name } => {
                write!(f, "the notification has a malformed {name}")
            }
            VerifyError::RepeatedHeader { name } => {
                write!(f, "the notification has {name} more than once")
            }
            VerifyError::Probe { .. } => {
                f.write_str("the notification carries a signature probe (WECHATPAY/SIGNTEST/)")
            }
            VerifyError::ClockSkew { seconds, window } => {
                let (by, side) =
                    (seconds.unsigned_abs(), if *seconds < 0 { "before" } else { "after" });
                write!(
                    f,
                    "the notification was signed {by} s {side} the local clock, more than {window} s are refused"
                )
            }
            VerifyError::UnknownSerial { serial } => {
                write!(f, "the notification is signed by {serial}, which is not held")
            }
            VerifyError::KeyNotValid { serial, not_before, not_after, now } => write!(
                f,
                "the notification is signed by {serial}, which is valid from {not_before} to {not_after} only, and \
                 it is {now} (Unix seconds)"
            ),
            VerifyError::UnsupportedAlgorithm => {
                f.write_str("the notification is signed with an algorithm that is not supported")
            }
            VerifyError::MalformedSignature => {
                f.write_str("the signature of the notification is not base64")
            }
            VerifyError::Mismatch { serial } => {
                write!(f, "the signature does not fit the notification (key {serial})")
            }
            // About a key, not about a response.
            cause @ VerifyError::Unavailable { .. } => fmt::Display::fmt(cause, f),
        }
    }
}

impl StdError for UnverifiedNotification {
    /// Returns the cause of the cause: its own text is that of this error, about a response.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

debug_as_report!(UnverifiedNotification);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn causes() -> Vec<VerifyError> {
        let serial = || "PUB_KEY_ID_1".parse().unwrap();
        let at = Timestamp::from_unix_secs;
        vec![
            VerifyError::MissingHeader { name: "Wechatpay-Nonce" },
            VerifyError::MalformedHeader { name: "Wechatpay-Nonce" },
            VerifyError::RepeatedHeader { name: "Wechatpay-Nonce" },
            VerifyError::Probe { serial: "x".to_owned() },
            VerifyError::ClockSkew { seconds: -301, window: 300 },
            VerifyError::ClockSkew { seconds: 301, window: 300 },
            VerifyError::unknown_serial(&serial()),
            VerifyError::key_not_valid(serial(), at(1), at(2), at(3)),
            VerifyError::unsupported_algorithm(),
            VerifyError::MalformedSignature,
            VerifyError::mismatch(serial()),
            VerifyError::unavailable(serial(), "the line is dead"),
        ]
    }

    #[test]
    fn its_texts_are_those_of_the_cause_about_a_notification() {
        for cause in causes() {
            let expected = cause.to_string().replace("response", "notification");
            let error = UnverifiedNotification::new(cause);
            assert_eq!(error.to_string(), expected);
            assert!(!error.hint().contains("response") && error.hint().len() > 15, "{error:?}");
            assert_eq!(format!("{error:?}").lines().count(), 1);
        }
    }

    #[test]
    fn a_replay_and_a_probe_are_told_apart_from_the_others() {
        let errors: Vec<_> = causes().into_iter().map(UnverifiedNotification::new).collect();
        assert_eq!(errors.iter().filter(|error| error.is_outside_window()).count(), 2);
        assert_eq!(errors.iter().filter(|error| error.is_probe()).count(), 1);
        let sources = errors.iter().filter_map(StdError::source).map(ToString::to_string);
        assert_eq!(sources.collect::<Vec<_>>(), ["the line is dead"]);
    }
}
