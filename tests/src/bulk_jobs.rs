//! Jobs that end many plans: their list, their process, and what WeChat Pay saw of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_auth::BrandId;
use wxpay_marketing::{
    BulkEvent, BulkJournal, BulkPlan, BulkReport, BulkTermination, DeliveryPlans, JobOwner, PlanId,
    RedisPlanLeases,
};
use wxpay_testing::{Entry, Plan, WechatPay};
use wxpay_transport::{BaseUrl, NoRateLimit};

use crate::TestClient;

/// The brand of all plans here.
pub const BRAND: &str = "1004";

/// Returns the id of a plan by its number.
pub fn id(n: usize) -> String {
    format!("{}", 200_000 + n)
}

/// Returns so many plans of the brand that are delivering.
pub fn plans(number: usize) -> impl Iterator<Item = Plan> {
    (0..number).map(|n| Plan::new(id(n), BRAND))
}

/// Returns a plan to be terminated.
pub fn target(plan_id: &str) -> BulkPlan {
    BulkPlan::new(BrandId::new(BRAND).expect("an id"), PlanId::new(plan_id).expect("an id"))
}

/// Returns the list of a job with so many plans.
pub fn list(number: usize) -> impl Iterator<Item = BulkPlan> {
    (0..number).map(|n| target(&id(n)))
}

/// Returns the owner of a job at a gateway.
pub fn owner(wechat_pay: &WechatPay, base_url: &str) -> JobOwner {
    JobOwner::new(wechat_pay.mchid(), &BaseUrl::new(base_url).expect("an origin"))
}

/// Returns a service that is not slowed down.
pub fn service(wechat_pay: &WechatPay, base_url: &str) -> DeliveryPlans<TestClient> {
    let client = crate::builder(wechat_pay, base_url).rate_limiter(NoRateLimit);
    DeliveryPlans::new(client.build().expect("a client"))
}

/// A folder for journals, removed on drop.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates one.
    #[expect(clippy::new_without_default, reason = "it creates something")]
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("wxpay-bulk-jobs-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    /// Returns the path of a journal.
    pub fn journal(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.journal"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns the names of the outcomes of a report, by plan.
pub fn outcomes(journal: &Path) -> BTreeMap<String, &'static str> {
    let mut report = BulkReport::open(journal).expect("a report");
    let mut outcomes = BTreeMap::new();
    while let Some(row) = report.next_row().expect("a row") {
        outcomes.insert(row.plan.plan_id().to_string(), row.name());
    }
    outcomes
}

/// What WeChat Pay saw of one plan, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `r`: it was read. `c`: it was called. `x`: it was called, and ended.
    pub order: String,
}

impl Seen {
    /// Returns how often the plan was called.
    pub fn calls(&self) -> usize {
        self.order.matches(['c', 'x']).count()
    }

    /// Returns whether it was ended exactly once, and read before each call.
    pub fn is_right(&self) -> bool {
        let is_read_before = !self.order.starts_with(['c', 'x'])
            && !["cc", "cx", "xc", "xx"].iter().any(|pair| self.order.contains(pair));
        self.order.matches('x').count() == 1 && is_read_before
    }
}

/// Sorts what WeChat Pay saw by plan.
pub fn seen(journal: &[Entry]) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::<String, Seen>::new();
    for entry in journal {
        let (path, query) = entry.target().split_once('?').unwrap_or((entry.target(), ""));
        let (plan_id, what) = match entry.method() {
            "POST" => {
                let path = path.strip_suffix("/terminate").expect("a termination");
                let plan_id = path.rsplit('/').next().expect("an id");
                (plan_id, if entry.executed() { 'x' } else { 'c' })
            }
            _ => match query.split('&').find_map(|pair| pair.strip_prefix("plan_id=")) {
                Some(plan_id) => (plan_id, 'r'),
                None => continue,
            },
        };
        seen.entry(plan_id.to_owned()).or_default().order.push(what);
    }
    seen
}

const URL: &str = "WXPAY_TEST_BULK_URL";
const JOURNAL: &str = "WXPAY_TEST_BULK_JOURNAL";
const PLANS: &str = "WXPAY_TEST_BULK_PLANS";
const REDIS: &str = "WXPAY_TEST_BULK_REDIS";
const LEASE_MS: &str = "WXPAY_TEST_BULK_LEASE_MS";

/// A job in a process of its own. It is killed on drop.
#[derive(Debug)]
pub struct JobProcess(Child);

impl JobProcess {
    /// Starts a test of this program that calls [`run_as_told`], with a journal, and so many plans at a gateway; with a
    /// Redis it has leases for so long.
    pub fn start(
        test: &str,
        base_url: &str,
        journal: &Path,
        plans: usize,
        redis: Option<(&str, Duration)>,
    ) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command
            .args(["--exact", test, "--include-ignored", "--nocapture"])
            .env(URL, base_url)
            .env(JOURNAL, journal)
            .env(PLANS, plans.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some((redis, lease_time)) = redis {
            command.env(REDIS, redis).env(LEASE_MS, lease_time.as_millis().to_string());
        }
        Self(command.spawn().expect("this program"))
    }

    /// Kills it (SIGKILL). Returns whether it had ended by itself.
    pub fn kill(&mut self) -> bool {
        let has_ended = self.0.try_wait().expect("a process").is_some();
        let _ = self.0.kill();
        self.0.wait().expect("a process");
        has_ended
    }

    /// Returns whether it has ended.
    ///
    /// # Panics
    /// Panics if it has failed.
    pub fn has_ended(&mut self) -> bool {
        match self.0.try_wait().expect("a process") {
            Some(status) => {
                assert!(status.success(), "the job: {status}");
                true
            }
            None => false,
        }
    }
}

impl Drop for JobProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the job that the variables of [`JobProcess::start`] tell, until each plan is settled. Returns whether there was one
/// to run.
pub async fn run_as_told() -> bool {
    let variable = |name| std::env::var(name).ok();
    let (Some(url), Some(path), Some(plans)) = (variable(URL), variable(JOURNAL), variable(PLANS))
    else {
        return false;
    };
    // It has the keys of the other process.
    let wechat_pay = WechatPay::builder().build();
    let mut journal =
        BulkJournal::open(&path, &owner(&wechat_pay, &url)).expect("a journal to resume");
    if !journal.is_listed() {
        journal.list(list(plans.parse().expect("a number"))).await.expect("a list");
    }
    let mut job = BulkTermination::new(service(&wechat_pay, &url)).concurrency(8);
    if let (Some(redis), Some(time)) = (variable(REDIS), variable(LEASE_MS)) {
        let leases = RedisPlanLeases::new(&redis, "test").expect("a URL");
        let time = Duration::from_millis(time.parse().expect("a number"));
        job = job.leases(leases.lease_time(time));
    }
    let job = job.observer(|event, _| {
        if let BulkEvent::LeasesAway { error, .. } = event {
            println!("{error}");
        }
    });
    while !job.run(&mut journal).await.expect("a run").is_complete() {}
    true
}
