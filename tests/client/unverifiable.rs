//! Requests whose response could not be verified are not sent: a plan is not terminated when the response
//! could not be trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_auth::{
    Algorithm, Certificate, FileKeySigner, KeyRing, NotReady, PublicKey, SerialNo, SignError,
    Signature, SignedMessage, Signer, Timestamp, Verifier, VerifyError, WechatpaySerial,
    async_trait,
};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Gateway, Misbehaviour, PlanState};
use wxpay_tests::{chain, kind, plan_id};
use wxpay_transport::{
    Attempted, BaseUrl, Client, ConfigError, Delivery, Error, Outcome, Proxy, Replay, Request,
    RetryPolicy, Target, Transport,
};

/// Counts the signatures requested.
#[derive(Debug, Clone)]
struct Counting {
    signer: FileKeySigner,
    /// Whether it announces the serial of its next signature.
    tells: bool,
    asked: Arc<AtomicUsize>,
}

impl Counting {
    fn new(gateway: &Gateway) -> Self {
        Self { signer: gateway.signer(), tells: true, asked: Arc::default() }
    }

    fn silent(gateway: &Gateway) -> Self {
        Self { tells: false, ..Self::new(gateway) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Signer for Counting {
    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        self.signer.next_serial_no().filter(|_| self.tells)
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.signer.sign(message).await
    }
}

/// A custom verifier around one that can verify.
#[derive(Debug)]
struct Own {
    ring: KeyRing,
    missing: Option<NotReady>,
    /// The preferred serial, and from which call on it is returned.
    prefers: Option<(usize, WechatpaySerial)>,
    asked: AtomicUsize,
}

#[async_trait]
impl Verifier for Own {
    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let prefers = self.prefers.clone().filter(|(before, _)| asked >= *before);
        prefers.map(|(_, serial)| serial).or_else(|| self.ring.preferred_serial(now))
    }

    fn readiness(&self, _: Timestamp) -> Result<(), NotReady> {
        self.missing.clone().map_or(Ok(()), Err)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        self.ring.verify(message).await
    }
}

/// Returns a service with the maximum number of attempts.
fn plans<V: Verifier>(
    gateway: &Gateway,
    signer: &Counting,
    verifier: V,
    clock: impl wxpay_auth::Clock + 'static,
) -> DeliveryPlans<Client<Counting, V>> {
    let client = Client::builder(gateway.mchid(), signer.clone(), verifier)
        .base_url(BaseUrl::new(gateway.base_url()).expect("an origin"))
        .proxy(Proxy::none())
        .clock(clock)
        .build()
        .expect("a client is made without any key");
    DeliveryPlans::new(client)
}

/// Terminates a plan with this verifier, and returns what the error reports as missing.
async fn refused<V: Verifier>(verifier: V, at: u64) -> String {
    let gateway = Gateway::start().await;
    let signer = Counting::new(&gateway);
    refused_by(&gateway, &signer, verifier, at, 0).await
}

async fn refused_by<V: Verifier>(
    gateway: &Gateway,
    signer: &Counting,
    verifier: V,
    at: u64,
    signatures: usize,
) -> String {
    let plans = plans(gateway, signer, verifier, move || Timestamp::from_unix_secs(at));
    let error = plans.terminate(&plan_id("12000")).await.expect_err("not verifiable");
    let told = chain(&error);
    assert_eq!((error.outcome(), kind(&error)), (Outcome::NotSent, "verifier"), "{told}");
    let wxpay_marketing::Error::Transport(error) = &error else { panic!("{error:?}") };
    assert_eq!((error.delivery(), error.may_retry()), (Delivery::NotSent, false), "{told}");
    assert_eq!((error.attempts(), error.operation()), (Some(1), Some("delivery_plans.terminate")));
    assert!(gateway.journal().is_empty(), "{told}");
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Delivering));
    assert_eq!(signer.asked(), signatures, "{told}");
    format!("{told}. {}", error.hint())
}

const NOW: u64 = 1_700_000_000;

#[tokio::test]
async fn an_empty_ring_sends_nothing() {
    let told = refused(KeyRing::new(), NOW).await;
    assert!(told.contains("no WeChat Pay public key and no platform certificate"), "{told}");
    assert!(told.contains("KeyRing::insert_public_key"), "{told}");
}

#[tokio::test]
async fn a_ring_whose_certificates_are_not_valid_sends_nothing() {
    let gateway = Gateway::start().await;
    let expired = Certificate::from_pem(gateway.expired_certificate_pem()).unwrap();
    let (first, last) = (expired.not_before().as_unix_secs(), expired.not_after().as_unix_secs());
    let ring = KeyRing::with_clock(move || Timestamp::from_unix_secs(first));
    ring.insert_certificate(&expired).unwrap();

    let told = refused(ring.clone(), last + 1).await;
    assert!(told.contains("has expired") && told.contains(&last.to_string()), "{told}");
    assert!(told.contains(expired.serial_no().as_str()), "{told}");
    let told = refused(ring, first - 1).await;
    assert!(told.contains("valid yet") && told.contains(&first.to_string()), "{told}");
    assert!(told.contains("check the local clock"), "{told}");
}

