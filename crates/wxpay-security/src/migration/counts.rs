//! How many signatures of each key were verified.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wxpay_auth::{Timestamp, WechatpaySerial};

/// How many signatures of one WeChat Pay key were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SerialCount {
    /// The key.
    pub serial: WechatpaySerial,
    /// How many signatures of it were verified.
    pub verified: u64,
    /// When the last one was verified.
    pub last_verified_at: Timestamp,
}

/// How many signatures of each WeChat Pay key were verified: of responses, of notifications, of whatever the verifier
/// was given.
///
/// The move to the public key is complete for this process when no signature of a certificate arrives any more, and
/// that of all mchids when WeChat Pay's own figures say so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerificationCounts {
    /// The keys of which a signature was verified, certificates before public keys.
    pub by_serial: Vec<SerialCount>,
    /// How many signatures were refused, for any reason.
    pub refused: u64,
}

impl VerificationCounts {
    /// Returns how many signatures of platform certificates were verified.
    pub fn by_certificates(&self) -> u64 {
        self.sum(|serial| !serial.is_public_key_id())
    }

    /// Returns how many signatures of public keys were verified.
    pub fn by_public_keys(&self) -> u64 {
        self.sum(WechatpaySerial::is_public_key_id)
    }

    /// Returns what was counted after an earlier snapshot of the same verifier. Keys of which nothing was verified since
    /// are left out.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |serial: &WechatpaySerial| {
            let of_serial = earlier.by_serial.iter().find(|count| count.serial == *serial);
            of_serial.map_or(0, |count| count.verified)
        };
        let counts = self.by_serial.iter().map(|count| SerialCount {
            verified: count.verified.saturating_sub(before(&count.serial)),
            ..count.clone()
        });
        Self {
            by_serial: counts.filter(|count| count.verified > 0).collect(),
            refused: self.refused.saturating_sub(earlier.refused),
        }
    }

    fn sum(&self, is_of_kind: impl Fn(&WechatpaySerial) -> bool) -> u64 {
        let of_kind = self.by_serial.iter().filter(|count| is_of_kind(&count.serial));
        of_kind.map(|count| count.verified).sum()
    }
}

/// Counts. Only keys that were held are counted by name, so there is no more to keep than there are keys.
#[derive(Default)]
pub(super) struct Counters(Mutex<State>);

#[derive(Default)]
struct State {
    by_serial: BTreeMap<WechatpaySerial, (u64, Timestamp)>,
    refused: u64,
}

impl Counters {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn verified(&self, serial: &WechatpaySerial, now: Timestamp) {
        let mut state = self.state();
        match state.by_serial.get_mut(serial) {
            Some((count, last)) => (*count, *last) = (*count + 1, now.max(*last)),
            None => {
                state.by_serial.insert(serial.clone(), (1, now));
            }
        }
    }

    pub(super) fn refused(&self) {
        self.state().refused += 1;
    }

    pub(super) fn snapshot(&self) -> VerificationCounts {
        let state = self.state();
        let counts = state.by_serial.iter().map(|(serial, (verified, last))| SerialCount {
            serial: serial.clone(),
            verified: *verified,
            last_verified_at: *last,
        });
        VerificationCounts { by_serial: counts.collect(), refused: state.refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(secs)
    }

    #[test]
    fn signatures_are_counted_by_key_and_kind() {
        let (counters, certificate) = (Counters::default(), "5F1C".parse().unwrap());
        let public_key = "PUB_KEY_ID_1".parse().unwrap();
        counters.verified(&certificate, at(10));
        counters.verified(&public_key, at(11));
        let before = counters.snapshot();
        // The same number in another spelling; and an older message that came late.
        counters.verified(&"005f1c".parse().unwrap(), at(9));
        counters.refused();

        let counts = counters.snapshot();
        assert_eq!((counts.by_certificates(), counts.by_public_keys(), counts.refused), (2, 1, 1));
        assert_eq!(counts.by_serial.len(), 2);
        assert_eq!(counts.by_serial[0].last_verified_at, at(10));
        let since = counts.since(&before);
        assert_eq!((since.by_certificates(), since.by_public_keys(), since.refused), (1, 0, 1));
        assert_eq!(since.by_serial.len(), 1, "nothing by the public key since");
        assert_eq!(counts.since(&counts), VerificationCounts::default());
    }
}
