//! The journal of a job: a file of JSON lines to which is only ever added.

mod error;
mod file;
mod items;
mod line;
mod lines;
mod listing;
mod load;
mod owner;
#[cfg(test)]
mod scratch;
mod step;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use wxpay_transport::Transport;

pub use self::error::JournalError;
pub(crate) use self::file::FileAt;
pub(crate) use self::items::Items;
use self::line::{Header, line, not_a_journal};
pub(crate) use self::line::{Item, Step, StepLine};
pub(crate) use self::lines::Lines;
use self::listing::Listing;
use self::load::Loaded;
pub(crate) use self::load::{Place, load, parsed};
pub use self::owner::JobOwner;
pub(crate) use self::step::{PlanStep, PlanSteps};
use self::writer::Writer;
use super::error::BulkError;
use super::plan::BulkPlan;
use super::run::BulkProgress;
use crate::delivery_plans::DeliveryPlans;
use crate::list_plans::ListPlans;
use crate::plan::Plan;

/// The journal of a job: which plans it ends, and how far it is. It survives a crash at any point.
///
/// A file of JSON lines: what it is and whose; the plans; a line that closes the list; then a line for each step of
/// a plan. `calling` is on the disk before the call is made. All callers that wait for the disk at the same time share
/// one sync. In memory, a plan takes one byte.
///
/// It is open in one place at a time, readable by its owner only, and bound to an `mchid` and a base URL.
/// Reading and opening it blocks, for as long as the file takes to be read.
///
/// Dropping it waits for what is being written.
///
/// ```
/// use wxpay_auth::{BrandId, Mchid};
/// use wxpay_marketing::{BulkJournal, BulkPlan, JobOwner, PlanId};
/// use wxpay_transport::BaseUrl;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("wxpay-journal-doc-{}", std::process::id()));
/// let owner = JobOwner::new(Mchid::new("1900007291")?, &BaseUrl::new(BaseUrl::MAIN)?);
/// let mut journal = BulkJournal::open(&path, &owner)?;
/// if !journal.is_listed() {
///     let brand_id = BrandId::new("1004")?;
///     let ids = ["12000", "12001"].map(PlanId::new);
///     let plans: Result<Vec<_>, _> =
///         ids.into_iter().map(|id| Ok(BulkPlan::new(brand_id.clone(), id?))).collect();
///     journal.list(plans.map_err(|e: wxpay_marketing::PlanIdError| e)?).await?;
/// }
/// assert_eq!(journal.progress().open, 2);
/// # drop(journal);
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
pub struct BulkJournal {
    file: Arc<File>,
    writer: Arc<Writer>,
    steps: Arc<PlanSteps>,
    list: Place,
    is_listed: bool,
    is_dry_run: bool,
}

impl BulkJournal {
    /// Opens the journal of a job, and creates it if there is none.
    ///
    /// A last line that was not written completely is cut off: what it says was not acted upon. A list that was not
    /// closed is forgotten: nothing of it was called.
    ///
    /// # Errors
    /// [`JournalError`]: another job has it open, it belongs to another owner or is that of a dry run, or a line of it is
    /// malformed.
    pub fn open(path: impl AsRef<Path>, owner: &JobOwner) -> Result<Self, JournalError> {
        Self::open_as(path.as_ref(), &Header::new(owner, false))
    }

