//! Runs that send no termination.

use wxpay_marketing::{BulkJournal, BulkTermination, JournalError};
use wxpay_testing::{Gateway, PlanState};
use wxpay_tests::bulk_jobs::{Folder, outcomes, owner, service, target};

#[tokio::test]
async fn a_dry_run_looks_everything_up_and_ends_nothing() {
    let gateway = Gateway::start().await;
    assert!(gateway.move_plan("12001", PlanState::Expired));
    let (folder, url) = (Folder::new(), gateway.base_url());
    let owner = owner(&gateway, &url);
    let path = folder.journal("dry");
    let mut journal = BulkJournal::open_dry_run(&path, &owner).unwrap();
    let list =
        [target("12000"), target("12001"), target("12002").plan_name("another"), target("99999")];
    journal.list(list).await.unwrap();
    let progress = BulkTermination::new(service(&gateway, &url)).run(&mut journal).await.unwrap();
    assert!(progress.is_complete());
    assert_eq!((progress.would_terminate, progress.mismatch), (1, 2));
    drop(journal);
    let outcomes: Vec<_> = outcomes(&path).into_iter().collect();
    let expected = [
        ("12000", "would_terminate"),
        ("12001", "already_ended"),
        ("12002", "mismatch"),
        ("99999", "mismatch"),
    ];
    assert_eq!(outcomes, expected.map(|(id, outcome)| (id.to_owned(), outcome)));
    assert!(gateway.journal().iter().all(|entry| entry.method() == "GET"));
    let real = BulkJournal::open(&path, &owner);
    assert!(matches!(real, Err(JournalError::OtherMode { is_dry_run: true, .. })), "{real:?}");
}
