//! The crates compose: through generics, through trait objects, and across threads.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::Instrument;
use tracing_subscriber::util::SubscriberInitExt;
use wxpay_auth::{
    Backend, FileKeySigner, KeyRing, NotReady, PrivateKey, SignedMessage, Signer, Timestamp,
    Verifier, VerifyError, WechatpaySerial, async_trait,
};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Gateway, SignerConformance, WireServer};
use wxpay_tests::log::Log;
use wxpay_tests::requests::list;
use wxpay_tests::until::until;
use wxpay_tests::{builder, plan_id, plans};
use wxpay_transport::{BaseUrl, Client, Error, Proxy, Transport};

fn assert_send_sync_static<T: Send + Sync + 'static>() {}
fn assert_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn with_generics_and_with_trait_objects() {
    let gateway = Gateway::start().await;
    let base_url = BaseUrl::new(gateway.base_url()).unwrap();

    let generic: DeliveryPlans<Client<FileKeySigner, KeyRing>> =
        DeliveryPlans::new(builder(&gateway, &gateway.base_url()).build().unwrap());
    assert_send(generic.terminate(&plan_id("12000"))).await.unwrap();

    let signer: Arc<dyn Signer> = Arc::new(gateway.signer());
    let verifier: Arc<dyn Verifier> = Arc::new(gateway.key_ring());
    let client = Client::builder(gateway.mchid(), signer, verifier)
        .base_url(base_url)
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let dynamic: DeliveryPlans<Client<Arc<dyn Signer>, Arc<dyn Verifier>>> =
        DeliveryPlans::new(client.clone());
    assert_send(dynamic.terminate(&plan_id("12001"))).await.unwrap();

    let transport: Arc<dyn Transport> = Arc::new(client);
    let by_transport: DeliveryPlans<Arc<dyn Transport>> = DeliveryPlans::new(transport.clone());
    let by_reference: DeliveryPlans<&dyn Transport> = DeliveryPlans::new(&*transport);
    assert_send(by_transport.terminate(&plan_id("12002"))).await.unwrap();
    by_reference.terminate(&plan_id("12002")).await.expect_err("it has ended");
    assert_eq!(gateway.executions(), 3);
}

#[tokio::test]
async fn calls_move_to_other_threads() {
    let gateway = Gateway::start().await;
    let plans = DeliveryPlans::new(builder(&gateway, &gateway.base_url()).build().unwrap());
    let call = tokio::spawn(async move { plans.terminate(&plan_id("12000")).await });
    assert_eq!(call.await.unwrap().unwrap().plan_id.as_str(), "12000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_signer_conforms_on_both_back_ends() {
    let gateway = Gateway::start().await;
    for backend in [Backend::Ring, Backend::AwsLcRs] {
        let key = PrivateKey::from_pem_with(backend, gateway.merchant_key_pem()).unwrap();
        let reference = PrivateKey::from_pem(gateway.merchant_key_pem()).unwrap();
        SignerConformance::new(reference.public_key().clone(), gateway.serial_no())
            .reference(reference)
            .check(Arc::new(FileKeySigner::new(key, gateway.serial_no())))
            .await
            .unwrap_or_else(|e| panic!("{backend}: {e}"));
    }
}

#[test]
fn public_types_can_be_shared() {
    assert_send_sync_static::<Client<FileKeySigner, KeyRing>>();
    assert_send_sync_static::<DeliveryPlans<Client<FileKeySigner, KeyRing>>>();
    assert_send_sync_static::<wxpay_marketing::Error>();
    assert_send_sync_static::<wxpay_transport::Response>();
    assert_send_sync_static::<wxpay_auth::Error>();
    assert_send_sync_static::<Gateway>();
}

/// Verifies once it is let.
#[derive(Debug, Clone)]
struct Waiting(KeyRing, Arc<Semaphore>);

#[async_trait]
impl Verifier for Waiting {
    fn preferred_serial(&self, _: Timestamp) -> Option<WechatpaySerial> {
        None
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.0.readiness(now)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        self.1.acquire().await.unwrap().forget();
        self.0.verify(message).await
    }
}

#[tokio::test]
async fn a_client_with_another_verifier_shares_connections_and_waits_for_no_call() {
    let server = WireServer::start_plain().await;
    let one_at_a_time = builder(&server, &server.base_url()).max_concurrent_calls(1);
    let client = one_at_a_time.max_queued_calls(0).build().unwrap();
    client.send(list()).await.unwrap();

    let permits = Arc::new(Semaphore::new(0));
    let other = client.with_verifier(Waiting(server.key_ring(), Arc::clone(&permits)));
    let call = tokio::spawn({
        let other = other.clone();
        async move { other.send(list()).await }
    });
    until("the response is there", || server.journal().len() == 2).await;
    assert_eq!(server.requests_per_connection(), [2], "it came on the same connection");
    client.send(list()).await.expect("it has a limit of its own");
    let turned_away = other.send(list()).await.unwrap_err();
    assert!(matches!(turned_away, Error::Overload(_)), "{turned_away:?}");
    permits.add_permits(1);
    call.await.unwrap().unwrap();
    assert_eq!(server.journal()[1].header("wechatpay-serial"), None);
}

#[tokio::test]
async fn a_span_of_the_application_is_not_written_to() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::ERROR)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _logging = subscriber.set_default();
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());

    // The span of the call itself has a lower level.
    let span = tracing::error_span!("order", host = "shop-7", attempt = 42);
    async {
        plans.terminate(&plan_id("12000")).await.unwrap();
        tracing::error!("paid");
    }
    .instrument(span)
    .await;
    let logged = log.text();
    assert!(logged.contains("order{host=\"shop-7\" attempt=42}: "), "{logged}");
}
