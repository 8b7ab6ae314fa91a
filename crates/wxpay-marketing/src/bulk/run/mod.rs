//! Runs a job.

mod calls;
mod confirm;
mod job;
mod judgement;
mod progress;
mod stop;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use wxpay_transport::Transport;

use self::job::{Handled, Job};
pub use self::progress::{BulkEvent, BulkProgress};
pub use self::stop::StopHandle;
use super::error::BulkError;
use super::journal::{BulkJournal, Items, PlanStep};
use super::leases::{NoLeases, PlanLeases};
use crate::delivery_plans::DeliveryPlans;
use crate::error::Error as CallError;

/// Terminates the plans of a list. **This cannot be undone.**
///
/// For each plan it does what [`terminate_checked`](DeliveryPlans::terminate_checked) does: it looks the plan up and
/// compares it, says in the journal that it is about to call, terminates, and reads the state until it is final. An outcome
/// that is not known is settled by reading, and a run never calls a plan twice (unless WeChat Pay did not accept the call,
/// 429). A plan that may have been called in an earlier run is read first; only if it has not ended it may be called again.
///
/// What stops a single plan stops no other one; it is in the [report](super::BulkReport). What stops all of them (no
/// network, a wrong key, a full disk) ends the run with a [`BulkError`], and the journal can be resumed.
///
/// Dropping the future of a run leaves a journal that can be resumed, as a crash does.
///
/// ```
/// use wxpay_auth::BrandId;
/// use wxpay_marketing::{
///     BulkJournal, BulkPlan, BulkReport, BulkTermination, DeliveryPlans, JobOwner, ListPlans,
/// };
/// use wxpay_testing::Gateway;
/// use wxpay_transport::{BaseUrl, Client};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("wxpay-bulk-doc-{}", std::process::id()));
/// let gateway = Gateway::start().await;
/// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
///     .base_url(BaseUrl::new(gateway.base_url())?)
///     .build()?;
/// let owner = JobOwner::new(gateway.mchid(), client.base_url());
/// let plans = DeliveryPlans::new(client);
///
/// let mut journal = BulkJournal::open(&path, &owner)?;
/// if !journal.is_listed() {
///     let all = ListPlans::new(BrandId::new("1004")?);
///     journal.list_brand(&plans, all, |plan| !plan.plan_state.is_final()).await?;
/// }
/// let progress = BulkTermination::new(plans).concurrency(8).run(&mut journal).await?;
/// assert!(progress.is_complete());
/// assert_eq!(progress.terminated, 3);
///
/// let mut report = Vec::new();
/// BulkReport::open(&path)?.write_csv(&mut report)?;
/// # drop(journal);
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
pub struct BulkTermination<T> {
    plans: Arc<DeliveryPlans<T>>,
    settings: Settings,
    observer: Option<Arc<Observer>>,
    leases: Arc<dyn PlanLeases>,
    stop: StopHandle,
}

