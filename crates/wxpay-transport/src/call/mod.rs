//! One call: attempts, until one of them settles it.

pub(crate) mod attempt;
pub(crate) mod clock_after;
pub(crate) mod concurrency;
pub(crate) mod panics;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod sent;
pub(crate) mod signature_length;
pub(crate) mod timeouts;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use crate::call::concurrency::Gate;
use crate::call::panics::{caught, until_panic};
use crate::call::timeouts::Timeouts;
use crate::deadline::deadline;
use crate::domains::domain::Domain;
use crate::domains::router::{Domains, Health, Route};
use crate::error::delivery::{Delivery, Outcome};
use crate::error::{
    Call, Error, Limit, Overload, OverloadError, RefusedWith, Stage, TimeoutError, UnverifiedCause,
};
use crate::message::replay::Replay;
use crate::message::request::Request;
use crate::message::response::Answer;
use crate::observe::telemetry;
use crate::rate_limit::{LimitKey, RateLimiter};
use crate::retry::budget::RetryBudget;
use crate::retry::policy::{Attempted, RetryPolicy};

/// What decides on attempts: where they go, when, and how many.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) domains: Domains,
    pub(crate) gate: Gate,
    pub(crate) rate_limiter: Arc<dyn RateLimiter>,
    pub(crate) retry_policy: Arc<dyn RetryPolicy>,
    pub(crate) retry_budget: RetryBudget,
    pub(crate) timeouts: Timeouts,
}

/// How much time is kept for an attempt when a call waits; a quarter of the call's time, where that is
/// less.
const FOR_ATTEMPT: Duration = Duration::from_secs(1);

/// Makes single attempts, each within its time.
pub(crate) trait Attempts: Sync {
    fn attempt(
        &self,
        domain: &Domain,
        plan: &Plan,
        request: &Request,
    ) -> impl Future<Output = Result<Answer, Error>> + Send;
}

/// An attempt as it is to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) call: Call,
    /// When it ends, which time-out that is, and how long.
    pub(crate) end: Instant,
    pub(crate) limit: Limit,
    pub(crate) after: Duration,
    /// It needs a connection of its own.
    pub(crate) fresh: bool,
}

/// What a call knows of itself between its attempts.
struct Course<'c> {
    request: &'c Request,
    identity: &'c str,
    /// Where it is noted how the call goes.
    span: &'c Span,
    deadline: Instant,
    /// How many attempts have begun.
    attempts: u32,
    /// One of them may have been carried out.
    is_unknown: bool,
    /// The last one was refused on a connection that had carried another request, so that the refusal may
    /// be the answer to that.
    unconfirmed: Option<RefusedWith>,
    /// It has moved to the other domain without having been sent.
    has_moved: bool,
}

