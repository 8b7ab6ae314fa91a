//! Created and dropped clients leave nothing behind: no thread, no descriptor, no task.

use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Plan, ServerTls, WireServer};
use wxpay_tests::footprint::Footprint;
use wxpay_tests::requests::list;
use wxpay_tests::{builder, own_process, plan_id};
use wxpay_transport::Transport;

/// Counts the threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// Runs in a process of its own: the threads of other tests would be counted.
#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs Linux")]
async fn four_hundred_clients_leave_nothing_behind() {
    own_process!();
    let servers = [WireServer::start_plain().await, WireServer::start_tls(ServerTls::Good).await];
    let before = Footprint::of_process();
    let mut before_threads = None;
    for round in 0..=400 {
        let server = &servers[round % 2];
        let client = builder(server, &server.base_url()).build().unwrap();
        client.send(list()).await.unwrap();
        if round % 20 < 4 {
            // A sequence of calls opens connections in advance.
            for call in 0..3 {
                let plan = format!("{round}-{call}");
                server.add_plan(Plan::new(&plan, "1004"));
                let plans = DeliveryPlans::new(client.clone());
                plans.terminate(&plan_id(&plan)).await.unwrap();
            }
        }
        drop(client);
        // Threads that are started once have been started by now.
        if round == 8 {
            before_threads = Some(threads());
        }
    }
    before.wait("400 clients later").await;
    assert!(before_threads >= Some(threads()), "{before_threads:?} before, {} now", threads());
    let calls: usize = servers.iter().map(|server| server.journal().len()).sum();
    assert!(calls > 400, "{calls}");
}
