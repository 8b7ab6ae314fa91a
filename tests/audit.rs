//! Who signed what: a record for each signed request, whatever became of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Point, ServerTls, WireServer};
use wxpay_tests::builder;
use wxpay_transport::{
    Audit, AuditRecord, Backoff, BaseUrl, Failover, Replay, Request, Target, Transport,
};

/// Keeps what it is told, as text.
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
        .attempt_timeout(Duration::from_secs(5))
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

    // That call took its connection along: the next one opens another, to a server that reads nothing.
    server.fault_always(Some(Fault::new(Point::Handshake, How::Stall)));
    let before = server.connections();
    let fresh = client.clone();
    let call = tokio::spawn(async move { fresh.send(terminate("12000")).await });
    let connected = async {
        while server.connections() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), connected).await.expect("it connects");
    // TLS is agreed on, and the request written, soon after.
    tokio::time::sleep(Duration::from_millis(500)).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(kept.take(), [line(1, "unknown 0 false")], "a call that was dropped");
}

#[tokio::test]
async fn what_was_signed_and_not_sent_is_recorded_too() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = WireServer::start_plain().await;
    let kept = Kept::default();
    // To connect takes until the signature is there: nobody answers.
    let (main, standby) = (free(), server.base_url());
    let client = builder(&server, &format!("http://{main}"))
        .failover(Failover::to(BaseUrl::new(standby).unwrap()))
        .audit(kept.clone())
        .build()
        .unwrap();
    client.send(terminate("12000")).await.unwrap();
    let records = kept.take();
    let verified = records.last().unwrap();
    assert!(verified.contains(&format!("{} 2 verified 204", server.address())), "{verified}");
    // Whether the first one had been signed when the connection failed is a race.
    for record in records.iter().rev().skip(1) {
        assert!(record.contains(&format!("{main} 1 not_sent 0 false")), "{record}");
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
    server.misbehave_once(Misbehaviour::Slow(Duration::from_millis(300)));
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.send(terminate("12000")).await }
    });
    let arrived = async {
        while server.journal().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // The journal has the request as soon as it was carried out.
    tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("it arrives");
    let refused = client.send(terminate("12001")).await.unwrap_err();
    assert!(matches!(refused, wxpay_transport::Error::Overload(_)), "{refused:?}");
    slow.await.unwrap().unwrap();
    assert_eq!(kept.take().len(), 1);

    let shown = full.0.lock().unwrap().join("\n");
    let authorization = server.journal()[0].authorization().unwrap().to_owned();
    let signature = authorization.split("signature=\"").nth(1).unwrap().split('"').next().unwrap();
    for secret in ["p4ss", signature, "BEGIN"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