/// When and where the next attempt is made.
enum Next<'d> {
    /// At once, on a domain that was chosen already, with the permit of the attempt before.
    Now(Route<'d>, OwnedSemaphorePermit),
    /// When it is its turn.
    Later(Goal<'d>),
}

/// Where an attempt goes when it is its turn.
#[derive(Clone, Copy)]
enum Goal<'d> {
    First,
    Same(&'d Domain),
    Other(&'d Domain),
}

/// Where an attempt would go after one that ended so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the other domain, since this one cannot be reached: nothing was sent.
    MoveUnsent,
    /// To the other domain, since this one does not work.
    Move,
    /// To the same domain.
    Stay,
    /// To the same domain, on a connection that has carried no request.
    StayFresh,
    /// The same, to hear once more that the call is refused.
    Confirm,
}

impl Calls {
    /// Runs one call within its time.
    pub(crate) async fn run<A: Attempts>(
        &self,
        identity: &str,
        request: &Request,
        span: &Span,
        attempts: &A,
    ) -> Result<Answer, Error> {
        let mut course = Course {
            request,
            identity,
            span,
            deadline: deadline(Instant::now(), self.timeouts.call),
            attempts: 0,
            is_unknown: false,
            unconfirmed: None,
            has_moved: false,
        };
        let (mut next, mut fresh) = (Next::Later(Goal::First), false);
        let mut before: Option<Result<Answer, Error>> = None;
        loop {
            let admitted = until_panic(pin!(self.admitted(next, &course))).await;
            let (route, permit) = match admitted {
                Ok(Ok(admitted)) => admitted,
                // What an earlier attempt led to says more.
                Ok(Err(error)) => {
                    return before.unwrap_or_else(|| Err(turned_away(request, error)));
                }
                Err(panic) => return panics::ended(panic, before),
            };
            course.attempts += 1;
            let domain = route.domain;
            let attempted =
                until_panic(pin!(self.attempt(&mut course, route, fresh, attempts))).await;
            let ended = match attempted {
                Ok(ended) => ended,
                // Nothing of this attempt was sent.
                Err(panic) => return panics::ended(panic, before),
            };
            let way = Way::after(&ended);
            // With no time left it would be sent, and nobody would hear how it ended.
            let has_time = !self.time_to_wait(&course).is_zero();
            let free_move = (way == Way::MoveUnsent && !course.has_moved && has_time)
                .then(|| self.domains.other(domain, request.replay()))
                .flatten();
            next = if let Some(other) = free_move {
                course.has_moved = true;
                telemetry::moved(&domain.name, &other.domain.name);
                Next::Now(other, permit)
            } else {
                // A call that waits for its next attempt keeps no other call from running.
                drop(permit);
                let Some(wait) = self.wait_before_next(&course, way, &ended) else { return ended };
                tracing::debug!(attempt = course.attempts, ?wait, "the call is tried again");
                tokio::time::sleep(wait).await;
                Next::Later(match way {
                    Way::Move | Way::MoveUnsent => Goal::Other(domain),
                    Way::Stay | Way::StayFresh | Way::Confirm => Goal::Same(domain),
                })
            };
            // Once that was called for, no further attempt goes where another answer may wait.
            fresh |= matches!(way, Way::StayFresh | Way::Confirm);
            before = Some(ended);
        }
    }

    /// Waits until the next attempt may be made, and chooses its domain. That is done after all waiting, so
    /// that a probe does not wait while others may not go there.
    async fn admitted<'d>(
        &'d self,
        next: Next<'d>,
        course: &Course<'_>,
    ) -> Result<(Route<'d>, OwnedSemaphorePermit), Error> {
        let goal = match next {
            // It has sent nothing, so it has its place in the rate still.
            Next::Now(route, permit) => return Ok((route, permit)),
            Next::Later(goal) => goal,
        };
        // A call that waits for its rate keeps no other call from running.
        self.wait_for_rate(course).await?;
        let permit = self.wait_for_turn(course).await?;
        Ok((self.route(goal, course.request.replay()), permit))
    }

    fn route<'d>(&'d self, goal: Goal<'d>, replay: Replay) -> Route<'d> {
        match goal {
            Goal::First => self.domains.first(replay),
            Goal::Same(domain) => self.domains.same(domain, replay),
            Goal::Other(domain) => match self.domains.other(domain, replay) {
                Some(other) => {
                    telemetry::moved(&domain.name, &other.domain.name);
                    other
                }
                None => self.domains.same(domain, replay),
            },
        }
    }

    /// Has one attempt made, and notes what it showed.
    async fn attempt<A: Attempts>(
        &self,
        course: &mut Course<'_>,
        route: Route<'_>,
        fresh: bool,
        attempts: &A,
    ) -> Result<Answer, Error> {
        let plan = self.plan(course, route.domain, fresh);
        course.span.record("attempt", course.attempts).record("host", &*plan.call.host);
        let mut ended = attempts.attempt(route.domain, &plan, course.request).await;
        route.report(health(&ended));
        course.confirm(&mut ended);
        if ended.is_ok() {
            self.retry_budget.deposit();
        }
        course.is_unknown |= match &ended {
            // Accepted, and not finished.
            Ok(answer) => answer.status() == StatusCode::ACCEPTED,
            Err(Error::Api(error)) if error.is_unconfirmed() => false,
            Err(error) => error.last_outcome() == Outcome::Unknown,
        };
        ended
    }

    fn plan(&self, course: &Course<'_>, domain: &Domain, fresh: bool) -> Plan {
        let call = Call { host: Arc::clone(&domain.name), ..self.unsent(course) };
        let end = deadline(Instant::now(), self.timeouts.attempt);
        if end < course.deadline {
            Plan { call, end, limit: Limit::Attempt, after: self.timeouts.attempt, fresh }
        } else {
            let (end, limit) = (course.deadline, Limit::Call);
            Plan { call, end, limit, after: self.timeouts.call, fresh }
        }
    }

    /// Returns how long a call may wait before its next attempt. An attempt that began with no time left
    /// would be sent, and its outcome never heard of.
    fn time_to_wait(&self, course: &Course<'_>) -> Duration {
        let for_attempt = FOR_ATTEMPT.min(self.timeouts.call / 4);
        course.deadline.saturating_duration_since(Instant::now()).saturating_sub(for_attempt)
    }

    /// Returns how long to wait for another attempt; `None` when this one was the last.
    fn wait_before_next(
        &self,
        course: &Course<'_>,
        way: Way,
        ended: &Result<Answer, Error>,
    ) -> Option<Duration> {
        let replay = course.request.replay();
        // No policy is asked whether something is repeated that must not be.
        let may_be_repeated = match ended {
            Ok(answer) => answer.status() == StatusCode::ACCEPTED && replay.is_repeatable(),
            Err(error) => error.may_retry(),
        };
        if !may_be_repeated {
            return None;
        }
        let left = self.time_to_wait(course);
        if way == Way::Confirm {
            // It is a part of hearing the answer, so no policy is asked, and no budget.
            return Some(Duration::ZERO).filter(|_| !left.is_zero());
        }
        let attempted = Attempted::new(course.attempts, replay, left, ended);
        let wait = caught("RetryPolicy", || self.retry_policy.wait(&attempted)).flatten();
        let wait = wait.filter(|wait| *wait < left)?;
        let is_free = attempted.was_stale() && course.attempts == 1;
        if !is_free && !self.retry_budget.withdraw() {
            tracing::debug!("the budget for further attempts is spent");
            return None;
        }
        Some(wait)
    }

    async fn wait_for_rate(&self, course: &Course<'_>) -> Result<(), Error> {
        let Some(limit) = course.request.rate_limit() else { return Ok(()) };
        let (identity, operation) = (course.identity, course.request.operation());
        let key = LimitKey { identity, operation, limit };
        let left = self.time_to_wait(course);
        let waits = self.rate_limiter.acquire(key, left);
        // A limiter that does not keep to its word is not waited for.
        let retry_after = match timeout_at(Instant::now() + left, waits).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(limited)) => Some(limited.retry_after),
            Err(_) => None,
        };
        Err(self.overload(course, Overload::Rate, retry_after))
    }

    async fn wait_for_turn(&self, course: &Course<'_>) -> Result<OwnedSemaphorePermit, Error> {
        let patience = Instant::now() + self.time_to_wait(course);
        match timeout_at(patience, self.gate.enter()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(self.overload(course, Overload::Calls, None)),
            Err(_) => Err(self.timed_out_in_queue(course)),
        }
    }

    fn overload(
        &self,
        course: &Course<'_>,
        overload: Overload,
        retry_after: Option<Duration>,
    ) -> Error {
        Error::Overload(OverloadError::new(self.unsent(course), overload, retry_after))
    }

    fn timed_out_in_queue(&self, course: &Course<'_>) -> Error {
        Error::Timeout(TimeoutError::new(
            self.unsent(course),
            Limit::Call,
            self.timeouts.call,
            Stage::Queueing,
            Delivery::NotSent,
        ))
    }

    fn unsent(&self, course: &Course<'_>) -> Call {
        Call {
            operation: course.request.operation_name(),
            host: Arc::clone(&self.domains.main.name),
            replay: course.request.replay(),
            attempt: course.attempts,
            earlier_unknown: course.is_unknown || course.unconfirmed.is_some(),
        }
    }
}

