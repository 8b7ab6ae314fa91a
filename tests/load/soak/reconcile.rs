//! Reconciles the records of all participants.

use std::collections::{BTreeMap, HashMap, HashSet};

use wxpay_testing::{Entry, Verdict};
use wxpay_transport::{AuditOutcome, Replay};

use super::ledger::{Books, CallMade, Domain, End, Summary};
use super::notary::{Record, Signed};

/// All records of one call.
#[derive(Debug, Default)]
struct Account<'b> {
    call: Option<&'b CallMade>,
    signed: Vec<&'b Signed>,
    records: Vec<&'b Record>,
    entries: Vec<(&'b Domain, &'b Entry)>,
}

/// Checks that everything is accounted for; returns the discrepancies.
pub(crate) fn reconcile(
    books: &Books,
    faults: BTreeMap<&'static str, usize>,
) -> Result<Summary, Vec<String>> {
    let accounts = accounts(books);
    let mut wrong = overall(books);
    let mut summary = Summary { faults, ..Summary::default() };
    for (path, account) in &accounts {
        for broken in account.broken() {
            wrong.push(format!("{path}: {broken}\n  {}", account.show()));
        }
        if let Some(call) = account.call {
            *summary.ends.entry(call.end).or_default() += 1;
        }
        let hosts: HashSet<_> = account.records.iter().map(|record| &record.host).collect();
        summary.attempts += account.records.len();
        summary.further += account.records.iter().filter(|record| record.attempt > 1).count();
        summary.moved += usize::from(hosts.len() > 1);
        summary.arrived += account.entries.len();
        summary.executions += account.executions();
    }
    if wrong.is_empty() { Ok(summary) } else { Err(wrong) }
}

fn accounts(books: &Books) -> BTreeMap<&str, Account<'_>> {
    let mut accounts = BTreeMap::<_, Account<'_>>::new();
    for call in &books.calls {
        let before = accounts.entry(&*call.path).or_default().call.replace(call);
        assert!(before.is_none(), "two calls have the path {}", call.path);
    }
    for signed in &books.signed {
        accounts.entry(&signed.path).or_default().signed.push(signed);
    }
    for record in &books.records {
        accounts.entry(&record.path).or_default().records.push(record);
    }
    for domain in &books.domains {
        for entry in &domain.entries {
            let path = entry.target().split('?').next().unwrap_or_default();
            accounts.entry(path).or_default().entries.push((domain, entry));
        }
    }
    accounts
}

/// Checks the conditions on all calls together.
fn overall(books: &Books) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    for entry in books.domains.iter().flat_map(|domain| &domain.entries) {
        if !seen.insert(nonce(entry)) {
            wrong.push(format!("a nonce arrived twice: {entry}"));
        }
    }
    for Domain { host, entries, read } in &books.domains {
        let sent = |record: &&Record| record.host == *host && was_sent(record);
        let sent = books.records.iter().filter(sent).count();
        if *read.max(&entries.len()) > sent {
            let entries = entries.len();
            wrong.push(format!("{host}: {sent} sent, {read} read, {entries} in the journal"));
        }
    }
    wrong
}

fn was_sent(record: &Record) -> bool {
    record.outcome != AuditOutcome::NotSent
}

/// Returns the nonce of a received request.
fn nonce(entry: &Entry) -> &str {
    let authorization = entry.authorization().unwrap_or_default();
    let nonce = authorization.split_once("nonce_str=\"").map(|(_, rest)| rest);
    nonce.and_then(|rest| rest.split('"').next()).expect("a nonce")
}

