//! Checked terminations (`terminate_checked`) under every fault, from the lookup on or from the termination on: what they
//! say agrees with the journal of the server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use wxpay_auth::{BrandId, FileKeySigner, KeyRing};
use wxpay_marketing::{DeliveryPlans, PlanId, TerminateExpectation, TerminateOutcome};
use wxpay_testing::client_config;
use wxpay_tests::own_process;
use wxpay_tests::switchboard::Switchboard;
use wxpay_transport::{
    Backoff, Client, Error, Method, Outcome, Proxy, Request, Response, Transport, async_trait,
};

use super::SET_UP_AT_ONCE;
use super::cell::{BRAND, MAIN, PLAN, Side};
use super::fault::{Fault, MAX_RESPONSE_BYTES, What};

/// How long the state is read, if the fault is over by then, and if it lasts.
const CONFIRM: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(2)];
/// Maximum number of concurrent cells.
const AT_ONCE: usize = 32;

/// When the fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    BeforeTheLookup,
    WithTheTermination,
}

/// A client whose server has a fault from the termination on.
struct FaultyTermination {
    client: Client<FileKeySigner, KeyRing>,
    side: Arc<Mutex<Side>>,
    board: Switchboard,
    is_due: AtomicBool,
}

impl fmt::Debug for FaultyTermination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyTermination")
    }
}

#[async_trait]
impl Transport for FaultyTermination {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        if request.method() == Method::POST && self.is_due.swap(false, Ordering::Relaxed) {
            self.side.lock().await.begin(&self.board).await;
        }
        self.client.send(request).await
    }
}

/// What a caller is told, and what the server recorded.
#[derive(Debug)]
struct Report {
    end: &'static str,
    /// Whether the caller is told that nothing was terminated.
    is_untouched: bool,
    executions: usize,
    /// Terminations that were read completely and got another response than WeChat Pay's own 429.
    terminations: usize,
    #[expect(dead_code, reason = "shown when a cell is wrong")]
    told: String,
}

async fn run(fault: &Fault, begins: Begins, turns: &Semaphore) -> Report {
    let turn = turns.acquire().await.expect("it is not closed");
    let board = Switchboard::default();
    let mut side = Side::start(MAIN, fault, true).await;
    board.connect(MAIN, Ipv4Addr::LOCALHOST.into());
    if begins == Begins::BeforeTheLookup {
        side.begin(&board).await;
    }
    let seen = Arc::clone(side.wechat_pay());
    let [connect, attempt, call] =
        if fault.what.stalls() { [500, 800, 1000] } else { [20_000, 20_000, 50_000] };
    let client = Client::builder(seen.mchid(), seen.signer(), seen.key_ring())
        .base_url(side.url())
        .resolver(board.clone())
        .retry(Backoff::new().first(Duration::from_millis(5)))
        .connect_timeout(Duration::from_millis(connect))
        .attempt_timeout(Duration::from_millis(attempt))
        .call_timeout(Duration::from_millis(call))
        .max_response_bytes(MAX_RESPONSE_BYTES)
        .proxy(Proxy::none())
        .tls(client_config())
        .build()
        .expect("a client");
    drop(turn);

    let side = Arc::new(Mutex::new(side));
    let is_due = AtomicBool::new(begins == Begins::WithTheTermination);
    let plans =
        DeliveryPlans::new(FaultyTermination { client, side: Arc::clone(&side), board, is_due });
    let brand_id = BrandId::new(BRAND).expect("an id");
    let plan_id = PlanId::new(PLAN).expect("an id");
    let expected = TerminateExpectation::new(brand_id, plan_id)
        .plan_name("满100减10")
        .without_impact()
        .confirm_within(CONFIRM[usize::from(!fault.once)]);
    let whole = tokio::time::timeout(Duration::from_secs(120), plans.terminate_checked(&expected));
    let ended = whole.await.expect("no call hangs");
    // Requests still in flight when the call ends are counted.
    drop(plans);
    side.lock().await.settled().await;

    let journal = seen.journal();
    let terminations = journal.iter().filter(|entry| entry.method() == "POST");
    let (end, is_untouched) = match &ended {
        Ok(TerminateOutcome::Terminated(_)) => ("terminated", false),
        Ok(TerminateOutcome::AlreadyEnded(_)) => ("already ended", true),
        Ok(TerminateOutcome::Mismatch(..)) => ("mismatch", true),
        Ok(TerminateOutcome::Refused(..)) => ("refused", true),
        Ok(_) => ("unconfirmed", false),
        Err(error) => {
            assert_eq!(error.outcome(), Outcome::NotSent, "{error:?}");
            ("error", true)
        }
    };
    Report {
        end,
        is_untouched,
        executions: seen.executions(),
        terminations: terminations.filter(|entry| entry.status() != 429).count(),
        told: format!("{ended:?}"),
    }
}

