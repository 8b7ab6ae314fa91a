//! Tests calls against a model: the same attempt results in paused time, through both.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use wxpay_auth::{KeyRing, Mchid, SignError, SignErrorKind};

use super::*;
use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::connection::base_url::BaseUrl;
use crate::domains::failover::Failover;
use crate::error::{
    ApiError, ApiResponse, ConnectError, ConnectStage, ExchangeError, ResponseSignature,
    SigningError, UnverifiedCause, UnverifiedError,
};
use crate::message::replay::Replay;
use crate::message::secrets::Secrets;
use crate::message::signed_response::verified;
use crate::message::target::Target;

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Verified,
    Accepted,
    Throttled {
        retry_after: Option<u64>,
    },
    Refused,
    /// On a connection that carried another request before; with this status and code.
    RefusedOnKept(u16, &'static str),
    SystemError,
    Gateway(u16),
    Unverified,
    NoConnection,
    ConnectTimeout,
    ResponseTimeout,
    Broken {
        sent: bool,
    },
    Stale {
        sent: bool,
    },
    SignerBusy,
    SignerWrong,
}

impl End {
    /// The request may have been carried out.
    fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::Accepted
                | Self::SystemError
                | Self::Gateway(_)
                | Self::Unverified
                | Self::ResponseTimeout
                | Self::Broken { sent: true }
                | Self::Stale { sent: true }
        )
    }

    fn is_unsent(self) -> bool {
        matches!(
            self,
            Self::NoConnection
                | Self::ConnectTimeout
                | Self::Broken { sent: false }
                | Self::Stale { sent: false }
                | Self::SignerBusy
                | Self::SignerWrong
        )
    }
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Verified),
        1 => Just(End::Accepted),
        1 => prop_oneof![Just(None), (0..4_u64).prop_map(Some)]
            .prop_map(|retry_after| End::Throttled { retry_after }),
        1 => Just(End::Refused),
        1 => Just(End::SystemError),
        2 => prop_oneof![Just(502), Just(503), Just(504)].prop_map(End::Gateway),
        1 => Just(End::Unverified),
        4 => Just(End::NoConnection),
        1 => Just(End::ConnectTimeout),
        1 => Just(End::ResponseTimeout),
        1 => any::<bool>().prop_map(|sent| End::Broken { sent }),
        1 => any::<bool>().prop_map(|sent| End::Stale { sent }),
        1 => Just(End::SignerBusy),
        1 => Just(End::SignerWrong),
    ]
}

/// One call: the results of its attempts, and the pause before it begins.
#[derive(Debug, Clone)]
struct Scene {
    pause: Duration,
    replay: Replay,
    attempts: Vec<(End, Duration)>,
}

fn scenes() -> impl Strategy<Value = Vec<Scene>> {
    let replay = prop_oneof![Just(Replay::Safe), Just(Replay::Keyed), Just(Replay::Never)];
    let millis = |most: u64| (0..most).prop_map(Duration::from_millis);
    let attempts = prop::collection::vec((ends(), millis(2500)), 6);
    let scene = (millis(9000), replay, attempts).prop_map(|(pause, replay, attempts)| Scene {
        pause,
        replay,
        attempts,
    });
    prop::collection::vec(scene, 1..40)
}

/// Where and when an attempt began, and whether it required an unused connection.
pub(super) type Made = (String, Duration, bool);

/// Makes attempts with scripted results.
pub(super) struct Scripted {
    start: Instant,
    script: Mutex<VecDeque<(End, Duration)>>,
    pub(super) made: Mutex<Vec<Made>>,
    responses: Responses,
}

impl Scripted {
    pub(super) async fn new(script: impl IntoIterator<Item = (End, Duration)>) -> Self {
        Self {
            start: Instant::now(),
            script: Mutex::new(script.into_iter().collect()),
            made: Mutex::default(),
            responses: Responses::new().await,
        }
    }
}

impl Attempts for Scripted {
    async fn attempt(
        &self,
        domain: &Domain,
        plan: &AttemptPlan,
        _: &Request,
    ) -> Result<Result<Response, Error>, Panic> {
        assert_eq!(domain.name, plan.call.host);
        assert!(Instant::now() < plan.end, "begun after its deadline");
        let made = (domain.name.to_string(), self.start.elapsed(), plan.fresh);
        self.made.lock().unwrap().push(made);
        let (end, took) = self.script.lock().unwrap().pop_front().expect("few attempts");
        tokio::time::sleep(took).await;
        Ok(self.responses.make(end, &plan.call).await)
    }
}