impl Account<'_> {
    fn broken(&self) -> Vec<String> {
        let Some(call) = self.call else { return vec!["it belongs to no call".to_owned()] };
        let promises = [
            (self.each_signature_has_one_record(), "signatures and records differ"),
            (self.each_request_was_signed(), "a request that nobody signed"),
            (self.each_request_has_a_record(), "requests and records differ"),
            (self.each_response_was_given(), "a record of a response that nobody gave"),
            (!self.is_replayed(), "a signature was sent twice"),
            (call.replay != Replay::Never || self.is_at_most_once(), "not at most once"),
            (self.end_is_true(call.end), "the caller was told what is not so"),
            (self.last_record_says(call.end), "caller and auditor were told different things"),
        ];
        let broken = promises.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, broken)| broken.to_owned()).collect()
    }

    /// Each attempt also has its own number.
    fn each_signature_has_one_record(&self) -> bool {
        let attempts: HashSet<_> = self.records.iter().map(|record| record.attempt).collect();
        self.records.len() == self.signed.len() && attempts.len() == self.records.len()
    }

    fn each_request_was_signed(&self) -> bool {
        let signed: HashSet<_> = self.signed.iter().map(|signed| &*signed.nonce).collect();
        self.entries.iter().all(|(_, entry)| signed.contains(nonce(entry)))
    }

    /// Each request that a domain received was sent there, the same number of times.
    fn each_request_has_a_record(&self) -> bool {
        let mut sent = HashMap::<_, usize>::new();
        for record in self.records.iter().filter(|record| was_sent(record)) {
            *sent.entry(&record.host).or_default() += 1;
        }
        self.entries.iter().all(|(domain, _)| {
            let left = sent.get_mut(&domain.host).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        })
    }

    /// Each response in an audit record is in the journal exactly once.
    fn each_response_was_given(&self) -> bool {
        let is_response = |record: &Record, domain: &Domain, entry: &Entry| {
            domain.host == record.host
                && Some(entry.status()) == record.status
                && entry.request_id() == record.request_id.as_deref()
        };
        self.records.iter().all(|record| {
            let must = matches!(record.outcome, AuditOutcome::Verified | AuditOutcome::Rejected);
            let responses = self.entries.iter().filter(|(d, e)| is_response(record, d, e)).count();
            responses == usize::from(must || record.status.is_some())
        })
    }

    fn is_replayed(&self) -> bool {
        let is_replay =
            |entry: &Entry| *entry.verdict() == Verdict::Refused(wxpay_testing::Refusal::Replay);
        self.entries.iter().any(|(_, entry)| is_replay(entry))
    }

    /// Executed at most once, and sent at most once: including requests that arrived but are missing from the
    /// journal. Requests refused with 429 do not count.
    fn is_at_most_once(&self) -> bool {
        let arrived = self.entries.iter().filter(|(_, entry)| entry.status() != 429).count();
        let is_sent = |record: &&&Record| was_sent(record) && record.status != Some(429);
        self.executions() <= 1 && arrived <= 1 && self.records.iter().filter(is_sent).count() <= 1
    }

    fn end_is_true(&self, end: End) -> bool {
        match end {
            End::Success | End::Accepted => self.is_carried_out(),
            // A query changes nothing: refused at last, it is refused, though an earlier attempt may have been read well.
            End::Rejected => {
                !self.is_carried_out() || self.entries.iter().all(|(_, e)| e.method() == "GET")
            }
            End::NotSent => self.entries.iter().all(|(_, entry)| entry.status() == 429),
            End::Unknown | End::Dropped => true,
        }
    }

    fn last_record_says(&self, end: End) -> bool {
        let last = self.records.iter().max_by_key(|record| record.attempt);
        let last = last.map(|record| record.outcome);
        let is_unknown =
            |record: &Record| record.outcome == AuditOutcome::Unknown || record.status == Some(202);
        match end {
            End::Success | End::Accepted => last == Some(AuditOutcome::Verified),
            End::Rejected => last == Some(AuditOutcome::Rejected),
            // At most after a 429.
            End::NotSent => {
                matches!(last, None | Some(AuditOutcome::NotSent | AuditOutcome::Rejected))
            }
            End::Unknown => self.records.iter().any(|record| is_unknown(record)),
            End::Dropped => true,
        }
    }

    /// A read changes nothing: it counts as executed if it gets a success response.
    fn is_carried_out(&self) -> bool {
        let is_read_well = |e: &Entry| e.method() == "GET" && matches!(e.status(), 200 | 202);
        self.entries.iter().any(|(_, entry)| entry.executed() || is_read_well(entry))
    }

    fn executions(&self) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.executed()).count()
    }

    fn show(&self) -> String {
        let Self { call, records, entries, .. } = self;
        let entries: Vec<_> = entries.iter().map(|(d, e)| format!("{}: {e}", d.host)).collect();
        format!("{call:?}\n  {records:?}\n  {entries:?}")
    }
}
