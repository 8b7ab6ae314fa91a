//! Third-party clients, the SDK and the floor, by turns against the same server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wxpay_benchmarks::Result;
use wxpay_benchmarks::contender::Variant;
use wxpay_benchmarks::figures::Figures;
use wxpay_benchmarks::percentile::Spread;
use wxpay_benchmarks::signing::Signing;

use crate::measure::contender;
use crate::options::Options;
use crate::program::Program;
use crate::server::{Counts, Load, Server};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
const SETUP_LIMIT: Duration = Duration::from_secs(1800);
const LIMIT: Duration = Duration::from_secs(600);

/// An entry of `peers.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) language: String,
    pub(crate) verifies: bool,
    pub(crate) leaves_out: Vec<String>,
    #[serde(default)]
    pub(crate) setup: Vec<String>,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) folder: Option<PathBuf>,
    #[serde(default)]
    pub(crate) signed_with: SignedWith,
    #[serde(default = "yes")]
    pub(crate) tls: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SignedWith {
    #[default]
    PublicKey,
    Certificate,
}

fn yes() -> bool {
    true
}

/// The result of one client with a number of callers.
#[derive(Debug, Serialize)]
pub(crate) struct Standing {
    pub(crate) peer: Peer,
    pub(crate) callers: usize,
    pub(crate) rounds: Vec<PeerRound>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PeerRound {
    pub(crate) figures: Figures,
    pub(crate) first_ms: Option<f64>,
    pub(crate) server: Counts,
}

impl Standing {
    /// Returns whether it is the floor or the SDK, which have no separate program.
    pub(crate) fn is_ours(&self) -> bool {
        self.peer.command.is_empty()
    }

    pub(crate) fn spread(&self, value: impl Fn(&PeerRound) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value))
    }
}

/// A participant, and how it is started.
enum Entrant {
    Ours(Variant, Signing),
    Theirs(PathBuf),
}

pub(crate) fn peers(
    options: &Options,
    server: &mut Server,
    notes: &mut Vec<String>,
) -> Result<Vec<Standing>> {
    let mut entrants = ours();
    for peer in listed()? {
        match set_up(&peer) {
            Ok(folder) => entrants.push((peer, Entrant::Theirs(folder))),
            Err(e) => notes.push(format!("{} is left out: {e}", peer.name)),
        }
    }
    let (rounds, calls) = if options.quick { (1, 200) } else { (3, 2000) };
    let mut all: Vec<Standing> = Vec::new();
    for callers in [1, 32] {
        let load = Load { calls, callers, warmup: calls / 10 };
        let begin = all.len();
        all.extend(entrants.iter().map(|(peer, _)| Standing {
            peer: peer.clone(),
            callers,
            rounds: Vec::new(),
        }));
        for _ in 0..rounds {
            for (at, (peer, entrant)) in entrants.iter().enumerate() {
                match turn(server, peer, entrant, load) {
                    Ok(round) => all[begin + at].rounds.push(round),
                    Err(e) => notes.push(format!("{}, {callers} callers: {e}", peer.name)),
                }
            }
        }
        eprintln!("peers: {callers} callers");
    }
    all.retain(|result| !result.rounds.is_empty());
    Ok(all)
}

fn turn(server: &mut Server, peer: &Peer, entrant: &Entrant, load: Load) -> Result<PeerRound> {
    let over = if peer.tls { "tls" } else { "plain" };
    let program = match entrant {
        Entrant::Ours(variant, signing) => contender(server, *variant, *signing, over, load)?,
        Entrant::Theirs(folder) => {
            let with_certificate = peer.signed_with == SignedWith::Certificate;
            let environment = server.environment(over, with_certificate, load)?;
            let folder = Some(folder.clone());
            Program { command: peer.command.clone(), folder, ..Program::default() }
                .with(environment)
        }
    };
    server.counts()?;
    let ended = program.run(LIMIT)?;
    Ok(PeerRound { figures: ended.json()?, first_ms: ended.first_ms, server: server.counts()? })
}

fn ours() -> Vec<(Peer, Entrant)> {
    let mut all = Vec::new();
    for signing in [Signing::AwsLcRs, Signing::Ring] {
        for variant in [Variant::Floor, Variant::Sdk] {
            let (name, leaves_out) = match variant {
                Variant::Floor => (format!("the floor, {signing}"), vec!["every check".to_owned()]),
                Variant::Sdk => (format!("this SDK, {signing}"), Vec::new()),
            };
            let peer = Peer {
                name,
                version: String::new(),
                language: "Rust".to_owned(),
                verifies: true,
                leaves_out,
                setup: Vec::new(),
                command: Vec::new(),
                folder: None,
                signed_with: SignedWith::PublicKey,
                tls: true,
            };
            all.push((peer, Entrant::Ours(variant, signing)));
        }
    }
    all
}

fn listed() -> Result<Vec<Peer>> {
    let file = Path::new(FOLDER).join("peers.json");
    if !file.exists() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&std::fs::read_to_string(file)?)
        .map_err(|e| format!("peers.json: {e}").into())
}

/// Builds it, and returns its directory.
fn set_up(peer: &Peer) -> Result<PathBuf> {
    let folder = peer.folder.clone().unwrap_or_else(|| peer.name.clone().into());
    let folder = Path::new(FOLDER).join(folder).canonicalize()?;
    if !peer.setup.is_empty() {
        eprintln!("peers: building {}", peer.name);
        let command = peer.setup.clone();
        Program { command, folder: Some(folder.clone()), ..Program::default() }.run(SETUP_LIMIT)?;
    }
    Ok(folder)
}
