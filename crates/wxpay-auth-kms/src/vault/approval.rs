//! Requests that others must approve first: the control groups of a policy.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use wxpay_auth_core::{SignErrorKind, foreign_text};
use zeroize::Zeroizing;

use super::client::Call;
use crate::error::KmsError;

/// How many pending requests are kept. The service keeps each until its TTL ends; results of
/// forgotten requests are never fetched.
const MOST: usize = 256;
/// How long a request is kept at most, even if its TTL is longer.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Longer than any accessor.
const MAX_ACCESSOR: usize = 100;

/// The reply of the service in place of data.
#[derive(Deserialize)]
pub(super) struct WrapInfo {
    token: Zeroizing<String>,
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    ttl: u64,
}

/// The state of a request for approval.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Approved,
    /// No request has this accessor.
    Unknown,
}

#[derive(Deserialize)]
pub(super) struct StandingResponse {
    pub(super) data: Option<StandingData>,
}

#[derive(Deserialize)]
pub(super) struct StandingData {
    pub(super) approved: Option<bool>,
}

/// A request that waits for approval. Anybody with its token can fetch the result.
pub(super) struct Approval {
    path: String,
    body: Option<Vec<u8>>,
    token: Zeroizing<String>,
    accessor: String,
    end: Instant,
    /// The result was requested, and the response has not arrived.
    interrupted: AtomicBool,
    /// The service has distinguished "not approved yet" from "unknown".
    told_apart: AtomicBool,
    /// The service has given the ambiguous reply while no response had been lost.
    not_told_apart: AtomicBool,
}

impl Approval {
    pub(super) fn new(call: Call<'_>, wrapped: WrapInfo) -> Self {
        let token = wrapped.token;
        let accessor = foreign_text(&wrapped.accessor, MAX_ACCESSOR, &[&token]);
        // A TTL of 0 means that the service gave none.
        let ttl = if wrapped.ttl == 0 { LONGEST } else { Duration::from_secs(wrapped.ttl) };
        Self {
            path: call.path.to_owned(),
            body: call.body.map(<[u8]>::to_vec),
            token,
            accessor,
            end: Instant::now() + ttl.min(LONGEST),
            interrupted: AtomicBool::new(false),
            told_apart: AtomicBool::new(false),
            not_told_apart: AtomicBool::new(false),
        }
    }

    fn is_of(&self, call: Call<'_>) -> bool {
        self.path == call.path && self.body.as_deref() == call.body
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn accessor(&self) -> &str {
        &self.accessor
    }

    /// Notes that the result is requested, and returns whether the previous response was lost.
    pub(super) fn ask(&self) -> bool {
        self.interrupted.swap(true, Ordering::Relaxed)
    }

    /// Notes that the response to this request arrived.
    pub(super) fn heard(&self) {
        self.interrupted.store(false, Ordering::Relaxed);
    }

    /// Returns the error of a request that is pending according to the service.
    pub(super) fn waits(&self, told_apart: bool) -> KmsError {
        self.interrupted.store(false, Ordering::Relaxed);
        self.told_apart.fetch_or(told_apart, Ordering::Relaxed);
        self.pending()
    }

    /// Returns the error of a request that is pending or lost: the service does not say which.
    pub(super) fn waits_or_is_lost(&self, was_interrupted: bool) -> KmsError {
        if self.told_apart.load(Ordering::Relaxed) {
            return self.lost();
        }
        if !was_interrupted {
            self.interrupted.store(false, Ordering::Relaxed);
            self.not_told_apart.store(true, Ordering::Relaxed);
            return self.pending();
        }
        if !self.not_told_apart.load(Ordering::Relaxed) {
            return self.lost();
        }
        self.error(
            SignErrorKind::ApprovalPending,
            "vault requires an approval of the request, or its response was lost",
        )
        .with_hint(
            "if it is not approved yet, let the control group approve it. If it is, the response was \
             lost on the way: let the policy allow update on sys/control-group/request, which \
             distinguishes the two, and sign again, or use a new VaultTransit, which sends a new \
             request",
        )
    }

    /// Returns the error of a request that nobody has approved yet.
    pub(super) fn pending(&self) -> KmsError {
        self.error(SignErrorKind::ApprovalPending, "vault requires an approval of the request")
            .with_hint(
                "let the control group approve it: bao write sys/control-group/authorize \
                 accessor=APPROVAL_ID; then sign the same message again, with the same VaultTransit. \
                 If vault does not know the accessor, let the policy allow update on \
                 sys/control-group/request, so that a lost request is detected. \
                 A call to WeChat Pay cannot wait for people: its signature is valid for 5 minutes",
            )
    }

    /// Returns the error of a request that the service no longer has.
    pub(super) fn lost(&self) -> KmsError {
        self.error(SignErrorKind::Other, "vault has lost the request for approval, or its result")
            .with_hint(
                "sign the same message again, which makes a new request for approval: this one was \
                 fetched and lost on the way, was revoked, or ended with the token that made it \
                 (check its TTL, and num_uses)",
            )
    }

    fn error(&self, kind: SignErrorKind, message: &str) -> KmsError {
        KmsError::new(kind, message).with_approval_id(&self.accessor)
    }
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").field("accessor", &self.accessor).finish_non_exhaustive()
    }
}

