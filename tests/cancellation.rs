//! A call that is dropped leaves nothing behind.

use std::time::Duration;

use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Fault, How, Misbehaviour, Plan, Point, ServerTls, WireServer};
use wxpay_tests::{builder, plan_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_at_any_point_leave_a_working_client() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let plans = DeliveryPlans::new(client.clone());
    for n in 0..200_u64 {
        server.add_plan(Plan::new(n.to_string(), "1004"));
        let id = plan_id(&n.to_string());
        // From "before anything happens" to "after it is over".
        let patience = Duration::from_micros(n * 20);
        let _ = tokio::time::timeout(patience, plans.terminate(&id)).await;
    }
    // None of the connections that were cut short is used again: every answer belongs to its call.
    for n in 0..20 {
        let id = format!("after-{n}");
        server.add_plan(Plan::new(&id, "1004"));
        let terminated = plans.terminate(&plan_id(&id)).await.unwrap();
        assert_eq!(terminated.plan_id.as_str(), id);
    }
    assert!(client.idle_connections() <= 1, "calls one after the other need one connection");
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection_and_leaves_no_task() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let plans = DeliveryPlans::new(client.clone());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // One server task for each connection; the client has none of its own.
    let before = tasks();
    for at in [Point::Request, Point::Executed, Point::AnswerBytes(30)] {
        server.fault_once(Fault::new(at, How::Stall));
        let id = plan_id("12000");
        let call = plans.terminate(&id);
        assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
        assert_eq!(client.idle_connections(), 0, "{at:?}");
    }
    // A stalled server does not see the end by itself.
    server.disconnect(How::Close);
    let ended = async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("all tasks end");
}

#[tokio::test]
async fn a_call_dropped_while_the_server_works_is_not_taken_for_the_next_one() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let plans = DeliveryPlans::new(client.clone());
    plans.terminate(&plan_id("12000")).await.unwrap();
    server.misbehave_once(Misbehaviour::Slow(Duration::from_millis(200)));
    let slow_id = plan_id("12001");
    let slow = plans.terminate(&slow_id);
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    let next = plans.terminate(&plan_id("12002")).await.unwrap();
    assert_eq!(next.plan_id.as_str(), "12002");
    assert_eq!(server.connections(), 2, "on a connection of its own");
}
