//! Journals that were torn, spoilt, or are another's.

use std::path::Path;

use wxpay_auth::{BrandId, Mchid};
use wxpay_transport::BaseUrl;

use super::scratch::Scratch;
use super::*;
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::report::BulkReport;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;

fn owner() -> JobOwner {
    owner_of("1900007291", BaseUrl::MAIN)
}

fn owner_of(mchid: &str, base_url: &str) -> JobOwner {
    JobOwner::new(Mchid::new(mchid).unwrap(), &BaseUrl::new(base_url).unwrap())
}

fn plan(id: usize) -> BulkPlan {
    let brand_id = BrandId::new("70001").unwrap();
    BulkPlan::new(brand_id, PlanId::new(id.to_string()).unwrap()).plan_name("样例计划")
}

fn terminated() -> Step {
    let request_id = Some("08F7".to_owned());
    Step::Ended(PlanOutcome::Terminated { request_id, is_confirmed: true })
}

fn unconfirmed() -> Step {
    let (error, state) = ("no response in time".to_owned(), Some(PlanState::Delivering));
    Step::Ended(PlanOutcome::Unconfirmed { error, is_sent: true, state, request_id: None })
}

/// Writes the journal of a job with five plans, each in another state.
async fn whole(path: &Path) -> Vec<u8> {
    let mut journal = BulkJournal::open(path, &owner()).unwrap();
    assert_eq!(journal.list((0..5).map(plan)).await.unwrap(), 5);
    let steps = journal.begin_run().unwrap();
    for n in 0..4 {
        steps.calling(n).await.unwrap();
    }
    steps.note(0, terminated()).unwrap();
    steps.note(1, unconfirmed()).unwrap();
    steps.note(2, Step::NotCalled { error: "away".to_owned() }).unwrap();
    let differences = vec!["plan_name is \"a\", \"b\" was expected".to_owned()];
    steps.note(4, Step::Ended(PlanOutcome::Mismatch { differences })).unwrap();
    drop(journal);
    std::fs::read(path).unwrap()
}

/// Returns what a job must know after a crash that left these bytes, by the plain reading of its whole lines; `None` if the
/// list is not complete.
fn known(bytes: &[u8]) -> Option<Vec<PlanStep>> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let lines = std::str::from_utf8(&bytes[..whole]).unwrap().lines();
    let lines: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let closed = lines.iter().position(|line| line.get("listed").is_some())?;
    let mut steps = vec![PlanStep::Open; usize::try_from(lines[closed]["listed"].as_u64()?).ok()?];
    for line in &lines[closed + 1..] {
        let step = match (line["step"].as_str()?, line["outcome"].as_str()) {
            ("calling", None) => PlanStep::Calling,
            ("not_called", None) => PlanStep::Open,
            ("ended", Some("terminated")) => PlanStep::Terminated,
            ("ended", Some("unconfirmed")) => PlanStep::Unconfirmed,
            ("ended", Some("mismatch")) => PlanStep::Mismatch,
            _ => panic!("{line}"),
        };
        steps[usize::try_from(line["n"].as_u64()?).ok()?] = step;
    }
    Some(steps)
}

fn steps(journal: &BulkJournal) -> Vec<PlanStep> {
    (0..journal.steps.len()).map(|n| journal.steps.step(n).unwrap()).collect()
}

