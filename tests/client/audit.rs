//! Audit: a record for each signed request, whatever its result.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use wxpay_auth::{Algorithm, FileKeySigner, SignError, Signature, Signer, async_trait};
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Point, ServerTls, WireServer};
use wxpay_tests::builder;
use wxpay_tests::until::until;
use wxpay_transport::{
    Audit, AuditRecord, Backoff, BaseUrl, Client, Failover, NoRetry, Proxy, Replay, Request,
    Resolve, Target, Transport,
};

/// Keeps the records as text.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Audit for Kept {
    fn record(&self, record: &AuditRecord<'_>) {
        let AuditRecord { operation, method, path, host, attempt, outcome, .. } = record;
        let status = record.status.map_or(0, |status| status.as_u16());
        let identity = record.identity.value();
        let line = format!(
            "{identity} {serial} {operation} {method} {path} {host} {attempt} {outcome} {status} {id}",
            serial = record.serial_no,
            id = record.request_id.is_some(),
        );
        self.0.lock().unwrap().push(line);
    }
}

impl Kept {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn terminate(plan_id: &str) -> Request {
    let path = "/v3/marketing/partner/delivery-plan/delivery-plans";
    let target = Target::new(path).unwrap().segment(plan_id).unwrap().segment("terminate").unwrap();
    Request::post("delivery_plans.terminate", target.query("secret", "p4ss").unwrap())
}

#[tokio::test]
async fn each_signed_request_has_one_record() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let kept = Kept::default();
    let client = builder(&server, &server.base_url())
        .retry(Backoff::new().first(Duration::from_millis(1)))
        .attempt_timeout(Duration::from_secs(120))
        .call_timeout(Duration::from_secs(120))
        .audit(kept.clone())
        .build()
        .unwrap();
    let host = server.address();
    let line = |attempt: u32, rest: &str| {
        format!(
            "1900007291 {} delivery_plans.terminate POST \
             /v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate {host} {attempt} {rest}",
            server.serial_no(),
        )
    };

    client.send(terminate("12000")).await.unwrap();
    assert_eq!(kept.take(), [line(1, "verified 204 true")]);

    client.send(terminate("12000")).await.unwrap_err();
    assert_eq!(kept.take(), [line(1, "rejected 400 true")]);

    let (body, signed) = (ErrorBody::json("SYSTEM_ERROR", "told to"), true);
    server.misbehave_times(2, Misbehaviour::Status { status: 500, body, signed, executed: false });
    client.send(terminate("12000").with_replay(Replay::Keyed)).await.unwrap_err();
    let [first, second] = [1, 2].map(|attempt| line(attempt, "unknown 500 true"));
    assert_eq!(kept.take(), [first, second, line(3, "rejected 400 true")]);

    server.fault_once(Fault::new(Point::Executed, How::Close));
    client.send(terminate("12000")).await.unwrap_err();
    assert_eq!(kept.take(), [line(1, "unknown 0 false")]);

    // The server accepts the next request, but does not respond.
    server.fault_always(Some(Fault::new(Point::Request, How::Stall)));
    let requests = || server.requests_per_connection().iter().sum::<usize>();
    let before = requests();
    let call = tokio::spawn(async move { client.send(terminate("12000")).await });
    until("the request arrived", || requests() > before).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(kept.take(), [line(1, "unknown 0 false")], "a call that was dropped");
}

#[tokio::test]
async fn what_was_signed_and_not_sent_is_recorded_too() {
    let server = WireServer::start_plain().await;
    let kept = Kept::default();
    let signed = Arc::<Notify>::default();
    let signer = TellingSigner { signer: server.signer(), signed: Arc::clone(&signed) };
    let client = Client::builder(server.mchid(), signer, server.key_ring())
        .base_url(BaseUrl::new("https://main.example").unwrap())
        .failover(Failover::to(BaseUrl::new(server.base_url()).unwrap()))
        .resolver(NotFoundOnceSigned(signed))
        .proxy(Proxy::none())
        .retry(NoRetry)
        .audit(kept.clone())
        .build()
        .unwrap();
    client.send(terminate("12000")).await.unwrap();
    let line = |rest: &str| {
        format!(
            "1900007291 {} delivery_plans.terminate POST \
             /v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate {rest}",
            server.serial_no(),
        )
    };
    let unsent = line("main.example 1 not_sent 0 false");
    let verified = line(&format!("{} 2 verified 204 true", server.address()));
    assert_eq!(kept.take(), [unsent, verified]);
}

/// Signs like a file key, and notifies the test.
#[derive(Debug)]
struct TellingSigner {
    signer: FileKeySigner,
    signed: Arc<Notify>,
}

#[async_trait]
impl Signer for TellingSigner {
    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.signer.sign(message).await;
        self.signed.notify_one();
        signature
    }
}

/// Looks up a name until a signature has been made, then fails.
#[derive(Debug)]
struct NotFoundOnceSigned(Arc<Notify>);

#[async_trait]
impl Resolve for NotFoundOnceSigned {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.0.notified().await;
        Err(io::ErrorKind::NotFound.into())
    }
}

#[tokio::test]
async fn what_was_not_signed_has_no_record_and_no_record_has_a_secret() {
    let server = WireServer::start_plain().await;
    let kept = Kept::default();
    #[derive(Debug)]
    struct Full(Mutex<Vec<String>>, Kept);
    impl Audit for Full {
        fn record(&self, record: &AuditRecord<'_>) {
            self.0.lock().unwrap().push(format!("{record:?}"));
            self.1.record(record);
        }
    }
    let full = Arc::new(Full(Mutex::default(), kept.clone()));
    let client = builder(&server, &server.base_url()).audit(Arc::clone(&full)).max_queued_calls(0);
    let client = client.max_concurrent_calls(1).build().unwrap();
    server.fault_once(Fault::new(Point::Executed, How::Stall));
    let stalled = tokio::spawn({
        let client = client.clone();
        async move { client.send(terminate("12000")).await }
    });
    // The call holds the only place.
    until("the call was executed", || !server.journal().is_empty()).await;
    let refused = client.send(terminate("12001")).await.unwrap_err();
    assert!(matches!(refused, wxpay_transport::Error::Overload(_)), "{refused:?}");
    server.disconnect(How::Close);
    stalled.await.unwrap().unwrap_err();
    assert_eq!(kept.take().len(), 1);

    let shown = full.0.lock().unwrap().join("\n");
    let authorization = server.journal()[0].authorization().unwrap().to_owned();
    let signature = authorization.split("signature=\"").nth(1).unwrap().split('"').next().unwrap();
    for secret in ["p4ss", signature, "BEGIN"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
