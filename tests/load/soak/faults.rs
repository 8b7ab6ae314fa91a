//! Random faults, all the time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Point, ServerTls, WireServer};
use wxpay_tests::black_hole::BlackHole;
use wxpay_tests::switchboard::Switchboard;

use super::world::{MAIN, STANDBY, World};

/// No server listens there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const IMPOSTOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

type Counts = BTreeMap<&'static str, usize>;

/// Injects faults into both domains until it is stopped.
pub(crate) struct Injector {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Counts>>,
}

impl Injector {
    pub(crate) fn start(world: &World, random: &mut fastrand::Rng) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let [main, standby] = world.servers();
        // The standby domain has fewer faults.
        let tasks = [(MAIN, main, 60), (STANDBY, standby, 250)].map(|(name, server, calm)| {
            let board = world.board.clone();
            let trouble = Trouble { name, server, board, calm, random: random.fork(), hole: None };
            tokio::spawn(trouble.run(Arc::clone(&stop)))
        });
        Self { stop, tasks: tasks.into() }
    }

    /// Stops all faults, and returns their counts.
    pub(crate) async fn stop(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Counts::new();
        for task in self.tasks {
            for (fault, n) in task.await.expect("an injector") {
                *all.entry(fault).or_default() += n;
            }
        }
        all
    }
}

struct Trouble {
    name: &'static str,
    server: Arc<WireServer>,
    board: Switchboard,
    /// Maximum time between two faults in milliseconds.
    calm: u64,
    random: fastrand::Rng,
    /// Kept for a while, so that calls to it time out.
    hole: Option<BlackHole>,
}

impl Trouble {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Counts {
        let mut counts = Counts::new();
        while !stop.load(Ordering::Relaxed) {
            *counts.entry(self.make().await).or_default() += 1;
            let calm = self.random.u64(..=self.calm);
            tokio::time::sleep(Duration::from_millis(calm)).await;
        }
        counts
    }

    async fn make(&mut self) -> &'static str {
        match self.random.u8(..14) {
            0..4 => self.on_the_wire().await,
            4..9 => self.wrong_responses().await,
            9 => self.all_disconnected(),
            10..12 => self.name_leads_nowhere().await,
            12 => self.wrong_certificate().await,
            _ => self.clock_is_off().await,
        }
    }

    async fn on_the_wire(&mut self) -> &'static str {
        let bytes = self.random.usize(1..1000);
        let (name, at) = self.choose(&[
            ("accept", Point::Accept),
            ("handshake", Point::Handshake),
            ("request bytes", Point::RequestBytes(bytes)),
            ("request", Point::Request),
            ("executed", Point::Executed),
            ("response bytes", Point::ResponseBytes(bytes)),
            ("answered", Point::Responded),
        ]);
        let how = self.choose(&[How::Reset, How::Reset, How::Close, How::Close, How::Stall]);
        if self.random.u8(..4) > 0 {
            self.server.fault_once(Fault::new(at, how));
            return name;
        }
        self.server.fault_always(Some(Fault::new(at, how)));
        if matches!(at, Point::Accept | Point::Handshake) {
            // It affects only new connections.
            self.server.disconnect(How::Close);
        }
        self.last().await;
        self.server.fault_always(None);
        name
    }

    async fn wrong_responses(&mut self) -> &'static str {
        let status = |status, signed, executed| {
            let body = ErrorBody::json("TOLD_TO", "told to");
            Misbehaviour::Status { status, body, signed, executed }
        };
        let executed = self.random.bool();
        let (name, wrong) = self.choose(&[
            ("202", Misbehaviour::UnexpectedSuccess { status: 202, body: String::new() }),
            ("302", Misbehaviour::Redirect),
            ("403", status(403, true, false)),
            ("429", status(429, true, false)),
            ("500", status(500, true, executed)),
            ("502", status(502, false, executed)),
            ("503", status(503, false, executed)),
            ("504", status(504, true, executed)),
            ("unsigned", Misbehaviour::Unsigned),
            ("tampered", Misbehaviour::TamperedBody),
            ("wrong serial", Misbehaviour::WrongSerial),
            ("unknown serial", Misbehaviour::UnknownSerial),
            ("malformed", Misbehaviour::MalformedSignature),
            ("header missing", Misbehaviour::MissingHeader("Wechatpay-Nonce")),
            ("stale", Misbehaviour::StaleTimestamp),
            ("future", Misbehaviour::FutureTimestamp),
            ("probe", Misbehaviour::Probe),
            ("oversized", Misbehaviour::Oversized(2 << 20)),
            ("slow", Misbehaviour::Slow(Duration::from_millis(300))),
        ]);
        match self.random.u8(..4) {
            0 => {
                self.server.misbehave(wrong);
                self.last().await;
                self.server.behave();
            }
            _ => self.server.misbehave_times(self.random.usize(1..6), wrong),
        }
        name
    }

    fn all_disconnected(&mut self) -> &'static str {
        let how = self.choose(&[How::Close, How::Reset]);
        self.server.disconnect(how);
        "disconnect"
    }

    async fn name_leads_nowhere(&mut self) -> &'static str {
        let name = self.choose(&["no name", "name stalls", "refused", "black hole", "mute"]);
        let port = self.server.address().port();
        // The previous one has the same address.
        self.hole = None;
        self.hole = match name {
            "black hole" => Some(BlackHole::new(port)),
            "mute" => Some(BlackHole::mute(port)),
            _ => None,
        };
        let to = |address: Ipv4Addr| self.board.connect(self.name, address.into());
        match name {
            "no name" => self.board.disconnect(self.name),
            "name stalls" => self.board.stall(self.name),
            "refused" => to(NOBODY),
            _ => to(BlackHole::ADDRESS),
        }
        self.server.disconnect(How::Close);
        self.last().await;
        self.board.connect(self.name, Ipv4Addr::LOCALHOST.into());
        name
    }

    /// Runs another server at the address, which would execute requests.
    async fn wrong_certificate(&mut self) -> &'static str {
        let tls = self.choose(&[ServerTls::WrongHost, ServerTls::UntrustedCa]);
        let port = self.server.address().port();
        let impostor = WireServer::builder().ip(IMPOSTOR.into()).port(port).tls(tls);
        let impostor = impostor.start().await.expect("the port is free");
        self.board.connect(self.name, IMPOSTOR.into());
        self.server.disconnect(How::Close);
        self.last().await;
        self.board.connect(self.name, Ipv4Addr::LOCALHOST.into());
        // Calls that resolved the address just before may still arrive.
        self.last().await;
        let requests: usize = impostor.requests_per_connection().iter().sum();
        assert_eq!((requests, impostor.journal().len()), (0, 0), "sent to an impostor");
        if impostor.connections() == 0 {
            "wrong certificate, seen by nobody"
        } else {
            "wrong certificate"
        }
    }

    async fn clock_is_off(&mut self) -> &'static str {
        let seconds = self.choose(&[-900, 900]);
        self.server.set_clock_offset(seconds);
        self.last().await;
        self.server.set_clock_offset(0);
        "clock"
    }

    /// Waits for the duration of a fault.
    async fn last(&mut self) {
        let millis = self.random.u64(5..150);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn choose<T: Clone>(&mut self, all: &[T]) -> T {
        self.random.choice(all).cloned().expect("there is a choice")
    }
}
