//! How calls move to the standby domain, and back.

use std::time::Duration;

use crate::breaker::BreakerSettings;
use crate::connection::base_url::BaseUrl;
use crate::error::ConfigError;

/// When calls move to the standby domain (备域名).
///
/// Calls go to the main domain. After a number of consecutive failures (no connection, or 502, 503, 504)
/// they go to the standby domain for a while; then one call at a time probes the main domain, and when
/// it responds, all calls return to it.
///
/// A call that could not connect moves at once. A call of which a byte was written moves only if it may
/// be repeated ([`Replay`](crate::Replay)): both domains share their state, so it would be carried out
/// twice.
///
/// ```
/// use std::time::Duration;
/// use wxpay_transport::{BaseUrl, Failover};
///
/// let failover = Failover::to(BaseUrl::new(BaseUrl::STANDBY)?)
///     .after_failures(5)
///     .probe_after(Duration::from_secs(5))
///     .sample_one_in(100);
/// # let _ = failover;
/// # Ok::<(), wxpay_transport::ConfigError>(())
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012090454>
#[derive(Debug, Clone)]
pub struct Failover {
    pub(crate) standby: BaseUrl,
    pub(crate) breaker: BreakerSettings,
    pub(crate) sample_one_in: Option<u64>,
}

impl Failover {
    /// Uses this standby domain.
    pub fn to(standby: BaseUrl) -> Self {
        let breaker = BreakerSettings {
            threshold: 5,
            open_for: Duration::from_secs(5),
            longest: Duration::from_secs(60),
            // Set when the timeout of an attempt is known.
            probe_for: Duration::MAX,
        };
        Self { standby, breaker, sample_one_in: None }
    }

    /// Sets how many consecutive failures make calls leave a domain. The default is 5.
    #[must_use]
    pub fn after_failures(mut self, failures: u32) -> Self {
        self.breaker.threshold = failures;
        self
    }

    /// Sets after how long a failed domain is probed. The default is 5 s; each failed probe doubles it, up
    /// to 60 s or this time, whichever is longer.
    #[must_use]
    pub fn probe_after(mut self, open_for: Duration) -> Self {
        self.breaker.open_for = open_for;
        self.breaker.longest = Duration::from_secs(60).max(open_for);
        self
    }

    /// Sends one in `calls` calls to the standby domain while the main domain works, to check the standby.
    /// The default is none; WeChat Pay asks for at most one in 100.
    #[must_use]
    pub fn sample_one_in(mut self, calls: u64) -> Self {
        self.sample_one_in = Some(calls);
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        if self.breaker.threshold == 0 {
            return Err(ConfigError::ZeroFailures);
        }
        if self.breaker.open_for.is_zero() || self.breaker.open_for > DAY {
            return Err(ConfigError::ProbeTime);
        }
        if self.sample_one_in.is_some_and(|calls| calls < 100) {
            return Err(ConfigError::SampleTooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_never_move_or_move_too_much_is_refused() {
        const DAY: Duration = Duration::from_secs(86_400);
        let failover = || Failover::to(BaseUrl::new(BaseUrl::STANDBY).unwrap());
        for good in [
            failover(),
            failover().after_failures(1),
            failover().probe_after(Duration::from_nanos(1)),
            failover().probe_after(DAY),
            failover().sample_one_in(100),
            failover().sample_one_in(u64::MAX),
        ] {
            assert!(good.check().is_ok(), "{good:?}");
        }
        for (bad, expected) in [
            (failover().after_failures(0), ConfigError::ZeroFailures),
            (failover().probe_after(Duration::ZERO), ConfigError::ProbeTime),
            (failover().probe_after(DAY + Duration::from_nanos(1)), ConfigError::ProbeTime),
            (failover().sample_one_in(99), ConfigError::SampleTooLarge),
            (failover().sample_one_in(0), ConfigError::SampleTooLarge),
        ] {
            assert_eq!(bad.check().unwrap_err().to_string(), expected.to_string());
        }
    }
}