    /// Opens the journal of a dry run, and creates it if there is none. A run with it looks everything up, and sends no
    /// termination. It cannot be used for a real run afterwards.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_dry_run(path: impl AsRef<Path>, owner: &JobOwner) -> Result<Self, JournalError> {
        Self::open_as(path.as_ref(), &Header::new(owner, true))
    }

    fn open_as(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let file = Arc::new(file::open_locked(path)?);
        let loaded = load(FileAt::new(Arc::clone(&file), 0), |_, _| {})?;
        let loaded = match &loaded.header {
            Some(found) => {
                found.require(header)?;
                loaded
            }
            None => begin(&file, header)?,
        };
        let end = if loaded.is_listed { loaded.end } else { loaded.list.offset };
        cut(&file, end)?;
        let steps = if loaded.is_listed { loaded.steps } else { PlanSteps::default() };
        let writer = Writer::start(Arc::clone(&file)).map_err(JournalError::io("write"))?;
        Ok(Self {
            file,
            writer: Arc::new(writer),
            steps: Arc::new(steps),
            list: loaded.list,
            is_listed: loaded.is_listed,
            is_dry_run: header.is_dry_run(),
        })
    }

    /// Returns whether the list is complete. If it is not, it must be given before the job can run.
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Returns whether it is that of a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    /// Returns how far the job is.
    pub fn progress(&self) -> BulkProgress {
        BulkProgress::of(&self.steps)
    }

    /// Writes the list of the job, and returns how many plans it has. A plan that comes twice is listed once.
    ///
    /// If the future is dropped, or the process ends, the list must be given again. While it is written, each plan takes
    /// some 40 bytes of memory.
    ///
    /// # Errors
    /// [`JournalError::AlreadyListed`]; [`JournalError::Write`].
    pub async fn list(
        &mut self,
        plans: impl IntoIterator<Item = BulkPlan>,
    ) -> Result<usize, JournalError> {
        let mut listing = self.begin_list().await?;
        for plan in plans {
            listing.add(plan).await?;
        }
        let listed = listing.close().await?;
        self.is_listed = true;
        Ok(listed)
    }

    /// Lists all plans of a brand that a query and a filter select, and returns how many. They are collected before
    /// the first is called, because a list that is filtered by state shrinks while its plans are ended.
    ///
    /// # Errors
    /// [`BulkError::List`] if they cannot be listed: nothing was called, and the list must be read again.
    /// [`BulkError::Journal`].
    pub async fn list_brand<T: Transport>(
        &mut self,
        plans: &DeliveryPlans<T>,
        query: ListPlans,
        is_wanted: impl Fn(&Plan) -> bool,
    ) -> Result<usize, BulkError> {
        let mut listing = self.begin_list().await?;
        let plan_state = query.plan_state.clone();
        let mut found = plans.list_all(query);
        while let Some(plan) = found.next().await {
            let plan = plan.map_err(BulkError::List)?;
            // The filter may be lost on the way.
            let is_in_state = plan_state.as_ref().is_none_or(|state| *state == plan.plan_state);
            if is_in_state && is_wanted(&plan) {
                listing.add(BulkPlan::listed(plan)).await?;
            }
        }
        let listed = listing.close().await?;
        self.is_listed = true;
        Ok(listed)
    }

    async fn begin_list(&mut self) -> Result<Listing<'_>, JournalError> {
        if self.is_listed {
            return Err(JournalError::AlreadyListed { plans: self.steps.len() });
        }
        // An earlier list may have been given up half-way.
        self.writer.write_synced(b"").await?;
        cut(&self.file, self.list.offset)?;
        self.steps = Arc::default();
        // No run has begun that could share them.
        let steps = Arc::get_mut(&mut self.steps).ok_or(JournalError::NotListed)?;
        Ok(Listing::new(&self.writer, steps))
    }

    /// Begins to run: returns what the tasks of a run share.
    pub(crate) fn begin_run(&mut self) -> Result<JournalSteps, JournalError> {
        if !self.is_listed {
            return Err(JournalError::NotListed);
        }
        self.steps.begin_run();
        Ok(JournalSteps { writer: Arc::clone(&self.writer), steps: Arc::clone(&self.steps) })
    }

    /// Returns the plans of the list, from the first one.
    pub(crate) fn items(&self) -> Items {
        let file = FileAt::new(Arc::clone(&self.file), self.list.offset);
        Items::new(file, self.list, self.steps.len())
    }
}

/// Writes the first line of a new file. A file of anything else is left alone.
fn begin(file: &File, header: &Header) -> Result<Loaded, JournalError> {
    use std::io::Write;
    let header = line(header);
    let mut found = Vec::new();
    let at_start = FileAt::new(Arc::new(file.try_clone().map_err(JournalError::io("read"))?), 0);
    let most = header.len() as u64 + 1;
    std::io::Read::read_to_end(&mut std::io::Read::take(at_start, most), &mut found)
        .map_err(JournalError::io("read"))?;
    if !header.starts_with(&found) {
        return Err(not_a_journal());
    }
    cut(file, 0)?;
    let mut writes = file;
    writes.write_all(&header).and_then(|()| file.sync_all()).map_err(JournalError::io("write"))?;
    load(header.as_slice(), |_, _| {})
}

/// Cuts off what follows.
fn cut(file: &File, end: u64) -> Result<(), JournalError> {
    let length = file.metadata().map_err(JournalError::io("read"))?.len();
    if length > end {
        file.set_len(end).and_then(|()| file.sync_all()).map_err(JournalError::io("write"))?;
    }
    Ok(())
}

impl Drop for BulkJournal {
    fn drop(&mut self) {
        self.writer.close();
        file::unlock(&self.file);
    }
}

impl fmt::Debug for BulkJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkJournal")
            .field("is_dry_run", &self.is_dry_run)
            .field("is_listed", &self.is_listed)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

/// The steps of a run, written and counted.
#[derive(Debug, Clone)]
pub(crate) struct JournalSteps {
    writer: Arc<Writer>,
    pub(crate) steps: Arc<PlanSteps>,
}

impl JournalSteps {
    /// Writes that a plan is about to be called, and waits until that is on the disk.
    pub(crate) async fn calling(&self, n: usize) -> Result<(), JournalError> {
        self.writer.write_synced(&line(&StepLine { n, step: Step::Calling })).await?;
        self.steps.set(n, PlanStep::Calling);
        Ok(())
    }

    /// Writes what became of a plan. If a crash loses this, the plan is read again.
    pub(crate) fn note(&self, n: usize, step: Step) -> Result<(), JournalError> {
        let state = step.state();
        self.writer.write(&line(&StepLine { n, step }))?;
        self.steps.set(n, state);
        Ok(())
    }

    /// Waits until all that was written is on the disk.
    pub(crate) async fn synced(&self) -> Result<(), JournalError> {
        self.writer.write_synced(b"").await
    }
}