/// Checks a report against the promises.
fn check(fault: &Fault, begins: Begins, report: &Report) -> Result<(), String> {
    let promise = |holds: bool, broken: &str| holds.then_some(()).ok_or_else(|| broken.to_owned());
    promise(report.executions <= 1 && report.terminations <= 1, "a termination was sent again")?;
    promise(report.end != "terminated" || report.executions == 1, "a termination that never was")?;
    promise(!report.is_untouched || report.executions == 0, "said to be untouched, and ended")?;
    promise(report.end != "error" || report.terminations == 0, "an error, and it was sent")?;
    promise(
        !matches!(report.end, "already ended" | "mismatch"),
        "it was the plan, and delivering",
    )?;
    let Fault { what, once } = fault;
    if *once && begins == Begins::WithTheTermination && !what.stalls() && report.executions == 1 {
        // The reads meet no fault.
        promise(report.end == "terminated", "it was terminated, and could have been confirmed")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_checked_termination_says_agrees_with_the_journal() {
    own_process!(alone);
    let turns = Arc::new(Semaphore::new(SET_UP_AT_ONCE));
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let (mut running, mut count) = (JoinSet::new(), 0);
    // A refusal is one only if the state can be read afterwards.
    let refusals = Fault::all().into_iter().filter(|fault| matches!(fault.what, What::Refusal(_)));
    let once = refusals.map(|fault| Fault { once: true, ..fault });
    for fault in Fault::all().into_iter().chain(once) {
        for begins in [Begins::BeforeTheLookup, Begins::WithTheTermination] {
            // A certificate is there from the start.
            let is_certificate = matches!(fault.what, What::WrongCertificate);
            if is_certificate && begins == Begins::WithTheTermination {
                continue;
            }
            count += 1;
            let (fault, turns, permits) = (fault.clone(), Arc::clone(&turns), Arc::clone(&permits));
            running.spawn(async move {
                let _permit = permits.acquire_owned().await.unwrap();
                let report = run(&fault, begins, &turns).await;
                (fault, begins, report)
            });
        }
    }
    let (mut wrong, mut ends) = (Vec::new(), BTreeMap::<_, usize>::new());
    while let Some(ended) = running.join_next().await {
        let (fault, begins, report) = ended.expect("a cell that panics is a fault of the test");
        *ends.entry(report.end).or_default() += 1;
        wrong.extend(
            check(&fault, begins, &report)
                .err()
                .map(|broken| format!("{fault:?} {begins:?}: {broken}\n  {report:?}")),
        );
    }
    println!("{count} cells: {ends:?}");
    assert!(wrong.is_empty(), "{} of {count} cells:\n{}", wrong.len(), wrong.join("\n"));
    // If nearly all cells ended in the same way, they would prove nothing.
    for end in ["terminated", "refused", "error", "unconfirmed"] {
        let n = ends.get(end).copied().unwrap_or_default();
        assert!(n >= 10, "only {n} of {count} cells ended with {end}");
    }
}
