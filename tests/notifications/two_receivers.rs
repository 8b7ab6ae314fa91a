//! Two processes that share a Redis, which goes away, and forgets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use wxpay_notification::{RedisReplayStore, ReplayStore, StoreFinding};
use wxpay_testing::WechatPay;
use wxpay_tests::redis_server::RedisServer;

use super::receiver::{
    Endpoint, Ledger, RESOURCE, Receiver, assert_acknowledged, endpoint, handler, status, statuses,
    wechat_pay,
};

/// A server that keeps what it has acknowledged.
const KEEPS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

fn store(server: &RedisServer) -> RedisReplayStore {
    RedisReplayStore::new(&server.url()).unwrap().namespace("1900007291")
}

fn on(server: &RedisServer, wechat_pay: &WechatPay) -> Endpoint<RedisReplayStore> {
    endpoint(wechat_pay, store(server)).hold(Duration::from_secs(10))
}

/// Sends so many notifications to both receivers, and returns how each sending ended.
fn send_to_both(
    wechat_pay: &Arc<WechatPay>,
    receivers: &[&Receiver; 2],
    numbers: std::ops::Range<usize>,
) -> JoinSet<Vec<Option<u16>>> {
    let mut senders = JoinSet::new();
    for number in numbers {
        let notification =
            wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(&format!("EV-{number}"));
        for receiver in receivers {
            let (notification, url) = (notification.clone(), receiver.url.clone());
            senders.spawn(async move { statuses(&notification, &url).await });
        }
    }
    senders
}