/// Builds the results of attempts.
struct Responses {
    verified: wxpay_auth::Verified<Bytes>,
}

impl Responses {
    async fn new() -> Self {
        Self { verified: verified("").await }
    }

    async fn make(&self, end: End, call: &CallContext) -> Result<Response, Error> {
        let call = call.clone();
        let api_on = |status: u16, code: &str, retry_after, was_kept| {
            let response = ApiResponse {
                status: StatusCode::from_u16(status).unwrap(),
                request_id: None,
                retry_after,
                clock_offset: None,
                signature: ResponseSignature::Missing,
                was_kept,
                body: Ok(format!(r#"{{"code":"{code}"}}"#).into()),
            };
            Err(Error::Api(ApiError::new(call.clone(), response, b"", &Secrets::default())))
        };
        let api = |status, retry_after| api_on(status, "TOLD_TO", retry_after, false);
        let verified =
            |status| Ok(Response::new(status, None, Arc::clone(&call.host), self.verified.clone()));
        let delivery = |sent| if sent { Delivery::Unknown } else { Delivery::NotSent };
        let timeout = |stage, delivery| {
            TimeoutError::new(call.clone(), TimeoutKind::Connect, Duration::ZERO, stage, delivery)
        };
        let signer = |kind| {
            let error = SignError::new(kind, "told to");
            Err(Error::Signing(SigningError::signer(call.clone(), error)))
        };
        match end {
            End::Verified => verified(StatusCode::NO_CONTENT),
            End::Accepted => verified(StatusCode::ACCEPTED),
            End::Throttled { retry_after } => api(429, retry_after.map(Duration::from_secs)),
            End::Refused => api(400, None),
            End::RefusedOnKept(status, code) => api_on(status, code, None, true),
            End::SystemError => api(500, None),
            End::Gateway(status) => api(status, None),
            End::Unverified => Err(Error::Unverified(UnverifiedError::new(
                call,
                StatusCode::OK,
                None,
                None,
                UnverifiedCause::Truncated,
            ))),
            End::NoConnection => {
                let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                let error = ConnectError::new(call, ConnectStage::Tcp, Box::new(refused));
                Err(Error::Connect(error))
            }
            End::ConnectTimeout => Err(Error::Timeout(
                timeout(CallStage::Preparing, Delivery::NotSent).while_connecting(true),
            )),
            End::ResponseTimeout => {
                Err(Error::Timeout(timeout(CallStage::Waiting, Delivery::Unknown)))
            }
            End::Broken { sent } => Err(Error::Exchange(ExchangeError::of_hyper(
                call,
                delivery(sent),
                false,
                closed().await,
            ))),
            End::Stale { sent } => Err(Error::Exchange(ExchangeError::of_hyper(
                call,
                delivery(sent),
                true,
                closed().await,
            ))),
            End::SignerBusy => signer(SignErrorKind::Throttled),
            End::SignerWrong => signer(SignErrorKind::Configuration),
        }
    }
}

/// Returns hyper's error for a closed connection.
async fn closed() -> hyper::Error {
    let (ours, theirs) = tokio::io::duplex(1024);
    drop(theirs);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
    let request = http::Request::new(Full::new(Bytes::new()));
    let (sent, _) = tokio::join!(sender.send_request(request), connection);
    sent.unwrap_err()
}

/// Waits a tenth of a second longer each time, or as long as the response asks.
#[derive(Debug)]
struct Steady;

const ATTEMPTS: u32 = 4;

impl RetryPolicy for Steady {
    fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration> {
        let wait = Duration::from_millis(100) * attempted.attempts();
        (attempted.attempts() < ATTEMPTS)
            .then(|| wait.max(attempted.retry_after().unwrap_or_default()))
    }
}

const WHOLE: Duration = Duration::from_secs(9);
const FAILURES: u32 = 3;
const OPEN_FOR: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);
const TOKENS: u32 = 20;
pub(super) const MAIN: &str = "127.0.0.1:1";
pub(super) const STANDBY: &str = "127.0.0.1:2";

fn calls() -> Client<wxpay_auth::FileKeySigner, KeyRing> {
    builder().build().unwrap()
}

pub(crate) fn builder() -> ClientBuilder<wxpay_auth::FileKeySigner, KeyRing> {
    let url = |host| BaseUrl::new(format!("http://{host}")).unwrap();
    let wechat_pay = wxpay_testing::WechatPay::builder().build();
    Client::builder(Mchid::new("1900007291").unwrap(), wechat_pay.signer(), KeyRing::new())
        .base_url(url(MAIN))
        .failover(Failover::to(url(STANDBY)).after_failures(FAILURES).probe_after(OPEN_FOR))
        .retry(Steady)
        .retry_budget(RetryBudget::new(TOKENS, 0.1))
        .call_timeout(WHOLE)
}

/// The model: what calls do, in the simplest form.
#[derive(Debug)]
struct Model {
    now: Duration,
    main: DomainModel,
    standby: DomainModel,
    /// In tenths of a token.
    tokens: u32,
}

#[derive(Debug, Default)]
struct DomainModel {
    failures: u32,
    /// Until when the domain is avoided, and for how long that was set.
    shut: Option<(Duration, Duration)>,
}

impl DomainModel {
    /// Returns whether an attempt may go there, and if so, whether it is a probe.
    fn lets_in(&self, now: Duration, replay: Replay) -> Option<bool> {
        match self.shut {
            None => Some(false),
            Some((until, shut_for)) => {
                let patience = if replay == Replay::Never { shut_for } else { Duration::ZERO };
                (now >= until + patience).then_some(true)
            }
        }
    }