#[tokio::test]
async fn a_journal_torn_at_any_byte_says_what_its_whole_lines_say() {
    let (scratch, torn) = (Scratch::new(), Scratch::new());
    let bytes = whole(&scratch.path()).await;
    let header = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    let mut seen = 0;
    for cut in 0..=bytes.len() {
        std::fs::write(torn.path(), &bytes[..cut]).unwrap();
        let mut journal = BulkJournal::open(torn.path(), &owner()).unwrap();
        let left = std::fs::read(torn.path()).unwrap();
        match known(&bytes[..cut]) {
            None => {
                assert!(!journal.is_listed(), "{cut}");
                assert_eq!(left, bytes[..header], "{cut}: nothing was called");
                assert!(matches!(journal.begin_run(), Err(JournalError::NotListed)));
            }
            Some(known) => {
                seen += 1;
                assert_eq!(steps(&journal), known, "{cut}");
                assert!(bytes[..cut].starts_with(&left) && left.ends_with(b"\n"), "{cut}");
                if left.len() != cut {
                    continue;
                }
                // It goes on where it ended.
                let run = journal.begin_run().unwrap();
                run.note(3, terminated()).unwrap();
                let after = steps(&journal);
                drop(journal);
                let again = BulkJournal::open(torn.path(), &owner()).unwrap();
                assert_eq!(steps(&again)[3], PlanStep::Terminated, "{cut}");
                let in_doubt = |step| step == PlanStep::InDoubt;
                for (after, again) in after.into_iter().zip(steps(&again)) {
                    let may_be_called = matches!(again, PlanStep::Calling | PlanStep::Unconfirmed);
                    assert_eq!(in_doubt(after), may_be_called, "{cut}: it is read first");
                }
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[tokio::test]
async fn a_list_that_was_not_closed_is_given_again() {
    let scratch = Scratch::new();
    let bytes = whole(&scratch.path()).await;
    let text = String::from_utf8(bytes).unwrap();
    let closing = text.find("{\"listed\"").unwrap();
    std::fs::write(scratch.path(), &text[..closing]).unwrap();
    let mut journal = BulkJournal::open(scratch.path(), &owner()).unwrap();
    assert_eq!(journal.list((7..9).map(plan)).await.unwrap(), 2);
    // Two rounds in the same process: the first is given up half-way.
    let again = journal.list([plan(1)]).await;
    assert!(matches!(again, Err(JournalError::AlreadyListed { plans: 2, .. })), "{again:?}");
    drop(journal);
    let journal = BulkJournal::open(scratch.path(), &owner()).unwrap();
    let mut items = journal.items();
    let mut ids = Vec::new();
    while let Some(item) = items.next_if(|_| true).unwrap() {
        ids.push(item.plan.plan_id().to_string());
    }
    assert_eq!(ids, ["7", "8"]);
}

#[tokio::test]
async fn a_list_whose_future_was_dropped_is_given_again() {
    let scratch = Scratch::new();
    let mut journal = BulkJournal::open(scratch.path(), &owner()).unwrap();
    {
        let mut listing = journal.begin_list().await.unwrap();
        // So many that some are written.
        for n in 0..1000 {
            listing.add(plan(n)).await.unwrap();
        }
    }
    assert!(!journal.is_listed());
    assert!(std::fs::metadata(scratch.path()).unwrap().len() > 10_000);
    assert_eq!(journal.list((0..2).map(plan)).await.unwrap(), 2);
    assert_eq!(journal.progress().open, 2);
    drop(journal);
    let again = BulkJournal::open(scratch.path(), &owner()).unwrap();
    assert_eq!(again.progress().open, 2);
}

#[tokio::test]
async fn a_plan_is_listed_once() {
    let scratch = Scratch::new();
    let mut journal = BulkJournal::open(scratch.path(), &owner()).unwrap();
    let twice = [plan(1), plan(2), plan(1).plan_name("another"), plan(2)];
    assert_eq!(journal.list(twice).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_malformed_is_named_and_never_skipped() {
    let (scratch, spoilt) = (Scratch::new(), Scratch::new());
    let text = String::from_utf8(whole(&scratch.path()).await).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with = |line: usize, new: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = new;
        lines.join("\n") + "\n"
    };
    let twice = format!("{text}{{\"n\":0,\"step\":\"calling\"}}\n");
    let last = lines.len() as u64 + 1;
    for (content, line, why) in [
        (with(1, "{}"), 1, "no journal"),
        (with(1, "\"pa55word\""), 1, "no journal"),
        (with(1, r#"{"journal":"another","version":1}"#), 1, "no journal"),
        (with(3, "rubbish"), 3, "expected value"),
        (with(3, lines[3]), 3, "plan 2 follows where 1 does"),
        (with(3, r#"{"n":1,"brand_id":"70 001","plan_id":"1"}"#), 3, "brand_id"),
        (with(7, r#"{"listed":4}"#), 7, "5 plans are listed, not 4"),
        (with(8, ""), 8, "EOF"),
        (with(9, r#"{"n":5,"step":"calling"}"#), 9, "no plan 5"),
        (with(9, r#"{"n":1,"step":"jumping\n\u202e"}"#), 9, "jumping"),
        (with(9, "\0\0\0\0"), 9, "expected value"),
        (twice, last, "settled before"),
    ] {
        std::fs::write(spoilt.path(), &content).unwrap();
        let report = BulkReport::open(spoilt.path()).map(drop);
        let opened = BulkJournal::open(spoilt.path(), &owner()).map(drop);
        for error in [opened.unwrap_err(), report.unwrap_err()] {
            let JournalError::Malformed { line: found, why: said } = &error else {
                panic!("{error:?}");
            };
            assert!(*found == line && said.contains(why), "{line} {why}: {error}");
            let shown = format!("{error:?}");
            assert!(!shown.contains(['\n', '\u{202e}']) && !shown.contains("pa55"), "{shown}");
        }
        assert_eq!(std::fs::read_to_string(spoilt.path()).unwrap(), content, "it is left alone");
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_left_alone() {
    let scratch = Scratch::new();
    for content in ["-----BEGIN PRIVATE KEY-----", "x\n", "{\"journal\":\"wxpay bulk terminationx"]
    {
        std::fs::write(scratch.path(), content).unwrap();
        let opened = BulkJournal::open(scratch.path(), &owner());
        let is_refused = matches!(opened, Err(JournalError::Malformed { line: 1, .. }));
        assert!(is_refused, "{content}: {opened:?}");
        assert_eq!(std::fs::read_to_string(scratch.path()).unwrap(), content);
    }
}

#[tokio::test]
async fn a_journal_belongs_to_one_mchid_one_base_url_and_one_kind_of_run() {
    let scratch = Scratch::new();
    let bytes = whole(&scratch.path()).await;
    for (owner, field) in [
        (owner_of("1900007292", BaseUrl::MAIN), "mchid"),
        (owner_of("1900007291", BaseUrl::STANDBY), "base_url"),
    ] {
        let error = BulkJournal::open(scratch.path(), &owner).unwrap_err();
        let JournalError::OtherOwner { field: found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, field);
    }
    let dry = BulkJournal::open_dry_run(scratch.path(), &owner());
    assert!(matches!(dry, Err(JournalError::OtherMode { is_dry_run: false })), "{dry:?}");
    let newer = String::from_utf8(bytes).unwrap().replacen("\"version\":1", "\"version\":2", 1);
    std::fs::write(scratch.path(), newer).unwrap();
    let newer = BulkJournal::open(scratch.path(), &owner());
    assert!(matches!(newer, Err(JournalError::Version { found: 2 })), "{newer:?}");
}

#[tokio::test]
async fn a_journal_is_open_once() {
    let scratch = Scratch::new();
    let journal = BulkJournal::open(scratch.path(), &owner()).unwrap();
    let second = BulkJournal::open(scratch.path(), &owner());
    assert!(matches!(second, Err(JournalError::Locked)), "{second:?}");
    // Something of a run may outlive it for a moment.
    let handle = Arc::clone(&journal.file);
    drop(journal);
    assert!(BulkJournal::open(scratch.path(), &owner()).is_ok());
    drop(handle);
}

#[cfg(unix)]
#[tokio::test]
async fn a_journal_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    drop(BulkJournal::open(scratch.path(), &owner()).unwrap());
    let mode = std::fs::metadata(scratch.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_report_has_a_row_for_each_plan_in_the_order_of_the_list() {
    let scratch = Scratch::new();
    whole(&scratch.path()).await;
    let mut csv = Vec::new();
    BulkReport::open(scratch.path()).unwrap().write_csv(&mut csv).unwrap();
    let lines = [
        "n,brand_id,plan_id,outcome,state,code,request_id,detail",
        "0,70001,0,terminated,TERMINATED,,08F7,",
        "1,70001,1,unconfirmed,DELIVERING,,,no response in time",
        "2,70001,2,open,,,,",
        "3,70001,3,in_doubt,,,,",
        "4,70001,4,mismatch,,,,\"plan_name is \"\"a\"\", \"\"b\"\" was expected\"",
    ];
    assert_eq!(String::from_utf8(csv).unwrap(), lines.map(|line| format!("{line}\r\n")).concat());

    let mut json = Vec::new();
    let report = BulkReport::open(scratch.path()).unwrap();
    assert_eq!((report.progress().plans, report.progress().left()), (5, 3));
    report.write_json_lines(&mut json).unwrap();
    let json = String::from_utf8(json).unwrap();
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(
        lines[..4],
        [
            r#"{"n":0,"brand_id":"70001","plan_id":"0","outcome":"terminated","request_id":"08F7","is_confirmed":true}"#,
            r#"{"n":1,"brand_id":"70001","plan_id":"1","outcome":"unconfirmed","error":"no response in time","is_sent":true,"state":"DELIVERING"}"#,
            r#"{"n":2,"brand_id":"70001","plan_id":"2","outcome":"open"}"#,
            r#"{"n":3,"brand_id":"70001","plan_id":"3","outcome":"in_doubt"}"#,
        ]
    );
}

#[tokio::test]
async fn a_report_is_read_while_the_job_runs() {
    let scratch = Scratch::new();
    let mut journal = BulkJournal::open(scratch.path(), &owner()).unwrap();
    assert!(matches!(BulkReport::open(scratch.path()), Err(JournalError::NotListed)));
    journal.list((0..2).map(plan)).await.unwrap();
    let run = journal.begin_run().unwrap();
    run.calling(1).await.unwrap();
    let mut report = BulkReport::open(scratch.path()).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = report.next_row().unwrap() {
        rows.push((row.number, row.name()));
    }
    assert_eq!(rows, [(0, "open"), (1, "in_doubt")]);
}

/// Reads bytes as a journal; returns how many plans it has.
fn read(bytes: &[u8]) -> Result<usize, JournalError> {
    load(bytes, |_, _| {}).map(|loaded| loaded.steps.len())
}

#[tokio::test]
async fn a_journal_with_another_byte_is_read_or_refused() {
    let scratch = Scratch::new();
    let mut bytes = whole(&scratch.path()).await;
    assert_eq!(read(&bytes).unwrap(), 5);
    let mut refused = 0;
    for at in 0..bytes.len() {
        for other in [b'\n', b'"', b'{', b'9', b'x', 0, 0xff] {
            let before = std::mem::replace(&mut bytes[at], other);
            match read(&bytes) {
                Ok(plans) => assert!(plans <= 5, "{at} {other}"),
                Err(JournalError::Malformed { .. } | JournalError::Version { .. }) => refused += 1,
                Err(error) => panic!("{at} {other}: {error:?}"),
            }
            bytes[at] = before;
        }
    }
    assert!(refused > bytes.len(), "{refused}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(lines in proptest::collection::vec(".{0,40}", 0..6)) {
        let bytes = lines.join("\n");
        if let Ok(plans) = read(bytes.as_bytes()) {
            proptest::prop_assert_eq!(plans, 0);
        }
    }
}
