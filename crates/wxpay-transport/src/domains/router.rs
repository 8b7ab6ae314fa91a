//! Which domain an attempt goes to.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::breaker::{Admission, Breaker, BreakerState};
use crate::domains::domain::Domain;
use crate::message::replay::Replay;

/// The main domain, and the standby domain if there is one.
#[derive(Debug)]
pub(crate) struct Domains {
    pub(crate) main: Domain,
    pub(crate) standby: Option<Domain>,
    pub(crate) sample_one_in: Option<u64>,
    /// Further domains, from which only files are downloaded.
    downloads: Vec<Domain>,
    calls: AtomicU64,
}

/// What an attempt showed about its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It responded.
    Good,
    /// It could not be reached, or its gateway failed (502, 503, 504).
    Bad,
    /// Nothing.
    Unknown,
}

/// The domain of an attempt. Dropping it reports nothing about the domain.
#[derive(Debug)]
pub(crate) struct Route<'d> {
    pub(crate) domain: &'d Domain,
    admission: Admission,
}

impl Domains {
    pub(crate) fn new(main: Domain, standby: Option<Domain>, sample_one_in: Option<u64>) -> Self {
        let (downloads, calls) = (Vec::new(), AtomicU64::new(0));
        Self { main, standby, sample_one_in, downloads, calls }
    }

    /// Sets further domains, from which only files are downloaded.
    pub(crate) fn with_downloads(mut self, downloads: Vec<Domain>) -> Self {
        self.downloads = downloads;
        self
    }

    /// Finds the domain of an origin.
    pub(crate) fn of_origin(&self, is_https: bool, host: &str, port: u16) -> Option<&Domain> {
        let mut all = [&self.main].into_iter().chain(&self.standby).chain(&self.downloads);
        all.find(|Domain { base_url, .. }| {
            base_url.is_https() == is_https
                && base_url.host().eq_ignore_ascii_case(host)
                && base_url.port() == port
        })
    }

    /// Chooses the domain of a call's first attempt.
    pub(crate) fn first(&self, replay: Replay) -> Route<'_> {
        let Some(standby) = &self.standby else { return Route::on(&self.main, Admission::Normal) };
        let main = Route::ask(&self.main, replay);
        match main.admission {
            Admission::Normal if replay.is_repeatable() && self.samples() => Some(standby)
                .filter(|standby| standby.breaker().state() == BreakerState::Closed)
                .map_or(main, |standby| Route::on(standby, Admission::Normal)),
            Admission::Normal | Admission::Probe(_) => main,
            Admission::Barred => self.last_resort(Route::ask(standby, replay)),
        }
    }

    /// Chooses the other domain for the next attempt, unless it is known to fail.
    pub(crate) fn other(&self, failed: &Domain, replay: Replay) -> Option<Route<'_>> {
        let standby = self.standby.as_ref()?;
        let other = if std::ptr::eq(failed, standby) { &self.main } else { standby };
        Some(Route::ask(other, replay)).filter(|route| route.admission != Admission::Barred)
    }

    /// Chooses the same domain again.
    pub(crate) fn same(&self, domain: &Domain, replay: Replay) -> Route<'_> {
        let domain = match &self.standby {
            Some(standby) if std::ptr::eq(domain, standby) => standby,
            _ => &self.main,
        };
        Route::ask(domain, replay)
    }

    /// Falls back to the main domain if both domains fail.
    fn last_resort<'d>(&'d self, standby: Route<'d>) -> Route<'d> {
        match standby.admission {
            Admission::Barred => Route::on(&self.main, Admission::Barred),
            Admission::Normal | Admission::Probe(_) => standby,
        }
    }

    fn samples(&self) -> bool {
        self.sample_one_in
            .is_some_and(|one_in| self.calls.fetch_add(1, Ordering::Relaxed) % one_in == one_in - 1)
    }
}

impl<'d> Route<'d> {
    fn on(domain: &'d Domain, admission: Admission) -> Self {
        Self { domain, admission }
    }

    /// Goes to this domain, whatever is known of it.
    pub(crate) fn ask(domain: &'d Domain, replay: Replay) -> Self {
        let admit = |breaker: &mut Breaker| breaker.admit(Instant::now(), replay.is_repeatable());
        let admission = domain.change_breaker(admit);
        Self::on(domain, admission)
    }

    /// Reports what the attempt showed about its domain.
    pub(crate) fn report(mut self, health: Health) {
        self.note(health);
        // The probe has ended, so dropping the route must not give it up.
        self.admission = Admission::Normal;
    }

    fn note(&self, health: Health) {
        self.domain.change_breaker(|breaker| match health {
            Health::Good => breaker.succeeded(self.admission),
            Health::Bad => breaker.failed(Instant::now(), self.admission),
            Health::Unknown => breaker.given_up(self.admission),
        });
    }
}

impl Drop for Route<'_> {
    fn drop(&mut self) {
        if matches!(self.admission, Admission::Probe(_)) {
            self.note(Health::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::call::test_builder;
    use crate::connection::base_url::BaseUrl;
    use crate::domains::failover::Failover;

    const STANDBY: &str = "127.0.0.1:2";

    fn failover() -> Failover {
        let url = BaseUrl::new(format!("http://{STANDBY}")).unwrap();
        Failover::to(url).after_failures(3).probe_after(Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn one_repeatable_call_in_a_hundred_samples_a_standby_that_works() {
        let client = test_builder().failover(failover().sample_one_in(100)).build().unwrap();
        let domains = &client.inner().calls.domains;
        let sampled = |replay| -> Vec<u32> {
            let is_there = |_: &u32| &*domains.first(replay).domain.name == STANDBY;
            (1..=300).filter(is_there).collect()
        };
        assert!(sampled(Replay::Never).is_empty(), "they are no probes");
        assert_eq!(sampled(Replay::Safe), [100, 200, 300]);
        let standby = domains.standby.as_ref().unwrap();
        for _ in 0..3 {
            domains.same(standby, Replay::Safe).report(Health::Bad);
        }
        assert!(sampled(Replay::Safe).is_empty(), "it is known to fail");
        let without = test_builder().failover(failover()).build().unwrap();
        let first = || without.inner().calls.domains.first(Replay::Safe);
        assert!((1..300).all(|_| &*first().domain.name != STANDBY));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_dropped_leaves_the_domain_to_the_next_one_at_once() {
        let client = test_builder().failover(failover()).build().unwrap();
        let first = || client.inner().calls.domains.first(Replay::Safe);
        while &*first().domain.name != STANDBY {
            first().report(Health::Bad);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        for _ in 0..3 {
            let probe = first();
            assert_ne!(&*probe.domain.name, STANDBY);
            assert_eq!(&*first().domain.name, STANDBY, "one probes at a time");
        }
    }
}
