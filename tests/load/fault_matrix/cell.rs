//! One cell: two domains, one fault, one call.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use wxpay_auth::{FileKeySigner, KeyRing};
use wxpay_testing::{
    Entry, How, Refusal, ServerTls, Verdict, WechatPay, WireServer, client_config,
};
use wxpay_tests::black_hole::BlackHole;
use wxpay_tests::chain;
use wxpay_tests::switchboard::Switchboard;
use wxpay_transport::{
    Backoff, BaseUrl, Client, Error, Failover, Outcome, Proxy, Replay, Request, Response, Target,
    Transport,
};

use super::fault::{Fault, MAX_RESPONSE_BYTES, What};

/// The domain or domains with the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Main,
    Standby,
    Both,
}

/// The connections that exist before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// None.
    Fresh,
    /// One to the main domain.
    Kept,
    /// One to the main domain, which the server closes at that moment.
    Closing,
}

#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) fault: Fault,
    pub(crate) place: Place,
    pub(crate) replay: Replay,
    pub(crate) connection: Connection,
}

/// The result for the caller, and what the servers recorded.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) end: &'static str,
    pub(crate) delivery: String,
    pub(crate) executions: usize,
    /// Requests that were executed, or got a success response if there is nothing to execute.
    pub(crate) carried_out: usize,
    /// Requests that were read completely and did not get WeChat Pay's own 429.
    pub(crate) arrived: usize,
    /// Requests that were refused because their nonce was used before.
    pub(crate) replayed: usize,
    pub(crate) names_a_host: bool,
    #[expect(dead_code, reason = "shown when a cell is wrong")]
    told: String,
}

pub(crate) const MAIN: &str = "localhost";
const STANDBY: &str = "gateway.example";
pub(crate) const PLAN: &str = "12000";
pub(crate) const BRAND: &str = "1004";

impl Cell {
    /// Runs the cell. The setup waits for a permit, since it uses CPU time even if the call mostly waits.
    pub(crate) async fn run(&self, turns: &Semaphore) -> Report {
        let turn = turns.acquire().await.expect("it is not closed");
        // The switchboard resolves the names.
        let board = Switchboard::default();
        let is_at = |place| self.place == place || self.place == Place::Both;
        let mut main = Side::start(MAIN, &self.fault, is_at(Place::Main)).await;
        let mut standby = Side::start(STANDBY, &self.fault, is_at(Place::Standby)).await;
        let client = self.client(&main, &standby, &board);
        if self.connection != Connection::Fresh {
            board.connect(MAIN, Ipv4Addr::LOCALHOST.into());
            warm_up(&client).await;
        }
        let before = main.seen();
        if self.connection == Connection::Closing {
            main.server().disconnect(How::Close);
        }
        for side in [&mut main, &mut standby] {
            side.begin(&board).await;
        }
        drop(turn);

        let request = match self.replay {
            Replay::Safe => list(),
            replay => terminate().with_replay(replay),
        };
        let whole = tokio::time::timeout(Duration::from_secs(60), client.send(request));
        let ended = whole.await.expect("no call hangs");
        // Requests still in flight when the call ends are counted.
        drop(client);
        for side in [&main, &standby] {
            side.settled().await;
        }
        let (main, standby) = (main.seen().since(&before), standby.seen());
        report(&ended, &main, &standby, &self.fault.what)
    }