impl Course<'_> {
    /// Compares how an attempt ended with the refusal that it was to confirm. Where it was refused for another
    /// reason, or not at all, the attempt before may have been carried out.
    fn confirm(&mut self, ended: &mut Result<Answer, Error>) {
        if let Some(refusal) = self.unconfirmed.take() {
            match ended {
                Err(Error::Api(error)) if error.confirms(&refusal) && !self.is_unknown => {
                    error.settle();
                }
                // Nothing was heard, and nothing was asked: the next attempt may still confirm it.
                Err(error) if error.last_outcome() == Outcome::NotSent => {
                    self.unconfirmed = Some(refusal);
                }
                _ => self.is_unknown = true,
            }
        }
        if let Err(Error::Api(error)) = ended
            && error.is_unconfirmed()
        {
            self.unconfirmed = Some(error.refused_with());
        }
    }
}

/// Notes that a call ends before an attempt of it was made.
fn turned_away(request: &Request, error: Error) -> Error {
    let overload = match &error {
        Error::Overload(e) => e.overload(),
        _ => Overload::Calls,
    };
    telemetry::overload(request.operation(), overload);
    error
}

/// Tells what an attempt showed of its domain.
fn health(ended: &Result<Answer, Error>) -> Health {
    let Err(error) = ended else { return Health::Good };
    match error {
        Error::Connect(_) => Health::Bad,
        Error::Timeout(e) if e.is_connecting => Health::Bad,
        // A new connection that was closed at once; a kept one only had grown old.
        Error::Exchange(e) if e.last_delivery() == Delivery::NotSent && !e.is_stale() => {
            Health::Bad
        }
        Error::Api(e) if is_gateway_failure(e.status()) => Health::Bad,
        Error::Api(_) | Error::Unverified(_) => Health::Good,
        Error::Timeout(_)
        | Error::Exchange(_)
        | Error::Config(_)
        | Error::Request(_)
        | Error::Overload(_)
        | Error::Verifier(_)
        | Error::Signing(_) => Health::Unknown,
    }
}