    fn note(&mut self, end: End, is_probe: bool, now: Duration) {
        let is_bad = matches!(
            end,
            End::NoConnection | End::ConnectTimeout | End::Gateway(_) | End::Broken { sent: false }
        );
        let is_good = matches!(
            end,
            End::Verified
                | End::Accepted
                | End::Throttled { .. }
                | End::Refused
                | End::SystemError
                | End::Unverified
        );
        match (self.shut, is_probe) {
            (None, _) if is_good => self.failures = 0,
            (None, _) if is_bad => {
                self.failures += 1;
                if self.failures == FAILURES {
                    *self = Self { failures: 0, shut: Some((now + OPEN_FOR, OPEN_FOR)) };
                }
            }
            (Some(_), true) if is_good => *self = Self::default(),
            (Some((_, shut_for)), true) if is_bad => {
                let longer = (shut_for * 2).min(LONGEST);
                self.shut = Some((now + longer, longer));
            }
            _ => {}
        }
    }
}

impl Model {
    fn new() -> Self {
        let (main, standby) = (DomainModel::default(), DomainModel::default());
        Self { now: Duration::ZERO, main, standby, tokens: TOKENS * 10 }
    }

    fn domain(&mut self, name: &str) -> &mut DomainModel {
        if name == MAIN { &mut self.main } else { &mut self.standby }
    }

