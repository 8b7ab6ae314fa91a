//! Logouts, closed sessions, tokens taken away, modules and daemons that restart.

use std::collections::BTreeMap;
use std::process::Command;

use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::alone;
use wxpay_tests::load::{Load, only};
use wxpay_tests::signals::{self, Signal};
use wxpay_tests::token::{Token, softhsm_folder};
use wxpay_tests::token_checks::{connect, survives_closed_sessions, survives_logouts};

use super::faults::fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn logouts_on_softhsm() {
    alone!();
    survives_logouts(&fault(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn logouts_on_opencryptoki() {
    alone!();
    survives_logouts(&Token::opencryptoki().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn logouts_on_softokn() {
    alone!();
    survives_logouts(&Token::softokn().faulty(), 3, 20).await;
}

// Not on opencryptoki, which crashes each time: it gives the number of a closed session to the next one,
// while the thread that used this number still signs with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn all_sessions_closed_on_softhsm() {
    alone!();
    survives_closed_sessions(&fault(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn all_sessions_closed_on_softokn() {
    alone!();
    survives_closed_sessions(&Token::softokn().faulty(), 3, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_token_that_is_taken_away_and_put_back() {
    alone!();
    let signer = connect(&fault()).await;
    let neighbour = connect(&Token::softhsm("other").faulty()).await;
    let (load, next_door) = (Load::start(&signer), Load::start(&neighbour));
    let folder = softhsm_folder("fault");
    let away = folder.with_extension("away").with_file_name("../away");
    for _ in 0..2 {
        load.sign_on(200).await;
        std::fs::rename(&folder, &away).unwrap();
        load.fail_on(200).await;
        std::fs::rename(&away, &folder).unwrap();
        load.sign_on(500).await;
    }
    let kinds = load.stop().await;
    let expected =
        [SignErrorKind::Unavailable, SignErrorKind::SessionLost, SignErrorKind::KeyNotFound];
    only(&kinds, &expected);
    assert!(!kinds.is_empty());
    // The module restarts that recover one token do not affect the other.
    next_door.sign_on(100).await;
    assert_eq!(next_door.stop().await, BTreeMap::new());
    signer.shut_down().await.unwrap();
    neighbour.shut_down().await.unwrap();
}

/// Between two signatures: PKCS#11 leaves open what happens to calls in progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_that_is_finalized_behind_the_back() {
    alone!();
    let signer = connect(&fault()).await;
    for _ in 0..3 {
        let context = cryptoki::context::Pkcs11::new(&fault().module).unwrap();
        context.finalize().unwrap();
        let load = Load::start(&signer);
        load.sign_on(200).await;
        only(&load.stop().await, &[SignErrorKind::SessionLost]);
    }
    signer.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn the_daemon_of_opencryptoki_is_restarted() {
    alone!();
    let ours = std::env::var_os("WXPAY_TEST_OPENCRYPTOKI_DAEMON").is_some();
    assert!(
        ours,
        "pkcsslotd ran before the tests, so it is not theirs to kill: scripts/test skips this"
    );
    let signer = connect(&Token::opencryptoki().faulty()).await;
    let load = Load::start(&signer);
    for _ in 0..2 {
        load.sign_on(200).await;
        let id = std::fs::read_to_string("/run/pkcsslotd.pid").expect("the daemon runs");
        signals::send(Signal::KILL, id.trim().parse().expect("an id"));
        load.sign_on(500).await;
        run("pkcsslotd", &[]);
        load.sign_on(500).await;
    }
    only(&load.stop().await, &[SignErrorKind::SessionLost, SignErrorKind::Unavailable]);
    // New signers need the daemon.
    let new = connect(&Token::opencryptoki().faulty()).await;
    new.sign(b"message").await.unwrap();
    new.shut_down().await.unwrap();
    signer.shut_down().await.unwrap();
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("a program");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}