fn is_gateway_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

impl Way {
    /// Says where another attempt would go, if there may be one.
    fn after(ended: &Result<Answer, Error>) -> Self {
        match ended {
            Err(Error::Exchange(e)) if e.is_stale() => Self::StayFresh,
            Err(Error::Exchange(e)) if e.last_delivery() == Delivery::NotSent => Self::MoveUnsent,
            Err(Error::Connect(_)) => Self::MoveUnsent,
            Err(Error::Timeout(e)) if e.is_connecting => Self::MoveUnsent,
            Err(Error::Exchange(_)) => Self::Move,
            Err(Error::Timeout(e)) if e.last_delivery() != Delivery::NotSent => Self::Move,
            Err(Error::Api(e)) if is_gateway_failure(e.status()) => Self::Move,
            Err(Error::Api(e)) if e.is_unconfirmed() => match e.status() {
                // It is to be repeated in any case, later.
                StatusCode::TOO_MANY_REQUESTS => Self::StayFresh,
                _ => Self::Confirm,
            },
            Err(Error::Unverified(e)) if matches!(e.cause(), UnverifiedCause::Foreign) => {
                Self::StayFresh
            }
            _ => Self::Stay,
        }
    }
}

#[cfg(test)]
mod confirm;
#[cfg(test)]
mod model;
#[cfg(test)]
mod waiting;
#[cfg(test)]
pub(crate) use self::model::builder as test_builder;
