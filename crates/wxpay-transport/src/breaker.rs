//! The circuit breaker of one domain.

use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BreakerSettings {
    /// Number of consecutive failures that open it.
    pub(crate) threshold: u32,
    /// How long it stays open the first time; each failed probe doubles it.
    pub(crate) open_for: Duration,
    /// Maximum time it stays open.
    pub(crate) longest: Duration,
    /// After how long a probe without a result no longer keeps others from probing: it may not be polled.
    pub(crate) probe_for: Duration,
}

/// How an attempt may use a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The domain is not known to fail.
    Normal,
    /// The domain failed, and this attempt probes it. The number tells a probe from one that took its place.
    Probe(u64),
    /// The domain fails.
    Barred,
}

/// The state of a breaker. As in an electric circuit, a closed breaker lets calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

/// Counts consecutive failures. Does not read the clock.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// How many probes there were.
    probes: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    /// From `until` on, attempts probe the domain one at a time.
    Open {
        until: Instant,
        open_for: Duration,
        /// The last probe, if its result is not known.
        probing: Option<Probe>,
    },
}

/// A probe whose result is not known.
#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    since: Instant,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 }, probes: 0 }
    }

    /// Closes it, with other settings. Earlier probes say nothing about it.
    #[cfg(feature = "redis")]
    pub(crate) fn begin_with(&mut self, settings: BreakerSettings) {
        *self = Self { probes: self.probes, ..Self::new(settings) };
    }

    /// Returns a breaker that never opens, for a domain without a standby.
    pub(crate) fn idle() -> Self {
        let (open_for, longest, probe_for) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Self::new(BreakerSettings { threshold: u32::MAX, open_for, longest, probe_for })
    }

    /// Asks whether an attempt may be made. A caller that gets [`Admission::Probe`] must report the result:
    /// [`succeeded`](Self::succeeded), [`failed`](Self::failed) or [`given_up`](Self::given_up).
    ///
    /// A probe may end with a 502 that leaves the outcome unknown. A call that must not be repeated
    /// therefore leaves the probe to others, until twice the open time has passed without one.
    pub(crate) fn admit(&mut self, now: Instant, is_repeatable: bool) -> Admission {
        match &mut self.state {
            State::Closed { .. } => Admission::Normal,
            State::Open { until, open_for, probing } => {
                let due = if is_repeatable { *until } else { *until + *open_for };
                let probe_for = self.settings.probe_for;
                let is_probed = probing
                    .is_some_and(|probe| now.saturating_duration_since(probe.since) < probe_for);
                if is_probed || now < due {
                    return Admission::Barred;
                }
                self.probes += 1;
                *probing = Some(Probe { number: self.probes, since: now });
                Admission::Probe(self.probes)
            }
        }
    }

    /// Records that the domain responded.
    pub(crate) fn succeeded(&mut self, admission: Admission) {
        if self.is_passed(admission) {
            return;
        }
        // Calls that began before it opened may still succeed.
        if self.is_current(admission) || matches!(self.state, State::Closed { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// Records that the domain could not be reached, or did not work.
    pub(crate) fn failed(&mut self, now: Instant, admission: Admission) {
        if self.is_passed(admission) {
            return;
        }
        let (settings, is_current) = (self.settings, self.is_current(admission));
        match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures >= settings.threshold && settings.threshold != u32::MAX {
                    let open_for = settings.open_for;
                    self.state = State::Open { until: now + open_for, open_for, probing: None };
                }
            }
            State::Open { open_for, .. } if is_current => {
                let open_for = open_for.saturating_mul(2).min(settings.longest);
                self.state = State::Open { until: now + open_for, open_for, probing: None };
            }
            // Already known.
            State::Open { .. } => {}
        }
    }

    /// Records that an attempt ended without saying anything about the domain.
    pub(crate) fn given_up(&mut self, admission: Admission) {
        let is_current = self.is_current(admission);
        if let State::Open { probing, .. } = &mut self.state
            && is_current
        {
            *probing = None;
        }
    }

    /// Returns whether this is the last probe, and its result is not known. One that another has taken the place of
    /// says nothing: it may be of long ago.
    pub(crate) fn is_current(&self, admission: Admission) -> bool {
        match (admission, &self.state) {
            (Admission::Probe(number), State::Open { probing: Some(probe), .. }) => {
                probe.number == number
            }
            _ => false,
        }
    }

    /// Returns whether this is a probe that another has taken the place of, whatever that one showed.
    pub(crate) fn is_passed(&self, admission: Admission) -> bool {
        matches!(admission, Admission::Probe(_)) && !self.is_current(admission)
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { probing: Some(_), .. } => BreakerState::HalfOpen,
            State::Open { probing: None, .. } => BreakerState::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        threshold: 3,
        open_for: Duration::from_secs(5),
        longest: Duration::from_secs(12),
        probe_for: Duration::from_secs(3),
    };

    fn after(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let now = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..2 {
            breaker.failed(now, Admission::Normal);
            breaker.failed(now, Admission::Normal);
            breaker.succeeded(Admission::Normal);
        }
        assert_eq!(breaker.admit(now, true), Admission::Normal, "never three in a row");
        for _ in 0..3 {
            breaker.failed(now, Admission::Normal);
        }
        assert_eq!(breaker.admit(now, true), Admission::Barred);
    }

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            breaker.failed(now, Admission::Normal);
        }
        breaker
    }

    #[test]
    fn one_attempt_at_a_time_probes_it() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.admit(after(now, 4), true), Admission::Barred);
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Barred);
        breaker.given_up(Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(2));
        breaker.succeeded(Admission::Probe(2));
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Normal);
    }

    #[test]
    fn each_failed_probe_doubles_the_time_up_to_a_bound() {
        let now = Instant::now();
        let mut breaker = open(now);
        for (number, at, next) in [(1, 5, 15), (2, 15, 27), (3, 27, 39)] {
            assert_eq!(breaker.admit(after(now, at - 1), true), Admission::Barred);
            assert_eq!(breaker.admit(after(now, at), true), Admission::Probe(number));
            breaker.failed(after(now, at), Admission::Probe(number));
            assert_eq!(breaker.admit(after(now, next - 1), true), Admission::Barred);
        }
    }

    #[test]
    fn what_must_not_be_repeated_probes_later() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.admit(after(now, 9), false), Admission::Barred);
        assert_eq!(breaker.admit(after(now, 10), false), Admission::Probe(1));
    }

    #[test]
    fn those_who_began_before_it_opened_change_nothing() {
        let now = Instant::now();
        let mut breaker = open(now);
        breaker.succeeded(Admission::Normal);
        breaker.failed(after(now, 4), Admission::Normal);
        breaker.given_up(Admission::Normal);
        assert_eq!(breaker.admit(after(now, 4), true), Admission::Barred);
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(1));
    }

    #[test]
    fn a_probe_without_a_result_leaves_it_to_another() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 7), true), Admission::Barred);
        assert_eq!(breaker.admit(after(now, 8), true), Admission::Probe(2));
        assert_eq!(breaker.admit(after(now, 10), true), Admission::Barred);
        breaker.failed(after(now, 10), Admission::Probe(2));
        assert_eq!(breaker.admit(after(now, 19), true), Admission::Barred);
        assert_eq!(breaker.admit(after(now, 20), true), Admission::Probe(3));
    }

    #[test]
    fn a_probe_that_another_took_the_place_of_says_nothing() {
        let now = Instant::now();
        let passed = || {
            let mut breaker = open(now);
            assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(1));
            assert_eq!(breaker.admit(after(now, 8), true), Admission::Probe(2));
            breaker
        };
        let mut breaker = passed();
        breaker.succeeded(Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 9), true), Admission::Barred, "it is of long ago");
        let mut breaker = passed();
        breaker.given_up(Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 9), true), Admission::Barred, "another is under way");
        let mut breaker = passed();
        breaker.failed(after(now, 9), Admission::Probe(2));
        breaker.failed(after(now, 10), Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 19), true), Admission::Probe(3), "not doubled again");
    }

    #[test]
    fn a_probe_that_was_passed_changes_nothing_when_the_domain_is_back() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(1));
        assert_eq!(breaker.admit(after(now, 8), true), Admission::Probe(2));
        breaker.succeeded(Admission::Probe(2));
        for _ in 0..SETTINGS.threshold {
            breaker.failed(after(now, 9), Admission::Probe(1));
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "it does not open it");
        for _ in 0..SETTINGS.threshold {
            breaker.succeeded(Admission::Probe(1));
            breaker.failed(after(now, 9), Admission::Normal);
        }
        assert_eq!(breaker.state(), BreakerState::Open, "it does not end a series of failures");
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_probe_of_before_is_no_probe_after_it_began_anew() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(1));
        breaker.begin_with(SETTINGS);
        for _ in 0..SETTINGS.threshold {
            breaker.failed(now, Admission::Normal);
        }
        assert_eq!(breaker.admit(after(now, 5), true), Admission::Probe(2));
        breaker.succeeded(Admission::Probe(1));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }
}
