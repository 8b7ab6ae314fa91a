//! One run: several calls of a client while the server sends a surplus response, or closes connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Entry, Plan, PlanState, ServerTls, WireServer, server_config};
use wxpay_tests::until::until;
use wxpay_tests::{TestClient, builder, chain, plan_id};
use wxpay_transport::{Backoff, Error, Replay, Request, Target, Transport};

use super::ghost::{Extra, Ghost, Haunting, When};

/// The fault between the first call and the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A surplus response is sent.
    TooMany(Surplus, Moment),
    /// An unsigned 400 is sent on all idle connections, including those opened in advance.
    Unasked,
    /// All connections are closed, at least 5 ms before the next call.
    Closed,
}

/// The surplus response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surplus {
    SignedNoContent,
    UnsignedTooMany,
    UnsignedBadRequest,
    SignedQueryBody,
}

/// When it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeTheCall,
    Later,
    InFlight,
    InOneSegment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls12,
    Tls13,
}

/// The runtime of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    Current,
    Multi,
    Spawned,
    /// Blocked for 100 ms between the calls, so that it does not poll its sockets.
    Blocked,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) number: u64,
    pub(crate) wrong: Wrong,
    pub(crate) way: Way,
    pub(crate) threads: Threads,
}

/// The kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Terminates a plan; must not be repeated.
    Terminate,
    /// Terminates a plan with a request that is recognised when it is repeated.
    TerminateKeyed,
    /// Terminates a plan, but like a query that accepts any response without a body as its own.
    TerminateKept,
    /// Reads a plan, and recognises the response.
    Find,
    /// Reads a plan without checking the response.
    FindUnseen,
}

