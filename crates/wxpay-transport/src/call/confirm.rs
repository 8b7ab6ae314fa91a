//! Tests of refusals on a connection that carried another request before, in paused time.

use super::model::{End, Scripted, builder};
use super::*;
use crate::message::target::Target;
use crate::retry::policy::NoRetry;

/// Runs a repeatable call; returns its result, and for each attempt whether it required an unused connection.
async fn call(ends: &[End]) -> (Result<Response, Error>, Vec<bool>) {
    let client = builder().without_failover().retry(NoRetry).build().unwrap();
    let scripted = Scripted::new(ends.iter().map(|end| (*end, Duration::ZERO))).await;
    let request = Request::get("x", Target::new("/v3/x").unwrap());
    let ended =
        client.inner().calls.run("1900007291", &request, &CallSpan::none(), &scripted).await;
    let made = std::mem::take(&mut *scripted.made.lock().unwrap());
    (ended, made.into_iter().map(|(_, _, fresh)| fresh).collect())
}

const REFUSED: End = End::RefusedOnKept(400, "TOLD_TO");

#[tokio::test(start_paused = true)]
async fn a_refusal_is_settled_when_it_is_heard_again() {
    let (ended, fresh) = call(&[REFUSED, End::Refused]).await;
    let error = ended.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, Some(2)));
    assert_eq!(
        fresh,
        [false, true],
        "repeated once on an unused connection, although the policy does not retry"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_another_request_is_none() {
    let (ended, fresh) = call(&[REFUSED, End::Verified]).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(fresh, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_heard_again_leaves_the_outcome_open() {
    for (first, second) in [
        (REFUSED, End::NoConnection),
        (REFUSED, End::Broken { sent: false }),
        (REFUSED, End::SystemError),
        (REFUSED, End::Unverified),
    ] {
        let (ended, _) = call(&[first, second]).await;
        let error = ended.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{first:?} {second:?}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_refusal_on_a_new_connection_is_that_of_the_query() {
    for first in [End::RefusedOnKept(400, "PARAM_ERROR"), End::RefusedOnKept(404, "TOLD_TO")] {
        let (ended, _) = call(&[first, End::Refused]).await;
        let error = ended.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Rejected, "{first:?}: {error:?}");
        assert!(error.to_string().contains("400 TOLD_TO"), "{error}");
    }
}

/// A query changes nothing: what became of its earlier attempts does not matter.
#[tokio::test(start_paused = true)]
async fn a_refusal_settles_a_query_whatever_came_before() {
    let client = builder().without_failover().build().unwrap();
    for (replay, outcome) in [(Replay::Safe, Outcome::Rejected), (Replay::Keyed, Outcome::Unknown)]
    {
        for before in [End::SystemError, End::Gateway(502), End::ResponseTimeout, End::Unverified] {
            let ends = [before, End::Refused].map(|end| (end, Duration::ZERO));
            let scripted = Scripted::new(ends).await;
            let request = Request::post("x", Target::new("/v3/x").unwrap()).with_replay(replay);
            let calls = &client.inner().calls;
            let ended = calls.run("1900007291", &request, &CallSpan::none(), &scripted).await;
            let error = ended.unwrap_err();
            assert_eq!((error.outcome(), error.attempts()), (outcome, Some(2)), "{before:?}");
            assert_eq!(error.is_input(), outcome == Outcome::Rejected);
            assert!(!error.may_retry() || outcome == Outcome::Unknown);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_on_a_kept_connection_waits_for_the_policy() {
    let (ended, fresh) = call(&[End::RefusedOnKept(429, "TOLD_TO")]).await;
    let error = ended.unwrap_err();
    assert_eq!(
        (error.outcome(), fresh.len()),
        (Outcome::Unknown, 1),
        "the refusal was not confirmed"
    );
    assert!(error.hint().contains("had carried another request"), "{}", error.hint());
}

#[tokio::test(start_paused = true)]
async fn throttling_that_is_heard_again_settles_a_query() {
    let client = builder().without_failover().build().unwrap();
    let ends = [
        End::RefusedOnKept(429, "TOLD_TO"),
        End::Throttled { retry_after: None },
        End::SignerWrong,
    ];
    let scripted = Scripted::new(ends.map(|end| (end, Duration::ZERO))).await;
    let request = Request::get("x", Target::new("/v3/x").unwrap());
    let ended =
        client.inner().calls.run("1900007291", &request, &CallSpan::none(), &scripted).await;
    let error = ended.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn throttling_tells_nothing_of_the_attempt_before() {
    let client = builder().without_failover().build().unwrap();
    let throttled = End::Throttled { retry_after: None };
    let ends = [End::RefusedOnKept(429, "TOLD_TO"), throttled, throttled, throttled];
    let scripted = Scripted::new(ends.map(|end| (end, Duration::ZERO))).await;
    let request = Request::post("x", Target::new("/v3/x").unwrap()).with_replay(Replay::Keyed);
    let ended =
        client.inner().calls.run("1900007291", &request, &CallSpan::none(), &scripted).await;
    let error = ended.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, Some(4)));
    assert!(error.may_retry(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_was_not_sent_is_made_elsewhere() {
    let client = builder().retry(NoRetry).build().unwrap();
    let ends = [REFUSED, End::NoConnection, End::Refused];
    let scripted = Scripted::new(ends.map(|end| (end, Duration::ZERO))).await;
    let request = Request::get("x", Target::new("/v3/x").unwrap());
    let ended =
        client.inner().calls.run("1900007291", &request, &CallSpan::none(), &scripted).await;
    let error = ended.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, Some(3)));
}