    /// Runs a call; returns its attempts.
    fn call(&mut self, scene: &Scene) -> Vec<Made> {
        self.now += scene.pause;
        let replay = scene.replay;
        let (begin, mut made, mut has_moved) = (self.now, Vec::new(), false);
        let (mut host, mut is_probe) = match self.main.lets_in(self.now, replay) {
            Some(is_probe) => (MAIN, is_probe),
            None => match self.standby.lets_in(self.now, replay) {
                Some(is_probe) => (STANDBY, is_probe),
                None => (MAIN, false),
            },
        };
        let mut fresh = false;
        for (number, (end, took)) in (1..).zip(&scene.attempts) {
            made.push((host.to_owned(), self.now, fresh));
            self.now += *took;
            let now = self.now;
            self.domain(host).note(*end, is_probe, now);
            if matches!(end, End::Verified | End::Accepted) {
                self.tokens = (self.tokens + 1).min(TOKENS * 10);
            }
            let other = if host == MAIN { STANDBY } else { MAIN };
            let cannot_be_reached = matches!(
                end,
                End::NoConnection | End::ConnectTimeout | End::Broken { sent: false }
            );
            // The free move.
            if cannot_be_reached
                && !has_moved
                && begin + WHOLE > now + Duration::from_secs(1)
                && let Some(probes) = self.domain(other).lets_in(now, replay)
            {
                (host, is_probe, has_moved) = (other, probes, true);
                continue;
            }
            let may_be_repeated = match end {
                End::Verified | End::Refused | End::SignerWrong => false,
                End::Throttled { .. } => true,
                end if end.is_unsent() => true,
                _ => replay != Replay::Never,
            };
            let asked = match end {
                End::Throttled { retry_after: Some(secs) } => Duration::from_secs(*secs),
                _ => Duration::ZERO,
            };
            let wait = (Duration::from_millis(100) * number).max(asked);
            // One second is reserved for the attempt.
            let left = (begin + WHOLE).saturating_sub(now + Duration::from_secs(1));
            if !may_be_repeated || number >= ATTEMPTS || wait >= left {
                break;
            }
            let is_stale = matches!(end, End::Stale { .. });
            fresh |= is_stale;
            if !(is_stale && number == 1) {
                if self.tokens < 10 {
                    break;
                }
                self.tokens -= 10;
            }
            self.now += wait;
            let now = self.now;
            let moves = cannot_be_reached
                || matches!(end, End::Gateway(_) | End::ResponseTimeout | End::Broken { .. });
            let goes_to = self.domain(other).lets_in(now, replay).filter(|_| moves);
            (host, is_probe) = match goes_to {
                Some(probes) => (other, probes),
                None => (host, self.domain(host).lets_in(now, replay).unwrap_or(false)),
            };
        }
        made
    }
}

/// Runs scenes through the model and through the calls.
async fn play(scenes: &[Scene]) {
    let (client, mut model) = (calls(), Model::new());
    let calls = &client.inner().calls;
    let mut scripted = Scripted::new([]).await;
    for scene in scenes {
        tokio::time::sleep(scene.pause).await;
        *scripted.script.get_mut().unwrap() = scene.attempts.iter().copied().collect();
        let target = Target::new("/v3/x").unwrap();
        let request = Request::post("x", target).with_replay(scene.replay);
        let ended = calls.run("1900007291", &request, &CallSpan::none(), &scripted).await;

        let made = std::mem::take(&mut *scripted.made.lock().unwrap());
        assert_eq!(made, model.call(scene), "{scene:?}");
        let ends: Vec<_> = scene.attempts.iter().take(made.len()).map(|(end, _)| *end).collect();
        check_promises(scene.replay, &ends, &ended);
    }
}

/// Checks what must hold independently of the model.
fn check_promises(replay: Replay, ends: &[End], ended: &Result<Response, Error>) {
    let (last, before) = ends.split_last().unwrap();
    let shown = format!("{replay}: {ends:?}");
    if replay == Replay::Never {
        assert!(!before.iter().any(|end| end.is_unknown()), "repeated: {shown}");
    }
    let settles = |end: &End| matches!(end, End::Verified | End::Refused | End::SignerWrong);
    assert!(!before.iter().any(settles), "went on: {shown}");
    match ended {
        Ok(_) => assert!(matches!(last, End::Verified | End::Accepted), "{shown}"),
        Err(error) => {
            // The refusal of a query is its result.
            let settles = matches!(last, End::Refused | End::Throttled { .. });
            let is_settled = replay == Replay::Safe && settles;
            let is_unknown = !is_settled && ends.iter().any(|end| end.is_unknown());
            assert_eq!(error.outcome() == Outcome::Unknown, is_unknown, "{shown}");
            // A 429 counts as not sent: the request was not accepted.
            let is_unsent = !is_unknown && last.is_unsent();
            assert_eq!(error.outcome() == Outcome::NotSent, is_unsent, "{shown}");
            if is_unknown {
                assert_ne!(error.delivery(), Delivery::NotSent, "{shown}");
                let hint = match replay {
                    Replay::Safe => "can be sent again",
                    _ => "read the state",
                };
                assert!(error.hint().contains(hint), "{shown}: {}", error.hint());
            }
            assert_eq!(error.attempts(), u32::try_from(ends.len()).ok(), "{shown}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn calls_do_what_the_model_does(scenes in scenes()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(&scenes));
    }
}