impl Run {
    /// Returns what ended wrongly, or else the number of surplus responses sent.
    pub(crate) async fn go(self) -> Result<usize, String> {
        let server = Arc::new(WireServer::start_plain().await);
        let random = fastrand::Rng::with_seed(self.number);
        let tls = match self.way {
            Way::Plain => None,
            Way::Tls12 => Some(ServerTls::Tls12),
            Way::Tls13 => Some(ServerTls::Good),
        };
        let tls = tls.map(|tls| Arc::new(server_config(tls)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let ghost = Arc::new(Ghost::start(server.address(), tls).await);
        let url = format!("{scheme}://127.0.0.1:{}", ghost.port());
        let backoff = Backoff::new().first(Duration::from_millis(1));
        let client = builder(&server, &url).retry(backoff).build().expect("a client");
        for n in 0..CALLS {
            server.add_plan(Plan::new(self.plan(n), BRAND));
        }
        // The client has its own runtime, in its own thread.
        let calls = {
            let (server, ghost) = (server.clone(), ghost.clone());
            tokio::task::spawn_blocking(move || self.calls(&client, &server, &ghost, random))
        };
        let broken = calls.await.expect("no call panics");
        until("the server is idle", || !ghost.is_busy()).await;
        broken?;
        self.check_executions(&server)?;
        Ok(ghost.extras())
    }

    fn plan(self, n: usize) -> String {
        format!("{}-{n}", self.number)
    }

    /// Makes the calls one after the other.
    fn calls(
        self,
        client: &TestClient,
        server: &WireServer,
        ghost: &Ghost,
        mut random: fastrand::Rng,
    ) -> Result<(), String> {
        let runtime = self.runtime();
        // Both are sent on the kept connection.
        let first = match self.wrong {
            Wrong::TooMany(Surplus::SignedNoContent, _) => What::TerminateKept,
            _ => What::Find,
        };
        // A connection is kept, and since successive calls need an unused one, one is opened in advance.
        for (n, what) in [What::Find, What::Terminate, What::Terminate].into_iter().enumerate() {
            self.call(&runtime, client, server, what, n)?;
        }
        while !runtime.block_on(is_spare_ready(client)) {
            // On a busy machine the calls may have been too far apart to open one.
            self.call(&runtime, client, server, What::FindUnseen, 0)?;
        }
        if let Some(haunting) = self.wrong.haunting(&mut random) {
            ghost.haunt(haunting);
        }
        self.call(&runtime, client, server, first, 3)?;
        let was_sent = || ghost.extras() == 1;
        match self.wrong {
            Wrong::Closed => {
                let closing = ghost.close_all();
                if closing.is_empty() {
                    return Err("there was no connection to close".to_owned());
                }
                let are_closed = || closing.iter().all(|connection| connection.strong_count() == 0);
                runtime.block_on(until("all connections are closed", are_closed));
                self.wait(&runtime, Duration::from_millis(random.u64(5..=20)));
            }
            Wrong::Unasked => {
                let sent = ghost.answer_unasked();
                if sent == 0 {
                    return Err("there was no connection to answer on".to_owned());
                }
                runtime.block_on(until("all responses were sent", || ghost.extras() == sent));
                self.wait(&runtime, Duration::from_millis(1));
            }
            Wrong::TooMany(_, Moment::BeforeTheCall) => {
                runtime.block_on(until("the surplus response was sent", was_sent));
                self.wait(&runtime, Duration::from_millis(1));
            }
            Wrong::TooMany(..) => {}
        }
        if self.threads == Threads::Blocked {
            let blocks = async { std::thread::sleep(Duration::from_millis(100)) };
            runtime.block_on(blocks);
        }
        for n in 4..CALLS {
            if n == CALLS - 1 && matches!(self.wrong, Wrong::TooMany(..)) {
                // However fast the others were, at least one call follows the response or coincides with it.
                runtime.block_on(until("the surplus response was sent", was_sent));
            }
            self.call(&runtime, client, server, random.choice(OTHERS).expect("some"), n)?;
        }
        Ok(())
    }

    /// Waits, while a blocked runtime does not poll its sockets.
    fn wait(self, runtime: &Runtime, time: Duration) {
        match self.threads {
            Threads::Blocked => runtime.block_on(async { std::thread::sleep(time) }),
            _ => runtime.block_on(tokio::time::sleep(time)),
        }
    }

    fn runtime(self) -> Runtime {
        let mut builder = match self.threads {
            Threads::Current | Threads::Blocked => Builder::new_current_thread(),
            Threads::Multi | Threads::Spawned => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    }

    fn call(
        self,
        runtime: &Runtime,
        client: &TestClient,
        server: &WireServer,
        what: What,
        n: usize,
    ) -> Result<(), String> {
        let plan = self.plan(n);
        let call = call(client.clone(), what, plan.clone());
        let ended = match self.threads {
            Threads::Spawned => {
                runtime.block_on(async { tokio::spawn(call).await }).expect("no panic")
            }
            _ => runtime.block_on(call),
        };
        let is_terminated = server.plan_state(&plan) == Some(PlanState::Terminated);
        match ended {
            // This call had no fault, so it must succeed.
            Err(wrong) => Err(format!("call {n}, {what:?}: {wrong}, executed: {is_terminated}")),
            Ok(()) if what.terminates() && !is_terminated => {
                Err(format!("call {n}, {what:?}: ok, though the server never heard of it"))
            }
            Ok(()) => Ok(()),
        }
    }

    fn check_executions(self, server: &WireServer) -> Result<(), String> {
        let journal = server.journal();
        for n in 0..CALLS {
            let path = format!("/{}/terminate", self.plan(n));
            let is_executed = |e: &&Entry| e.executed() && e.target().ends_with(&path);
            let executions = journal.iter().filter(is_executed).count();
            if executions > 1 {
                return Err(format!("call {n}: executed {executions} times"));
            }
        }
        Ok(())
    }
}

impl Wrong {
    fn haunting(self, random: &mut fastrand::Rng) -> Option<Haunting> {
        let Self::TooMany(surplus, moment) = self else { return None };
        let extra = match surplus {
            Surplus::SignedNoContent | Surplus::SignedQueryBody => Extra::Again,
            Surplus::UnsignedTooMany => Extra::Unsigned(429),
            Surplus::UnsignedBadRequest => Extra::Unsigned(400),
        };
        let when = match moment {
            Moment::BeforeTheCall => When::After(Duration::from_millis(1)),
            Moment::Later => When::After(Duration::from_millis(random.u64(1..=20))),
            Moment::InFlight => When::InFlight,
            Moment::InOneSegment => When::InOneSegment,
        };
        Some(Haunting { extra, when })
    }
}

pub(crate) const CALLS: usize = 7;
const BRAND: &str = "1004";
const OTHERS: [What; 4] = [What::Terminate, What::TerminateKeyed, What::Find, What::FindUnseen];

impl What {
    fn terminates(self) -> bool {
        matches!(self, Self::Terminate | Self::TerminateKeyed | Self::TerminateKept)
    }
}

/// Waits for a connection that is opened in advance, with a time limit.
async fn is_spare_ready(client: &TestClient) -> bool {
    let ready = async {
        while client.idle_connections() != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), ready).await.is_ok()
}

async fn call(client: TestClient, what: What, plan: String) -> Result<(), String> {
    const PLANS: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";
    let told = |error: &Error| format!("{} ({})", error.outcome(), chain(error));
    let target = |path: String| Target::new(path).expect("a target");
    match what {
        What::Terminate => {
            let terminated = DeliveryPlans::new(client).terminate(&plan_id(&plan)).await;
            terminated.map(|_| ()).map_err(|error| chain(&error))
        }
        What::TerminateKeyed | What::TerminateKept => {
            let target = target(format!("{PLANS}/{plan}/terminate"));
            let request = Request::post("delivery_plans.terminate", target);
            let request = match what {
                What::TerminateKept => {
                    request.with_replay(Replay::Safe).recognised_by(<[u8]>::is_empty)
                }
                _ => request.with_replay(Replay::Keyed),
            };
            let sent = client.send(request).await;
            sent.map(|_| ()).map_err(|error| told(&error))
        }
        What::Find | What::FindUnseen => {
            let target = target(format!("{PLANS}/{BRAND}/delivery-plans?plan_id={plan}"));
            let mut request = Request::get("delivery_plans.list", target);
            if what == What::Find {
                let plan = plan.clone();
                request = request.recognised_by(move |body| is_plan(body, &plan));
            }
            let response = client.send(request).await.map_err(|error| told(&error))?;
            let body = response.body().body();
            let shown = String::from_utf8_lossy(body);
            if is_plan(body, &plan) { Ok(()) } else { Err(format!("the body of another: {shown}")) }
        }
    }
}

fn is_plan(body: &[u8], plan: &str) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|list| list["plan_list"][0]["plan_id"] == plan)
}