    /// Returns how the call must end if that is certain; otherwise `None`.
    pub(crate) fn expectation(&self) -> Option<&'static str> {
        let Fault { what, once } = &self.fault;
        if self.connection == Connection::Closing {
            // What the client sees depends on a race.
            return None;
        }
        if self.place == Place::Standby {
            return Some("success");
        }
        if let What::Refusal(refusal) = what {
            return Some(if refusal.is_believed() { "rejected" } else { "unknown" });
        }
        if !what.hinders_connecting() {
            return None;
        }
        // Only the query recognises its response, so only it is sent on a kept connection.
        let connection = match self.replay {
            Replay::Safe => self.connection,
            _ => Connection::Fresh,
        };
        match (connection, self.place) {
            // Stopping the server closed the kept connection.
            (Connection::Kept, _) if matches!(what, What::Refused) => None,
            (Connection::Kept, _) => Some("success"),
            // On a busy machine the other domain may be too slow for these short timeouts.
            (Connection::Fresh, Place::Main) if what.stalls() => None,
            (Connection::Fresh, Place::Main) => Some("success"),
            (Connection::Fresh, Place::Both) if !once => Some("not_sent"),
            _ => None,
        }
    }

    /// Returns whether the call must succeed, because it may be repeated and the standby domain works: the
    /// purpose of failover.
    pub(crate) fn must_succeed(&self) -> bool {
        self.replay != Replay::Never
            && self.place == Place::Main
            && self.connection == Connection::Fresh
            && self.fault.is_mended_by_moving()
    }

    fn client(
        &self,
        main: &Side,
        standby: &Side,
        board: &Switchboard,
    ) -> Client<FileKeySigner, KeyRing> {
        // Only stalling faults need short timeouts.
        let [connect, attempt, call] =
            if self.fault.what.stalls() { [1000, 1500, 6000] } else { [20_000, 20_000, 50_000] };
        let wechat_pay = &main.seen;
        Client::builder(wechat_pay.mchid(), wechat_pay.signer(), wechat_pay.key_ring())
            .base_url(main.url())
            .failover(Failover::to(standby.url()))
            .resolver(board.clone())
            .retry(Backoff::new().first(Duration::from_millis(5)))
            .connect_timeout(Duration::from_millis(connect))
            .attempt_timeout(Duration::from_millis(attempt))
            .call_timeout(Duration::from_millis(call))
            .max_response_bytes(MAX_RESPONSE_BYTES)
            .proxy(Proxy::none())
            .tls(client_config())
            .build()
            .expect("a client")
    }
}

/// One domain.
pub(crate) struct Side {
    name: &'static str,
    server: Option<WireServer>,
    port: u16,
    fault: Option<Fault>,
    black_hole: Option<BlackHole>,
    seen: Arc<WechatPay>,
}

/// What a domain has received.
#[derive(Debug, Default)]
struct Seen {
    entries: Vec<Entry>,
    /// Requests that were read completely.
    read: usize,
}

impl Side {
    pub(crate) async fn start(name: &'static str, fault: &Fault, has_fault: bool) -> Self {
        let fault = has_fault.then(|| fault.clone());
        let tls = match &fault {
            Some(Fault { what: What::WrongCertificate, .. }) => ServerTls::WrongHost,
            _ => ServerTls::Good,
        };
        let server = WireServer::start_tls(tls).await;
        let (port, seen) = (server.address().port(), Arc::clone(server.wechat_pay()));
        Self { name, server: Some(server), port, fault, black_hole: None, seen }
    }

    fn server(&self) -> &WireServer {
        self.server.as_ref().expect("it has not been stopped")
    }

    pub(crate) fn url(&self) -> BaseUrl {
        BaseUrl::new(format!("https://{}:{}", self.name, self.port)).unwrap()
    }

    /// Returns what it keeps.
    pub(crate) fn wechat_pay(&self) -> &Arc<WechatPay> {
        &self.seen
    }

