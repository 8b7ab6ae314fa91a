//! Callers: constantly active, some with little patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use wxpay_auth::KeyRing;
use wxpay_testing::{Plan, WireServer};
use wxpay_transport::{Client, Replay, Request, Target, Transport};

use super::ledger::{CallMade, End};
use super::notary::Notary;
use super::world::World;

const PLANS: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

/// Numbers all calls, so that each has a unique path.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Makes calls until the time has passed and the last one has ended.
pub(crate) async fn run_callers(
    world: &World,
    random: &mut fastrand::Rng,
    callers: usize,
    time: Duration,
) -> Vec<CallMade> {
    let until = Instant::now() + time;
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let caller = Caller {
            client: world.client.clone(),
            domains: world.servers(),
            random: random.fork(),
        };
        running.spawn(caller.call_until(until));
    }
    running.join_all().await.concat()
}

struct Caller {
    client: Client<Notary, KeyRing>,
    domains: [Arc<WireServer>; 2],
    random: fastrand::Rng,
}

impl Caller {
    async fn call_until(mut self, until: Instant) -> Vec<CallMade> {
        let mut calls = Vec::new();
        while Instant::now() < until {
            let call = self.call().await;
            if call.end == End::NotSent {
                // A refused caller waits a little before its next call.
                tokio::time::sleep(Duration::from_millis(self.random.u64(1..20))).await;
            }
            calls.push(call);
        }
        calls
    }

    async fn call(&mut self) -> CallMade {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (path, replay) = match self.random.u8(..10) {
            // The plans of a brand that no other call asks for.
            0..4 => (format!("{PLANS}/b-{number:06}/delivery-plans"), Replay::Safe),
            4..6 => (self.terminate(number), Replay::Keyed),
            _ => (self.terminate(number), Replay::Never),
        };
        let target = Target::new(path.as_str()).expect("a target");
        let request = match replay {
            Replay::Safe => Request::get("delivery_plans.list", target),
            _ => Request::post("delivery_plans.terminate", target).with_replay(replay),
        };
        // From before anything happens to long after the call has ended.
        let magnitude = self.random.u32(4..20);
        let patience = match self.random.u8(..8) {
            0 => Duration::from_micros(self.random.u64(..1 << magnitude)),
            _ => Duration::from_secs(60),
        };
        let ended = timeout(patience, self.client.send(request)).await;
        let end = ended.map_or(End::Dropped, |ended| End::of(&ended));
        assert!(end != End::Dropped || patience < Duration::from_secs(60), "{path} hangs");
        CallMade { path, replay, end }
    }

    /// Both domains know every plan; only one call terminates it.
    fn terminate(&self, number: u64) -> String {
        let plan_id = format!("p-{number:06}");
        for domain in &self.domains {
            domain.add_plan(Plan::new(&plan_id, "1004"));
        }
        format!("{PLANS}/{plan_id}/terminate")
    }
}