#[tokio::test]
async fn a_verifier_of_ones_own_says_what_it_misses() {
    let gateway = Gateway::start().await;
    let missing = Some(NotReady::other("the key store is locked"));
    let verifier = || Own {
        ring: gateway.key_ring(),
        missing: missing.clone(),
        prefers: None,
        asked: AtomicUsize::new(0),
    };
    for told in [
        refused(verifier(), NOW).await,
        refused(Arc::new(verifier()), NOW).await,
        refused(Box::new(verifier()) as Box<dyn Verifier>, NOW).await,
    ] {
        assert!(told.contains("the key store is locked"), "{told}");
    }
}

/// A merchant certificate that does not look like one is accepted by a key ring.
#[tokio::test]
async fn the_serial_of_the_signer_is_not_asked_for() {
    let gateway = Gateway::start().await;
    let own = gateway.serial_no();
    // Serials are compared as numbers: lower case makes no difference.
    for written in [own.as_str().to_owned(), format!("00{}", own.as_str().to_lowercase())] {
        let verifier = |before| Own {
            ring: gateway.key_ring(),
            missing: None,
            prefers: Some((before, written.parse().unwrap())),
            asked: AtomicUsize::new(0),
        };
        let (telling, silent) = (Counting::new(&gateway), Counting::silent(&gateway));
        let built = Client::builder(gateway.mchid(), telling.clone(), verifier(0)).build();
        let error = built.unwrap_err();
        let refused = matches!(&error, Error::Config(ConfigError::OwnSerial { .. }));
        assert!(refused, "{error:?}");
        for told in [
            format!("{error:?}"),
            // When the client was built, the verifier preferred another serial.
            refused_by(&gateway, &telling, verifier(1), NOW, 0).await,
            // The serial is known only from the signature.
            refused_by(&gateway, &silent, verifier(0), NOW, 1).await,
            // The preferred serial changed during the signature.
            refused_by(&gateway, &telling, verifier(2), NOW, 1).await,
        ] {
            assert!(
                told.contains(own.as_str()) && told.contains("certificate of the signer"),
                "{told}"
            );
            assert!(told.contains("apiclient_cert.pem"), "{told}");
        }
    }
}

/// A ring may be filled through the client that owns it.
#[tokio::test]
async fn a_ring_that_is_filled_later_sends_from_then_on() {
    let gateway = Gateway::start().await;
    let signer = Counting::new(&gateway);
    let ring = KeyRing::new();
    let plans = plans(&gateway, &signer, ring.clone(), wxpay_auth::SystemClock);
    let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!((error.outcome(), signer.asked()), (Outcome::NotSent, 0), "{error:?}");

    let public_key = PublicKey::from_pem(gateway.public_key_pem()).unwrap();
    ring.insert_public_key(gateway.public_key_id(), public_key).unwrap();
    plans.terminate(&plan_id("12000")).await.unwrap();
    assert_eq!((gateway.executions(), signer.asked()), (1, 1));
}

/// A ring that is emptied between two attempts stops the call; the first attempt may have been executed.
#[tokio::test]
async fn what_is_no_longer_verifiable_is_not_sent_again() {
    let gateway = Gateway::start().await;
    let signer = Counting::new(&gateway);
    let ring = KeyRing::new();
    let public_key = PublicKey::from_pem(gateway.public_key_pem()).unwrap();
    ring.insert_public_key(gateway.public_key_id(), public_key).unwrap();
    let client = Client::builder(gateway.mchid(), signer.clone(), ring.clone())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(Emptying { ring, serial: gateway.public_key_id() })
        .build()
        .unwrap();
    gateway.misbehave_once(Misbehaviour::UnsignedSuccess);
    let target = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";
    let request = Request::post("repeatable", Target::new(target).unwrap());
    let error = client.send(request.with_replay(Replay::Keyed)).await.unwrap_err();
    assert!(matches!(error, Error::Verifier(_)), "{error:?}");
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, Some(2)), "{error:?}");
    assert_eq!((gateway.journal().len(), signer.asked()), (1, 1));
}

/// Removes the key before the next attempt.
#[derive(Debug)]
struct Emptying {
    ring: KeyRing,
    serial: WechatpaySerial,
}

impl RetryPolicy for Emptying {
    fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration> {
        self.ring.remove(&self.serial);
        (attempted.attempts() == 1).then_some(Duration::ZERO)
    }
}
