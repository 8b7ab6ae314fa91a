//! Every fault, on either or both domains, for every replay class, on new and on kept connections: calls that
//! must not be repeated are not, and the reported result agrees with the journal of the server.

mod cell;
mod checked;
mod fault;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wxpay_tests::own_process;
use wxpay_transport::Replay;

use self::cell::{Cell, Connection, Place, Report};
use self::fault::{Fault, What};

/// Maximum number of concurrent cells: those that use CPU time, and those that mostly wait.
const AT_ONCE: [usize; 2] = [8, 96];
pub(crate) const SET_UP_AT_ONCE: usize = 4;

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for fault in Fault::all() {
        for place in [Place::Main, Place::Standby, Place::Both] {
            for replay in [Replay::Safe, Replay::Keyed, Replay::Never] {
                for connection in [Connection::Fresh, Connection::Kept, Connection::Closing] {
                    // There is no kept connection to a server with the wrong certificate.
                    let is_fresh = connection == Connection::Fresh;
                    if matches!(fault.what, What::WrongCertificate) && !is_fresh {
                        continue;
                    }
                    // Refusals do not depend on the connection.
                    let is_elsewhere = place == Place::Standby || connection == Connection::Closing;
                    if matches!(fault.what, What::Refusal(_)) && is_elsewhere {
                        continue;
                    }
                    cells.push(Cell { fault: fault.clone(), place, replay, connection });
                }
            }
        }
    }
    cells
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_are_told_agrees_with_the_journal() {
    own_process!(alone);
    let cells = cells();
    let count = cells.len();
    let turns = Arc::new(Semaphore::new(SET_UP_AT_ONCE));
    let permits = AT_ONCE.map(|cells| Arc::new(Semaphore::new(cells)));
    let mut running = JoinSet::new();
    for cell in cells {
        let turns = Arc::clone(&turns);
        let permits = Arc::clone(&permits[usize::from(cell.fault.what.stalls())]);
        running.spawn(async move {
            let _permit = permits.acquire_owned().await.unwrap();
            let report = cell.run(&turns).await;
            (cell, report)
        });
    }
    let (mut wrong, mut ends) = (Vec::new(), BTreeMap::<_, usize>::new());
    let mut must_succeed = 0;
    while let Some(ended) = running.join_next().await {
        let (cell, report) = ended.expect("a cell that panics is a fault of the test");
        *ends.entry(report.end).or_default() += 1;
        must_succeed += usize::from(cell.must_succeed());
        wrong.extend(
            check(&cell, &report).err().map(|broken| format!("{cell:?}: {broken}\n  {report:?}")),
        );
    }
    println!("{count} cells: {ends:?}; in {must_succeed} of them the call had to succeed");
    assert!(wrong.is_empty(), "{} of {count} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert!(must_succeed > 0, "no cell in which the call had to succeed");
    // If nearly all cells ended in the same way, they would prove nothing.
    for end in ["success", "rejected", "not_sent", "unknown"] {
        let n = ends.get(end).copied().unwrap_or_default();
        assert!(n >= 20, "only {n} of {count} cells ended with {end}");
    }
}

/// Checks a report against the promises, which hold in every cell.
fn check(cell: &Cell, report: &Report) -> Result<(), String> {
    let promise = |holds: bool, broken: &str| holds.then_some(()).ok_or_else(|| broken.to_owned());
    let is_never = cell.replay == Replay::Never;
    promise(!is_never || report.executions <= 1, "executed twice")?;
    promise(!is_never || report.arrived <= 1, "sent again what must not be repeated")?;
    promise(report.end != "success" || report.carried_out >= 1, "a success that never was")?;
    promise(report.end != "not_sent" || report.carried_out == 0, "not sent, and carried out")?;
    promise(report.end != "not_sent" || report.arrived == 0, "not sent, and arrived")?;
    promise(report.delivery != "not_sent" || report.arrived == 0, "not delivered, and arrived")?;
    promise(report.end != "rejected" || report.carried_out == 0, "rejected, and carried out")?;
    promise(report.replayed == 0, "a signature was sent twice")?;
    promise(report.names_a_host, "no host is named")?;
    promise(
        !cell.must_succeed() || report.end == "success",
        "no success, although it may be repeated",
    )?;
    cell.expectation().map_or(Ok(()), |expected| {
        let told = format!("expected {expected}, got {}", report.end);
        promise(report.end == expected, &told)
    })
}
