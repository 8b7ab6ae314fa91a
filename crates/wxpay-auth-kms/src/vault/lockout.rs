//! When a refused login may be tried again.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::time::Instant;
use wxpay_auth_core::SignErrorKind;

use crate::error::KmsError;

/// Pauses after each refusal of the same secret. The service locks a role out for 15 minutes at the
/// fifth failure in a row, and restarts its count after 15 minutes without one: the last pause
/// keeps the count below five.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(16 * 60),
];
/// Maximum pause for services and errors without a lockout.
const LONGEST_WITHOUT: Duration = Duration::from_secs(60);

/// Remembers which secret was refused.
pub(super) struct Lockout {
    locks_out: bool,
    refused: Mutex<Option<Refused>>,
}

struct Refused {
    /// The hash of the secret; the secret itself is not kept.
    digest: Vec<u8>,
    times: usize,
    last: Instant,
    error: KmsError,
}

impl Lockout {
    pub(super) fn new(locks_out: bool) -> Self {
        Self { locks_out, refused: Mutex::new(None) }
    }

    /// Returns the last error if the secret was refused and its pause has not passed. Otherwise
    /// starts another pause, so that concurrent callers do not send the secret as well.
    pub(super) fn check(&self, secret: &str) -> Result<(), KmsError> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(refused) = refused.as_mut().filter(|refused| refused.is(secret)) else {
            return Ok(());
        };
        if refused.last.elapsed() < self.pause(refused) {
            return Err(refused.error.clone());
        }
        refused.last = Instant::now();
        Ok(())
    }

    fn pause(&self, refused: &Refused) -> Duration {
        let pause = PAUSES.get(refused.times.saturating_sub(1)).or(PAUSES.last());
        let pause = pause.copied().unwrap_or_default();
        match refused.error.kind() {
            SignErrorKind::PermissionDenied if self.locks_out => pause,
            _ => pause.min(LONGEST_WITHOUT),
        }
    }

    /// Remembers that a secret was refused.
    pub(super) fn refused(&self, secret: &str, error: &KmsError) {
        let mut kept = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.as_ref().filter(|kept| kept.is(secret)).map_or(0, |kept| kept.times);
        *kept = Some(Refused {
            digest: hashed(secret),
            times: before + 1,
            last: Instant::now(),
            error: error.clone(),
        });
    }

    /// Clears the record after a successful login.
    pub(super) fn clear(&self) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Refused {
    fn is(&self, secret: &str) -> bool {
        self.digest == hashed(secret)
    }
}

fn hashed(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

impl fmt::Debug for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lockout").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn no(kind: SignErrorKind) -> KmsError {
        KmsError::new(kind, "no")
    }

    /// Sends the secret as soon as it is allowed, and returns the times.
    async fn sent(lockout: &Lockout, kind: SignErrorKind, times: usize) -> Vec<Duration> {
        let (begin, mut sent) = (Instant::now(), Vec::new());
        while sent.len() < times {
            match lockout.check("hunter2") {
                Ok(()) => {
                    sent.push(begin.elapsed());
                    lockout.refused("hunter2", &no(kind));
                }
                Err(error) => assert_eq!(error.to_string(), "no"),
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_locked_out_by_asking_on() {
        let sent = sent(&Lockout::new(true), SignErrorKind::PermissionDenied, 12).await;
        let seconds: Vec<_> = sent[..5].iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 5, 35, 155, 1115]);
        // The service's way of counting.
        let (mut last, mut count) = (Duration::ZERO, 0);
        for at in sent {
            count = if at.abs_diff(last) >= 15 * MINUTE { 1 } else { count + 1 };
            last = at;
            assert!(count < 5, "{at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_sent_again_by_one_at_a_time() {
        let lockout = Lockout::new(true);
        lockout.refused("hunter2", &no(SignErrorKind::PermissionDenied));
        tokio::time::advance(MINUTE).await;
        lockout.check("hunter2").unwrap();
        lockout.check("hunter2").unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_is_locked_out_a_minute_is_the_longest() {
        for (locks_out, kind) in
            [(false, SignErrorKind::PermissionDenied), (true, SignErrorKind::Configuration)]
        {
            let sent = sent(&Lockout::new(locks_out), kind, 6).await;
            let seconds: Vec<_> = sent.iter().map(Duration::as_secs).collect();
            assert_eq!(seconds, [0, 5, 35, 95, 155, 215]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_secret_is_tried_at_once_and_counts_anew() {
        let lockout = Lockout::new(true);
        sent(&lockout, SignErrorKind::PermissionDenied, 4).await;
        lockout.check("hunter2").unwrap_err();
        lockout.check("hunter3").unwrap();
        lockout.refused("hunter3", &no(SignErrorKind::PermissionDenied));
        lockout.check("hunter3").unwrap_err();
        tokio::time::advance(Duration::from_secs(5)).await;
        lockout.check("hunter3").unwrap();
        lockout.refused("hunter3", &no(SignErrorKind::PermissionDenied));
        lockout.clear();
        lockout.check("hunter3").unwrap();
        assert!(!format!("{lockout:?}").contains("hunter"));
    }
}