/// Is told what happens.
type Observer = dyn Fn(BulkEvent<'_>, BulkProgress) + Send + Sync;

#[derive(Debug, Clone)]
struct Settings {
    concurrency: usize,
    looks_up: bool,
    confirms: bool,
    confirm_within: Duration,
    lease_outage: Duration,
    give_up_after: u32,
}

/// The pause before plans that others had are tried again.
const TAKEN: Duration = Duration::from_secs(1);

impl<T: Transport + 'static> BulkTermination<T> {
    /// Creates a job with the default settings. The journals that it runs must name the client behind `plans` as their
    /// owner.
    pub fn new(plans: DeliveryPlans<T>) -> Self {
        let settings = Settings {
            concurrency: 16,
            looks_up: true,
            confirms: true,
            confirm_within: Duration::from_secs(30),
            lease_outage: Duration::from_secs(60),
            give_up_after: 32,
        };
        Self {
            plans: Arc::new(plans),
            settings,
            observer: None,
            leases: Arc::new(NoLeases),
            stop: StopHandle::default(),
        }
    }

    /// Sets how many plans are dealt with at the same time. The default is 16, the minimum 1. The rate limit of the client
    /// applies to them together.
    #[must_use]
    pub fn concurrency(mut self, plans: usize) -> Self {
        self.settings.concurrency = plans.max(1);
        self
    }

    /// Calls plans that this job took from the brand's own list ([`list_brand`](BulkJournal::list_brand)) without
    /// looking each one up again: a plan does not change its brand. Plans that were given by their ids are looked up, and
    /// so are those that may have been called before, and all of them with [leases](Self::leases).
    #[must_use]
    pub fn without_lookup_of_listed(mut self) -> Self {
        self.settings.looks_up = false;
        self
    }

    /// Takes a verified 204 for the end of a plan, without reading its state afterwards. Whether it means "done" or
    /// "accepted" is not documented.
    #[must_use]
    pub fn without_confirmation(mut self) -> Self {
        self.settings.confirms = false;
        self
    }

    /// Sets how long to read the state of a plan until it is final. The default is 30 s.
    #[must_use]
    pub fn confirm_within(mut self, time: Duration) -> Self {
        self.settings.confirm_within = time;
        self
    }

    /// Shares the list with other machines. The default is [`NoLeases`]: this one takes all plans.
    #[must_use]
    pub fn leases(mut self, leases: impl PlanLeases + 'static) -> Self {
        self.leases = Arc::new(leases);
        self
    }

    /// Sets how long a plan waits for the store of the leases before the run ends with [`BulkError::Leases`]. The
    /// default is 60 s. Nothing is called meanwhile.
    #[must_use]
    pub fn lease_outage(mut self, time: Duration) -> Self {
        self.settings.lease_outage = time;
        self
    }

    /// Sets after how many plans in a row that could be neither looked up nor called the run ends with
    /// [`BulkError::Unreachable`]. The default is 32.
    #[must_use]
    pub fn give_up_after(mut self, plans: u32) -> Self {
        self.settings.give_up_after = plans.max(1);
        self
    }

    /// Tells an observer what happens, and how far the job is. It runs within the job: what it takes long for, the job
    /// takes long for. Its panics are caught and logged.
    #[must_use]
    pub fn observer(
        mut self,
        observer: impl Fn(BulkEvent<'_>, BulkProgress) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Returns a handle that stops it.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Takes up every plan of a journal that is not settled, and returns how far the job is then. With the journal of a
    /// dry run no termination is sent.
    ///
    /// It ends when each plan was dealt with once, or it is [stopped](Self::stop_handle). Run it again for those that are
    /// [left](BulkProgress::left).
    ///
    /// # Errors
    /// [`BulkError`]. What is in flight is finished before it is returned.
    ///
    /// # Panics
    /// If a transport, or leases, of the application panic.
    pub async fn run(&self, journal: &mut BulkJournal) -> Result<BulkProgress, BulkError> {
        let job = Arc::new(Job {
            plans: Arc::clone(&self.plans),
            journal: journal.begin_run()?,
            settings: self.settings.clone(),
            is_dry_run: journal.is_dry_run(),
            observer: self.observer.clone(),
            leases: Arc::clone(&self.leases),
            stop: self.stop.clone(),
        });
        let mut passed = Ok(Passed::default());
        while let Ok(before) = &mut passed {
            let failures = std::mem::take(&mut before.failures);
            passed = self.pass(&job, journal.items(), failures).await;
            let is_left = passed.as_ref().is_ok_and(|passed| passed.taken > 0);
            if !is_left || self.stop.pause(TAKEN).await {
                break;
            }
        }
        job.journal.synced().await?;
        passed.map(|_| journal.progress())
    }

    /// Deals once with each plan that is due.
    async fn pass(
        &self,
        job: &Arc<Job<T>>,
        mut items: Items,
        failures: Failures,
    ) -> Result<Passed, BulkError> {
        let steps = Arc::clone(&job.journal.steps);
        let is_due = |n| steps.step(n).is_some_and(PlanStep::is_due);
        let (mut tasks, mut passed) = (JoinSet::new(), Passed { taken: 0, failures });
        let (mut is_over, mut stopped_by) = (false, None);
        loop {
            while !is_over && tasks.len() < self.settings.concurrency {
                match items.next_if(is_due) {
                    _ if self.stop.is_stopped() => is_over = true,
                    Ok(Some(item)) => {
                        let job = Arc::clone(job);
                        tasks.spawn(async move { job.handle(item).await });
                    }
                    Ok(None) => is_over = true,
                    Err(error) => (is_over, stopped_by) = (true, Some(error.into())),
                }
            }
            let Some(ended) = tasks.join_next().await else { break };
            let fatal = match ended {
                Ok(Ok(handled)) => passed.note(handled, self.settings.give_up_after),
                Ok(Err(error)) => Some(error),
                Err(ended) => match ended.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Only the runtime, when it ends, cancels a task.
                    Err(_) => None,
                },
            };
            if let Some(error) = fatal {
                is_over = true;
                stopped_by.get_or_insert(error);
            }
        }
        stopped_by.map_or(Ok(passed), Err)
    }
}

/// What happened in a pass.
#[derive(Default)]
struct Passed {
    /// How many plans others have.
    taken: usize,
    failures: Failures,
}

/// Plans in a row that could be neither looked up nor called.
#[derive(Default)]
struct Failures(u32);

impl Passed {
    /// Counts a plan. Returns the error that ends the run.
    fn note(&mut self, handled: Handled, give_up_after: u32) -> Option<BulkError> {
        match handled {
            Handled::Reached => self.failures.0 = 0,
            Handled::Taken => self.taken += 1,
            Handled::Stopped => {}
            Handled::Unreachable(source) => {
                self.failures.0 += 1;
                if self.failures.0 >= give_up_after {
                    return Some(unreachable(self.failures.0, source));
                }
            }
        }
        None
    }
}

fn unreachable(plans: u32, source: CallError) -> BulkError {
    BulkError::Unreachable { plans, source }
}

impl<T: fmt::Debug> fmt::Debug for BulkTermination<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkTermination")
            .field("plans", &self.plans)
            .field("settings", &self.settings)
            .field("leases", &self.leases)
            .field("is_stopped", &self.stop.is_stopped())
            .finish_non_exhaustive()
    }
}
