//! A client shared by two runtimes, one of which is idle: its connections are not used on the other.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use wxpay_testing::{Plan, ServerTls, WireServer};
use wxpay_tests::requests::{list, terminate};
use wxpay_tests::until::until;
use wxpay_tests::{TestClient, builder};
use wxpay_transport::Transport;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Leaves a kept connection and a spare connection on a runtime.
fn leave_connections(
    runtime: &Runtime,
    server: &WireServer,
    client: &TestClient,
    plans: [&str; 2],
) {
    runtime.block_on(async {
        client.send(list()).await.unwrap();
        for plan in plans {
            server.add_plan(Plan::new(plan, "1004"));
            client.send(terminate(plan)).await.unwrap();
        }
        until("a spare is ready", || client.idle_connections() == 2).await;
    });
}

#[test]
fn a_call_does_not_wait_for_a_runtime_that_sleeps() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(WireServer::start_tls(ServerTls::Good));
    let client = builder(&server, &server.base_url())
        .attempt_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let (sleeping, awake) = (runtime(), runtime());
    leave_connections(&sleeping, &server, &client, ["1", "2"]);

    // From here on, the I/O events of the first runtime are not polled.
    server.add_plan(Plan::new("3", "1004"));
    awake.block_on(async {
        client.send(list()).await.expect("on a connection of this runtime");
        client.send(terminate("3")).await.expect("on a connection of this runtime");
    });
    assert_eq!(server.executions(), 3);

    // When the idle runtime runs again, its own connections are used again.
    let before = server.connections();
    sleeping.block_on(client.send(list())).unwrap();
    assert_eq!(server.connections(), before);
}