    /// Starts the fault.
    pub(crate) async fn begin(&mut self, board: &Switchboard) {
        board.connect(self.name, Ipv4Addr::LOCALHOST.into());
        let Some(Fault { what, once }) = self.fault.clone() else { return };
        match what {
            What::NoName => board.disconnect(self.name),
            What::NameStalls => board.stall(self.name),
            What::Refused => self.stop().await,
            What::BlackHole => {
                self.black_hole = Some(BlackHole::new(self.port));
                board.connect(self.name, BlackHole::ADDRESS.into());
            }
            // Present from the start.
            What::WrongCertificate => {}
            What::Wire(at, how) => {
                let fault = wxpay_testing::Fault::new(at, how);
                match once {
                    true => self.server().fault_once(fault),
                    false => self.server().fault_always(Some(fault)),
                }
            }
            What::Response(misbehaviour) => match once {
                true => self.seen.misbehave_once(misbehaviour),
                false => self.seen.misbehave(misbehaviour),
            },
            What::Refusal(refusal) if once => {
                self.seen.misbehave_once(refusal.misbehaviour());
                refusal.cut().into_iter().for_each(|cut| self.server().fault_once(cut));
            }
            What::Refusal(refusal) => {
                self.seen.misbehave(refusal.misbehaviour());
                self.server().fault_always(refusal.cut());
            }
            What::Clock(seconds) => self.seen.set_clock_offset(seconds),
        }
    }

    /// Stops the server; its connections end with it.
    async fn stop(&mut self) {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        drop(self.server.take());
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no more requests arrive.
    pub(crate) async fn settled(&self) {
        let Some(server) = &self.server else { return };
        let settled = tokio::time::timeout(Duration::from_secs(60), server.settled());
        settled.await.expect("connections end with their client");
    }

    fn seen(&self) -> Seen {
        let entries = self.seen.journal();
        let read = self.server.as_ref().map(|server| server.requests_per_connection().iter().sum());
        Seen { read: read.unwrap_or(entries.len()), entries }
    }
}

impl Seen {
    fn since(mut self, before: &Self) -> Self {
        self.entries.drain(..before.entries.len());
        self.read = self.read.saturating_sub(before.read);
        self
    }
}

/// Makes a call that succeeds, since there is no fault yet; on a busy machine it may take several tries.
async fn warm_up(client: &Client<FileKeySigner, KeyRing>) {
    let succeeds = async { while client.send(list()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), succeeds).await.expect("there is no fault yet");
}

fn list() -> Request {
    let path = format!(
        "/v3/marketing/partner/delivery-plan/delivery-plans/{BRAND}/delivery-plans?plan_id={PLAN}"
    );
    let target = Target::new(path).expect("a target");
    Request::get("delivery_plans.list", target).recognised_by(|body| body.starts_with(b"{"))
}

fn terminate() -> Request {
    let path = format!("/v3/marketing/partner/delivery-plan/delivery-plans/{PLAN}/terminate");
    Request::post("delivery_plans.terminate", Target::new(path).expect("a target"))
}

fn report(ended: &Result<Response, Error>, main: &Seen, standby: &Seen, what: &What) -> Report {
    let entries = || main.entries.iter().chain(&standby.entries);
    // Only WeChat Pay's own 429 means that the request was not accepted.
    let is_throttling = match what {
        What::Refusal(refusal) => refusal.is_throttling() && refusal.is_believed(),
        _ => true,
    };
    let throttled = entries().filter(|entry| is_throttling && entry.status() == 429).count();
    let is_read_well = |entry: &&Entry| entry.method() == "GET" && entry.status() == 200;
    let executions = entries().filter(|entry| entry.executed()).count();
    let host = match ended {
        Ok(response) => Some(response.host()),
        Err(error) => error.host(),
    };
    Report {
        end: match ended {
            Ok(response) if response.status() == 202 => "accepted",
            Ok(_) => "success",
            Err(error) => match error.outcome() {
                Outcome::Rejected => "rejected",
                Outcome::NotSent => "not_sent",
                _ => "unknown",
            },
        },
        delivery: ended.as_ref().map_or_else(|e| e.delivery().to_string(), |_| String::new()),
        executions,
        carried_out: executions + entries().filter(is_read_well).count(),
        arrived: (main.read + standby.read).saturating_sub(throttled),
        replayed: entries()
            .filter(|entry| *entry.verdict() == Verdict::Refused(Refusal::Replay))
            .count(),
        names_a_host: host.is_some_and(|h| h.starts_with(MAIN) || h.starts_with(STANDBY)),
        told: ended.as_ref().map_or_else(|e| chain(e), |response| response.status().to_string()),
    }
}
