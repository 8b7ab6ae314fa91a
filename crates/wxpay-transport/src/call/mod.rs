//! One call: a series of attempts, until one settles it.

pub(crate) mod attempt;
pub(crate) mod attempt_plan;
pub(crate) mod clock_after;
pub(crate) mod concurrency;
mod download;
pub(crate) mod next_attempt;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod sent;
pub(crate) mod signature_length;
pub(crate) mod state;
pub(crate) mod timeouts;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::call::attempt_plan::{AttemptPlan, Attempts};
use crate::call::concurrency::ConcurrencyLimit;
use crate::call::next_attempt::{NextAttempt, health};
use crate::call::state::CallState;
use crate::call::timeouts::Timeouts;
use crate::deadline::deadline;
use crate::domains::domain::Domain;
use crate::domains::router::{Domains, Route};
use crate::error::delivery::{Delivery, Outcome};
use crate::error::{
    CallContext, CallStage, Error, Overload, OverloadError, TimeoutError, TimeoutKind,
};
use crate::message::replay::Replay;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::observe::call_span::CallSpan;
use crate::observe::{log, telemetry};
use crate::panics::{self, Panic, caught, named_async, until_panic};
use crate::rate_limit::{LimitKey, RateLimiter};
use crate::retry::budget::RetryBudget;
use crate::retry::policy::{Attempted, RetryPolicy};

/// Decides on attempts: where they go, when, and how many.
#[derive(Debug)]
pub(crate) struct Calls {
    /// Shared by clients that differ only in their verifier.
    pub(crate) domains: Arc<Domains>,
    pub(crate) concurrency: ConcurrencyLimit,
    pub(crate) rate_limiter: Arc<dyn RateLimiter>,
    pub(crate) retry_policy: Arc<dyn RetryPolicy>,
    pub(crate) retry_budget: RetryBudget,
    pub(crate) timeouts: Timeouts,
}