async fn all_acknowledged(senders: JoinSet<Vec<Option<u16>>>) {
    for statuses in senders.join_all().await {
        assert_acknowledged(&statuses);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: run scripts/test"]
async fn two_receivers_hand_each_notification_over_once() {
    let (server, wechat_pay, ledger) = (RedisServer::start(), wechat_pay(), Ledger::default());
    let one = Receiver::start(endpoint(&wechat_pay, store(&server)), ledger.handler()).await;
    let other = Receiver::start(endpoint(&wechat_pay, store(&server)), ledger.handler()).await;
    all_acknowledged(send_to_both(&wechat_pay, &[&one, &other], 0..50)).await;
    for number in 0..50 {
        assert_eq!(ledger.times(&format!("EV-{number}")), 1, "{number}");
    }
    // Another account on the same server has ids of its own.
    let endpoint = endpoint(&wechat_pay, store(&server).namespace("1900000001"));
    let foreign = Receiver::start(endpoint, ledger.handler()).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id("EV-0");
    assert_eq!(status(&notification, &foreign.url).await, Some(204));
    assert_eq!(ledger.times("EV-0"), 2);
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_restarted_receiver_knows_what_was_handed_over() {
    let (server, wechat_pay, ledger) = (RedisServer::start(), wechat_pay(), Ledger::default());
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    for _ in 0..2 {
        let receiver = Receiver::start(on(&server, &wechat_pay), ledger.handler()).await;
        assert_eq!(status(&notification, &receiver.url).await, Some(204));
        assert_eq!(ledger.all(), 1);
    }
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_claim_of_a_process_that_died_runs_out() {
    let (server, wechat_pay, ledger) = (RedisServer::start(), wechat_pay(), Ledger::default());
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let key = format!("wxpay:notification:1900007291:{}", notification.own_id());
    server.run(&["SET", &key, "0123456789ABCDEF0123456789ABCDEF"]);
    let receiver = Receiver::start(on(&server, &wechat_pay), ledger.handler()).await;
    assert_eq!(status(&notification, &receiver.url).await, Some(503));
    server.run(&["PEXPIRE", &key, "1"]);
    assert_acknowledged(&statuses(&notification, &receiver.url).await);
    assert_eq!(ledger.all(), 1);
    let lasts: u64 = server.run(&["PTTL", &key]).parse().unwrap();
    assert!(lasts > 80_000_000, "it is kept for a day: {lasts}");
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn while_redis_is_away_nothing_is_handed_over_and_nothing_is_lost() {
    let (mut server, wechat_pay) = (RedisServer::start(), wechat_pay());
    let ledger = Ledger::default();
    let receiver = Receiver::start(on(&server, &wechat_pay), ledger.handler()).await;
    let notification = |id| wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(id);
    assert_eq!(status(&notification("1"), &receiver.url).await, Some(204));
    server.kill();
    assert_eq!(status(&notification("2"), &receiver.url).await, Some(503));
    // It was handed over, but that is not known now.
    assert_eq!(status(&notification("1"), &receiver.url).await, Some(503));
    assert_eq!(ledger.all(), 1);
    server.restart();
    let statuses = statuses(&notification("2"), &receiver.url).await;
    assert_acknowledged(&statuses);
    server.freeze();
    assert_eq!(status(&notification("3"), &receiver.url).await, Some(503));
    server.thaw();
    let statuses = super::receiver::statuses(&notification("3"), &receiver.url).await;
    assert_acknowledged(&statuses);
    assert_eq!((ledger.times("2"), ledger.times("3")), (1, 1));
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_server_that_refuses_hands_nothing_over() {
    let (server, wechat_pay, ledger) = (RedisServer::start(), wechat_pay(), Ledger::default());
    let receiver = Receiver::start(on(&server, &wechat_pay), ledger.handler()).await;
    let notification = |id| wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(id);
    // Out of memory, and a value of another program.
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(status(&notification("1"), &receiver.url).await, Some(503));
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(status(&notification("1"), &receiver.url).await, Some(204));
    server.run(&["SET", "wxpay:notification:1900007291:2", "x"]);
    server.run(&["LPUSH", "wxpay:notification:1900007291:3", "x"]);
    for id in ["2", "3"] {
        assert_eq!(status(&notification(id), &receiver.url).await, Some(503), "{id}");
    }
    // A replica.
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(status(&notification("4"), &receiver.url).await, Some(503));
    assert_eq!(ledger.all(), 1);
}

/// Kills and restarts the server while notifications are handed over by both receivers.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_redis_that_is_killed_and_keeps_its_memory_loses_and_doubles_nothing() {
    let server = Arc::new(Mutex::new(RedisServer::start_with(KEEPS)));
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let handed_over = Arc::new(AtomicUsize::new(0));
    // Now and then while an id is held: after it was taken, and before that it was handed over is recorded.
    let kills = || {
        let (server, ledger) = (Arc::clone(&server), ledger.clone());
        let handed_over = Arc::clone(&handed_over);
        handler(move |notification| {
            ledger.write(notification.id());
            let number = handed_over.fetch_add(1, Ordering::SeqCst);
            let server = Arc::clone(&server);
            async move {
                if number % 25 == 10 {
                    let killed = tokio::task::spawn_blocking(move || {
                        server.lock().unwrap().kill();
                        std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(300));
                            server.lock().unwrap().restart();
                        })
                    });
                    killed.await?;
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            }
        })
    };
    let (one, other) = {
        let server = server.lock().unwrap();
        (on(&server, &wechat_pay), on(&server, &wechat_pay))
    };
    let one = Receiver::start(one, kills()).await;
    let other = Receiver::start(other, kills()).await;
    for round in 0..4 {
        all_acknowledged(send_to_both(&wechat_pay, &[&one, &other], round * 25..(round + 1) * 25))
            .await;
    }
    assert!(handed_over.load(Ordering::SeqCst) > 85, "the server was killed four times");
    for number in 0..100 {
        assert_eq!(ledger.times(&format!("EV-{number}")), 1, "{number}");
    }
    // Whatever was handed over, is known to be.
    let receiver = Receiver::start(on(&server.lock().unwrap(), &wechat_pay), ledger.handler());
    let receiver = receiver.await;
    for number in 0..100 {
        let id = format!("EV-{number}");
        let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(&id);
        assert_eq!(statuses(&notification, &receiver.url).await.last(), Some(&Some(204)), "{id}");
        assert_eq!(ledger.times(&id), 1, "{id}");
    }
}

/// The last line is then the application's own check of ids.
#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_redis_that_forgets_hands_over_again_and_says_so_at_the_start() {
    let (mut server, wechat_pay) = (RedisServer::start(), wechat_pay());
    let ledger = Ledger::default();
    let findings = store(&server).check().await.unwrap();
    assert_eq!(findings, [StoreFinding::NotPersistent]);
    let receiver = Receiver::start(on(&server, &wechat_pay), ledger.handler()).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    assert_eq!(status(&notification, &receiver.url).await, Some(204));
    server.kill();
    server.restart();
    let statuses = statuses(&notification, &receiver.url).await;
    assert_eq!((statuses.last(), ledger.all()), (Some(&Some(204)), 2), "{statuses:?}");
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn settings_that_forget_are_found_at_the_start() {
    let server = RedisServer::start_with(KEEPS);
    assert_eq!(store(&server).check().await.unwrap(), []);
    let findings = async |setting: &[&str]| {
        server.run(&[&["CONFIG", "SET"][..], setting].concat());
        let findings = store(&server).check().await.unwrap();
        findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let evicts = "the server evicts keys (maxmemory-policy volatile-ttl)";
    assert_eq!(findings(&["maxmemory-policy", "volatile-ttl"]).await, [evicts]);
    let last = "a crash of the server forgets the last ids (appendfsync everysec)";
    assert_eq!(findings(&["appendfsync", "everysec"]).await, [evicts, last]);
    server.run(&["ACL", "SETUSER", "default", "-config", "-info"]);
    let findings = store(&server).check().await.unwrap();
    let unknown = |finding: &StoreFinding| matches!(finding, StoreFinding::NotKnown { .. });
    assert!(findings.len() == 3 && findings.iter().all(unknown), "{findings:?}");
    server.run(&["ACL", "SETUSER", "default", "-eval", "-evalsha"]);
    let error = store(&server).check().await.unwrap_err().to_string();
    assert!(error.contains("NOPERM"), "{error}");
}
