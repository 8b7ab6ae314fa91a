//! Tests which waits block other calls: one call at a time, in paused time.

use async_trait::async_trait;

use super::model::{End, MAIN, STANDBY, Scripted, builder};
use super::*;
use crate::domains::router::Health;
use crate::message::interface_limit::RateLimit;
use crate::message::target::Target;
use crate::rate_limit::RateLimited;

const SECOND: Duration = Duration::from_secs(1);

/// Runs two calls with a concurrency of one; returns their results, and the attempts made.
async fn two_calls(
    script: &[(End, Duration)],
    limiter: impl RateLimiter + 'static,
) -> ([Result<Response, Error>; 2], Vec<(String, Duration)>) {
    let client = builder().max_concurrent_calls(1).rate_limiter(limiter).build().unwrap();
    let calls = &client.inner().calls;
    let scripted = Scripted::new(script.iter().copied()).await;
    let request = |operation, limit| {
        let request = Request::post(operation, Target::new("/v3/x").unwrap());
        request.with_rate_limit(RateLimit::per_second(limit))
    };
    let (first, second) = (request("first", 1), request("second", 1));
    let span = CallSpan::none();
    let (first, second) = tokio::join!(
        calls.run("1900007291", &first, &span, &scripted),
        calls.run("1900007291", &second, &span, &scripted),
    );
    let made = std::mem::take(&mut *scripted.made.lock().unwrap());
    ([first, second], made.into_iter().map(|(host, at, _)| (host, at)).collect())
}

/// Delays only the operation `first`, by this long.
#[derive(Debug)]
struct FirstWaits(Duration);

#[async_trait]
impl RateLimiter for FirstWaits {
    async fn acquire(&self, key: LimitKey<'_>, _: Duration) -> Result<(), RateLimited> {
        let wait = if key.operation == "first" { self.0 } else { Duration::ZERO };
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_next_attempt_keeps_no_other_from_running() {
    let throttled = End::Throttled { retry_after: Some(3) };
    let script = [(throttled, Duration::ZERO), (End::Verified, SECOND), (End::Verified, SECOND)];
    let (ended, made) = two_calls(&script, FirstWaits(Duration::ZERO)).await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let times: Vec<_> = made.iter().map(|(_, at)| at.as_secs()).collect();
    assert_eq!(times, [0, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_rate_keeps_no_other_from_running() {
    let script = [(End::Verified, SECOND), (End::Verified, SECOND)];
    let (ended, made) = two_calls(&script, FirstWaits(3 * SECOND)).await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let times: Vec<_> = made.iter().map(|(_, at)| at.as_secs()).collect();
    assert_eq!(times, [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_moves_at_once_is_not_passed_by_another() {
    let script = [(End::NoConnection, SECOND), (End::Verified, SECOND), (End::Verified, SECOND)];
    let (ended, made) = two_calls(&script, FirstWaits(Duration::ZERO)).await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let at = |host: &str, seconds| (host.to_owned(), seconds * SECOND);
    assert_eq!(made, [at(MAIN, 0), at(STANDBY, 1), at(MAIN, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_does_not_keep_to_its_word_is_not_waited_for() {
    let (ended, made) = two_calls(&[(End::Verified, SECOND)], FirstWaits(Duration::MAX)).await;
    let [Err(Error::Overload(error)), Ok(_)] = &ended else { panic!("{ended:?}") };
    assert_eq!((error.overload(), error.retry_after()), (Overload::Rate, None));
    assert_eq!(made.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_turn_in_its_time_names_that_time() {
    let script = [(End::Verified, 60 * SECOND)];
    let (ended, _) = two_calls(&script, FirstWaits(Duration::ZERO)).await;
    let [Ok(_), Err(Error::Timeout(error))] = &ended else { panic!("{ended:?}") };
    assert_eq!((error.stage(), error.kind()), (CallStage::Queueing, TimeoutKind::Call));
    assert_eq!(error.after(), 9 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn there_is_time_to_move_however_long_connecting_may_take() {
    let client = builder().connect_timeout(60 * SECOND).build().unwrap();
    let Timeouts { connect, call, .. } = client.inner().calls.timeouts;
    assert_eq!((connect, call), (Duration::from_millis(4500), 9 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_polled_leaves_the_domain_to_others_after_its_time() {
    let client = builder().build().unwrap();
    let Calls { domains, timeouts, .. } = &client.inner().calls;
    let first = || domains.first(Replay::Safe);
    while &*first().domain.name == MAIN {
        first().report(Health::Bad);
    }
    tokio::time::sleep(5 * SECOND).await;
    let probe = first();
    assert_eq!(&*probe.domain.name, MAIN);
    tokio::time::sleep(timeouts.attempt.min(timeouts.call)).await;
    assert_eq!(&*first().domain.name, STANDBY);
    tokio::time::sleep(SECOND).await;
    assert_eq!(&*first().domain.name, MAIN);
    drop(probe);
}

#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn the_gauge_of_a_breaker_ends_with_its_last_state() {
    use crate::breaker::Admission;
    use crate::observe::gauges::OneGauge;

    let client = Arc::new(builder().build().unwrap());
    let other = Arc::clone(&client);
    let first = || client.inner().calls.domains.first(Replay::Safe);
    let gauge = OneGauge::new("wxpay_breaker_state");
    let (probing, open) = (1.0, 2.0);
    while &*first().domain.name == MAIN {
        first().report(Health::Bad);
    }
    tokio::time::sleep(5 * SECOND).await;
    metrics::with_local_recorder(&gauge, || {
        // Another call is told that the domain fails while this one reports that it probes the domain.
        gauge.meanwhile(probing, move || {
            let main = &other.inner().calls.domains.main;
            main.change_breaker(|breaker| breaker.failed(Instant::now(), Admission::Probe(1)));
        });
        let _probe = first();
        assert_eq!(gauge.values().last(), Some(&open), "{:?}", gauge.values());
    });
}
