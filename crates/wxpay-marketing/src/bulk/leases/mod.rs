//! Leases, by which several machines share a list.

#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use wxpay_auth::write_report;
use wxpay_transport::async_trait;

#[cfg(feature = "redis")]
pub use self::redis::RedisPlanLeases;
use super::outcome::PlanOutcome;
use super::plan::BulkPlan;

/// Decides which of several machines takes a plan.
///
/// A store cannot promise more than one holder at a time while it keeps its memory and its clock. So the effect behind a
/// lease must bear a second holder: with shared leases, each plan is read before it is called.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `PlanLeases`",
    label = "expected `NoLeases`, a `RedisPlanLeases`, or leases of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_transport::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait PlanLeases: fmt::Debug + Send + Sync {
    /// Claims a plan. What is not certainly this machine's is not called.
    ///
    /// # Errors
    /// [`LeaseError`] if the store did not say whose it is.
    async fn claim(&self, plan: &BulkPlan) -> Result<Claim, LeaseError>;

    /// Renews a lease; `None` if the plan is not this machine's any more.
    ///
    /// # Errors
    /// [`LeaseError`] if the store did not say so: the lease counts as lost then.
    async fn renew(&self, plan: &BulkPlan, lease: &Lease) -> Result<Option<Lease>, LeaseError>;

    /// Gives a plan back, so that another machine may take it at once.
    ///
    /// # Errors
    /// [`LeaseError`] if the store did not respond: the lease expires.
    async fn release(&self, plan: &BulkPlan, lease: &Lease) -> Result<(), LeaseError>;

    /// Says that a plan is settled: no other machine takes it up.
    ///
    /// # Errors
    /// [`LeaseError`] if the store did not respond: the lease expires, and another machine reads the plan.
    async fn done(
        &self,
        plan: &BulkPlan,
        lease: &Lease,
        outcome: &PlanOutcome,
    ) -> Result<(), LeaseError>;

    /// Returns whether other machines may take plans, too. Then each plan is read before it is called.
    fn are_shared(&self) -> bool {
        true
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<L: PlanLeases + ?Sized> PlanLeases for $pointer {
            async fn claim(&self, plan: &BulkPlan) -> Result<Claim, LeaseError> {
                (**self).claim(plan).await
            }

            async fn renew(
                &self,
                plan: &BulkPlan,
                lease: &Lease,
            ) -> Result<Option<Lease>, LeaseError> {
                (**self).renew(plan, lease).await
            }

            async fn release(&self, plan: &BulkPlan, lease: &Lease) -> Result<(), LeaseError> {
                (**self).release(plan, lease).await
            }

            async fn done(
                &self,
                plan: &BulkPlan,
                lease: &Lease,
                outcome: &PlanOutcome,
            ) -> Result<(), LeaseError> {
                (**self).done(plan, lease, outcome).await
            }

            fn are_shared(&self) -> bool {
                (**self).are_shared()
            }
        }
    )+};
}

forward!(&L, Arc<L>, Box<L>);

/// What claiming a plan returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// It is this machine's.
    Mine(Lease),
    /// Another machine has it.
    Taken,
    /// It is settled, and what became of it.
    Done(String),
}

/// The right to a plan for a time.
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    begin: Instant,
    /// `None` if it does not end.
    time: Option<Duration>,
}

impl Lease {
    /// Creates a lease that was asked for at this time, *before* the request was sent, and lasts for so long from then.
    /// A tenth of it is left unused.
    pub fn new(asked: Instant, time: Duration) -> Self {
        Self { begin: asked, time: Some(time) }
    }

    /// Creates a lease that does not end.
    pub fn endless() -> Self {
        Self { begin: Instant::now(), time: None }
    }

    /// Returns whether the plan is still this machine's, by its own monotonic clock.
    pub fn is_valid(&self) -> bool {
        self.time.is_none_or(|time| self.begin.elapsed() < time.saturating_sub(time / 10))
    }

    /// Returns whether a third of it has passed.
    pub fn is_to_be_renewed(&self) -> bool {
        self.time.is_some_and(|time| self.begin.elapsed() >= time / 3)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("is_valid", &self.is_valid()).finish_non_exhaustive()
    }
}

/// The lease of a plan in flight, until it is lost.
#[derive(Debug)]
pub(crate) struct HeldLease(Held);

#[derive(Debug)]
enum Held {
    NotNeeded,
    Lease(Lease),
    Lost,
}

impl HeldLease {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(Held::Lease(lease))
    }

    /// For what needs none.
    pub(crate) fn none() -> Self {
        Self(Held::NotNeeded)
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.0 {
            Held::Lease(lease) => Some(lease),
            Held::NotNeeded | Held::Lost => None,
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        match &self.0 {
            Held::NotNeeded => true,
            Held::Lease(lease) => lease.is_valid(),
            Held::Lost => false,
        }
    }

    pub(crate) fn replace(&mut self, renewed: Option<Lease>) {
        self.0 = renewed.map_or(Held::Lost, Held::Lease);
    }
}

/// The store of the leases did not say whose a plan is. Nothing is called then.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("the store of the leases is away: {why}")]
pub struct LeaseError {
    why: String,
}

impl LeaseError {
    /// Creates the error. The text must contain no secret, such as the password of the store.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "bring the store back, and run again: no plan is called without a lease"
    }
}

/// Prints one line with the hint.
impl fmt::Debug for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}

/// Every plan is this machine's: no other one has the list.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLeases;

#[async_trait]
impl PlanLeases for NoLeases {
    async fn claim(&self, _: &BulkPlan) -> Result<Claim, LeaseError> {
        Ok(Claim::Mine(Lease::endless()))
    }

    async fn renew(&self, _: &BulkPlan, lease: &Lease) -> Result<Option<Lease>, LeaseError> {
        Ok(Some(lease.clone()))
    }

    async fn release(&self, _: &BulkPlan, _: &Lease) -> Result<(), LeaseError> {
        Ok(())
    }

    async fn done(&self, _: &BulkPlan, _: &Lease, _: &PlanOutcome) -> Result<(), LeaseError> {
        Ok(())
    }

    fn are_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_the_store_lets_it_go() {
        let second = Duration::from_secs(1);
        let asked = |ago: Duration| Lease::new(Instant::now().checked_sub(ago).unwrap(), second);
        assert!(asked(Duration::ZERO).is_valid() && !asked(Duration::ZERO).is_to_be_renewed());
        assert!(asked(second * 4 / 10).is_to_be_renewed());
        assert!(!asked(second * 9 / 10).is_valid());
        let endless = Lease::endless();
        assert!(endless.is_valid() && !endless.is_to_be_renewed());
    }

    #[test]
    fn a_lost_lease_does_not_come_back() {
        let mut held = HeldLease::new(Lease::endless());
        assert!(held.is_ours());
        held.replace(None);
        assert!(!held.is_ours() && held.lease().is_none());
        assert!(HeldLease::none().is_ours());
    }
}