/// When and where the next attempt is made.
enum Next<'d> {
    /// At once, on a domain that is already chosen, with the permit of the previous attempt.
    Now(Route<'d>, OwnedSemaphorePermit),
    /// After waiting for rate limit and permit.
    Later(Goal<'d>),
}

/// Where an attempt goes after waiting.
#[derive(Clone, Copy)]
enum Goal<'d> {
    First,
    Same(&'d Domain),
    Other(&'d Domain),
}

impl Calls {
    /// Returns the same for another client, with limits of its own: its calls must not wait for those of this one.
    pub(crate) fn beside(&self) -> Self {
        Self {
            domains: Arc::clone(&self.domains),
            concurrency: self.concurrency.same_limits(),
            rate_limiter: Arc::clone(&self.rate_limiter),
            retry_policy: Arc::clone(&self.retry_policy),
            retry_budget: self.retry_budget.same_limits(),
            timeouts: self.timeouts,
        }
    }

    /// Runs one call within its timeout.
    pub(crate) async fn run<A: Attempts>(
        &self,
        identity: &str,
        request: &Request,
        span: &CallSpan,
        attempts: &A,
    ) -> Result<Response, Error> {
        let mut state = CallState {
            request,
            identity,
            span,
            deadline: deadline(Instant::now(), self.timeouts.call),
            limit: TimeoutKind::Call,
            timeout: self.timeouts.call,
            attempts: 0,
            is_unknown: false,
            is_unconfirmed: false,
            has_moved: false,
        };
        let (mut next, mut fresh) = (Next::Later(Goal::First), false);
        let mut before: Option<Result<Response, Error>> = None;
        loop {
            let admitted = until_panic(pin!(self.admitted(next, &state))).await;
            let (route, permit) = match admitted {
                Ok(Ok(admitted)) => admitted,
                // The result of an earlier attempt is more informative.
                Ok(Err(error)) => {
                    return before.unwrap_or_else(|| Err(turned_away(request, error)));
                }
                Err(panic) => return panics::ended(panic, before),
            };
            state.attempts += 1;
            let domain = route.domain;
            let ended = match self.attempt(&mut state, route, fresh, attempts).await {
                Ok(ended) => ended,
                // Nothing of this attempt was sent.
                Err(panic) => return panics::ended(panic, before),
            };
            let way = NextAttempt::after(&ended);
            // With no time left, the request would be sent and its outcome never known.
            let has_time = !state.time_to_wait().is_zero();
            let free_move = (way == NextAttempt::MoveUnsent && !state.has_moved && has_time)
                .then(|| self.domains.other(domain, request.replay()))
                .flatten();
            next = if let Some(other) = free_move {
                state.has_moved = true;
                telemetry::moved(&domain.name, &other.domain.name);
                Next::Now(other, permit)
            } else {
                // A call that waits for its next attempt does not block others.
                drop(permit);
                let Some(wait) = self.wait_before_next(&state, way, &ended) else { return ended };
                log::debug!(attempt = state.attempts, ?wait, "retrying the call");
                tokio::time::sleep(wait).await;
                Next::Later(match way {
                    NextAttempt::Move | NextAttempt::MoveUnsent => Goal::Other(domain),
                    NextAttempt::Stay | NextAttempt::StayFresh | NextAttempt::Confirm => {
                        Goal::Same(domain)
                    }
                })
            };
            // Once needed, all further attempts avoid connections on which another response may be pending.
            fresh |= matches!(way, NextAttempt::StayFresh | NextAttempt::Confirm);
            before = Some(ended);
        }
    }

    /// Waits until the next attempt may be made, and chooses its domain. The domain is chosen after all
    /// waiting, so that a waiting probe does not block others.
    async fn admitted<'d>(
        &'d self,
        next: Next<'d>,
        state: &CallState<'_>,
    ) -> Result<(Route<'d>, OwnedSemaphorePermit), Error> {
        let goal = match next {
            // Nothing was sent, so the rate limit permit is still unused.
            Next::Now(route, permit) => return Ok((route, permit)),
            Next::Later(goal) => goal,
        };
        // A call that waits for its rate limit does not block others.
        self.wait_for_rate(state).await?;
        let permit = self.wait_for_turn(state).await?;
        Ok((self.route(goal, state.request.replay()), permit))
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

    /// Makes one attempt, and records what it showed.
    async fn attempt<A: Attempts>(
        &self,
        state: &mut CallState<'_>,
        route: Route<'_>,
        fresh: bool,
        attempts: &A,
    ) -> Result<Result<Response, Error>, Panic> {
        let plan = self.plan(state, route.domain, fresh);
        state.span.attempt(state.attempts, &plan.call.host);
        let ended = attempts.attempt(route.domain, &plan, state.request).await?;
        route.report(health(&ended));
        state.confirm(&ended);
        if ended.is_ok() {
            self.retry_budget.deposit();
        }
        state.is_unknown |= match &ended {
            // Accepted, but not finished.
            Ok(response) => response.status() == StatusCode::ACCEPTED,
            Err(Error::Api(error)) if error.is_unconfirmed() => false,
            Err(error) => error.last_outcome() == Outcome::Unknown,
        };
        Ok(ended)
    }

    fn plan(&self, state: &CallState<'_>, domain: &Domain, fresh: bool) -> AttemptPlan {
        let call = CallContext { host: Arc::clone(&domain.name), ..self.unsent(state) };
        let end = deadline(Instant::now(), self.timeouts.attempt);
        if end < state.deadline {
            AttemptPlan {
                call,
                end,
                limit: TimeoutKind::Attempt,
                after: self.timeouts.attempt,
                fresh,
            }
        } else {
            let (end, limit) = (state.deadline, state.limit);
            AttemptPlan { call, end, limit, after: state.timeout, fresh }
        }
    }

    /// Returns how long to wait for another attempt; `None` when this one was the last.
    fn wait_before_next(
        &self,
        state: &CallState<'_>,
        way: NextAttempt,
        ended: &Result<Response, Error>,
    ) -> Option<Duration> {
        let replay = state.request.replay();
        // The policy is not asked about calls that must not be repeated.
        let may_be_repeated = match ended {
            Ok(response) => response.status() == StatusCode::ACCEPTED && replay.is_repeatable(),
            Err(error) => error.may_retry(),
        };
        if !may_be_repeated {
            return None;
        }
        let left = state.time_to_wait();
        if way == NextAttempt::Confirm {
            // The confirmation is part of reading the response: it needs no policy and no budget.
            return Some(Duration::ZERO).filter(|_| !left.is_zero());
        }
        let attempted = Attempted::new(state.attempts, replay, left, ended);
        let wait = caught("RetryPolicy", || self.retry_policy.wait(&attempted)).flatten();
        let wait = wait.filter(|wait| *wait < left)?;
        let is_free = attempted.was_stale() && state.attempts == 1;
        if !is_free && !self.retry_budget.withdraw() {
            log::debug!("the retry budget is spent");
            return None;
        }
        Some(wait)
    }

    async fn wait_for_rate(&self, state: &CallState<'_>) -> Result<(), Error> {
        let Some(limit) = state.request.rate_limit() else { return Ok(()) };
        let (identity, operation) = (state.identity, state.request.operation());
        let key = LimitKey { identity, operation, limit };
        let left = state.time_to_wait();
        let waits = named_async("RateLimiter", self.rate_limiter.acquire(key, left));
        // Do not wait for a limiter that exceeds the given time.
        let retry_after = match timeout_at(Instant::now() + left, waits).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(limited)) => Some(limited.retry_after),
            Err(_) => None,
        };
        Err(self.overload(state, Overload::Rate, retry_after))
    }

    async fn wait_for_turn(&self, state: &CallState<'_>) -> Result<OwnedSemaphorePermit, Error> {
        let patience = Instant::now() + state.time_to_wait();
        match timeout_at(patience, self.concurrency.enter()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(self.overload(state, Overload::Calls, None)),
            Err(_) => Err(self.timed_out_in_queue(state)),
        }
    }

    fn overload(
        &self,
        state: &CallState<'_>,
        overload: Overload,
        retry_after: Option<Duration>,
    ) -> Error {
        Error::Overload(OverloadError::new(self.unsent(state), overload, retry_after))
    }

    fn timed_out_in_queue(&self, state: &CallState<'_>) -> Error {
        Error::Timeout(TimeoutError::new(
            self.unsent(state),
            state.limit,
            state.timeout,
            CallStage::Queueing,
            Delivery::NotSent,
        ))
    }

    fn unsent(&self, state: &CallState<'_>) -> CallContext {
        CallContext {
            operation: state.request.operation_name(),
            host: Arc::clone(&self.domains.main.name),
            replay: state.request.replay(),
            attempt: state.attempts,
            earlier_unknown: state.is_unknown || state.is_unconfirmed,
        }
    }
}

/// Records that a call ends before an attempt was made.
fn turned_away(request: &Request, error: Error) -> Error {
    telemetry::overload(request.operation(), overload(&error));
    error
}

/// Returns what there was too much of; a timeout in the queue is of calls.
fn overload(error: &Error) -> Overload {
    match error {
        Error::Overload(error) => error.overload(),
        _ => Overload::Calls,
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