/// The requests that wait for approval, oldest first.
#[derive(Debug, Default)]
pub(super) struct Approvals(Mutex<VecDeque<Arc<Approval>>>);

impl Approvals {
    /// Returns the pending approval of the same request.
    pub(super) fn of(&self, call: Call<'_>) -> Option<Arc<Approval>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            return None;
        }
        let now = Instant::now();
        kept.retain(|approval| approval.end > now);
        kept.iter().find(|approval| approval.is_of(call)).cloned()
    }

    pub(super) fn keep(&self, approval: Approval) -> Arc<Approval> {
        let approval = Arc::new(approval);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&approval));
        approval
    }

    pub(super) fn forget(&self, approval: &Arc<Approval>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| !Arc::ptr_eq(kept, approval));
    }
}

#[cfg(test)]
mod tests {
    use super::super::refusal::Doing;
    use super::*;

    fn call(body: &[u8]) -> Call<'_> {
        Call { doing: Doing::Sign, path: "/v1/transit/sign/merchant/sha2-256", body: Some(body) }
    }

    fn wrapped(token: &str, accessor: &str) -> WrapInfo {
        WrapInfo { token: token.to_owned().into(), accessor: accessor.to_owned(), ttl: 60 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_kept_until_its_time_is_over() {
        let approvals = Approvals::default();
        approvals.keep(Approval::new(call(b"1"), wrapped("s.1", "a1")));
        let second = approvals.keep(Approval::new(call(b"2"), wrapped("s.2", "a2")));
        assert_eq!(approvals.of(call(b"1")).unwrap().token(), "s.1");
        assert_eq!(approvals.of(call(b"2")).unwrap().token(), "s.2");
        assert!(approvals.of(call(b"3")).is_none());
        assert!(approvals.of(Call { body: None, ..call(b"1") }).is_none());
        assert!(approvals.of(Call { path: "/v1/x", ..call(b"1") }).is_none());
        approvals.forget(&second);
        assert!(approvals.of(call(b"2")).is_none());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(approvals.of(call(b"1")).is_none());
    }

    #[test]
    fn the_oldest_request_is_forgotten_first() {
        let approvals = Approvals::default();
        for number in 0..=MOST {
            let body = number.to_string();
            approvals.keep(Approval::new(call(body.as_bytes()), wrapped("s.1", "a1")));
        }
        assert!(approvals.of(call(b"0")).is_none());
        assert!(approvals.of(call(b"1")).is_some());
        assert_eq!(approvals.0.lock().unwrap().len(), MOST);
    }

    #[test]
    fn the_token_is_not_shown() {
        for accessor in ["a1", "s.hunter2hunter2", "a s.hunter2hunter2 b"] {
            let approval = Approval::new(call(b"1"), wrapped("s.hunter2hunter2", accessor));
            let error = approval.pending();
            let shown = format!("{approval:?} {error} {error:?} {}", error.hint());
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(error.kind(), SignErrorKind::ApprovalPending);
        }
        let error = Approval::new(call(b"1"), wrapped("s.1", "a1")).pending();
        assert_eq!(error.approval_id(), Some("a1"));
        assert_eq!(error.to_string(), "vault requires an approval of the request [approval-id a1]");
        let wrapped = WrapInfo { ttl: u64::MAX, ..wrapped("s.1", "a1") };
        assert_eq!(Approval::new(call(b"1"), wrapped).pending().approval_id(), Some("a1"));
    }
}
