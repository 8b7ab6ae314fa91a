//! What `Pkcs11Signer` costs beside the bare token, and what it leaves of the runtime.
//!
//! ```sh
//! scripts/with-tokens cargo bench -p wxpay-auth --bench pkcs11 --features pkcs11
//! ```
//!
//! The bare token is as many threads as there are sessions, each of which signs a `DigestInfo` that
//! is ready, and does nothing with the signature. The signer hashes, queues, wakes up, signs, and
//! checks each signature. They take turns; what counts is their ratio. `WXPAY_BENCH_MILLIS` sets how
//! long a turn is, 1000 by default.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use tokio::runtime::{Builder, Runtime};
use wxpay_auth::pkcs11::{Pin, Pkcs11Signer, Pkcs11Uri};
use wxpay_auth::{Certificate, SignErrorKind, Signer};

const CERTIFICATE: &str = include_str!("../testdata/keys/merchant_certificate.pem");
const ROUNDS: usize = 7;

/// A token that `scripts/with-tokens` has prepared.
struct Token {
    name: &'static str,
    module: String,
    label: Option<&'static str>,
    slot_id: Option<u64>,
}

fn tokens() -> Vec<Token> {
    let variable = |name| std::env::var(name).ok();
    let slot_id = variable("WXPAY_TEST_OPENCRYPTOKI_SLOT").and_then(|slot| slot.parse().ok());
    [
        ("SoftHSM", "WXPAY_TEST_SOFTHSM", Some("main"), None),
        ("opencryptoki", "WXPAY_TEST_OPENCRYPTOKI", None, slot_id),
        ("NSS softokn", "WXPAY_TEST_SOFTOKN", Some("NSS Certificate DB"), None),
    ]
    .into_iter()
    .filter_map(|(name, module, label, slot_id)| {
        Some(Token { name, module: variable(module)?, label, slot_id })
    })
    .collect()
}

fn pin() -> String {
    std::env::var("WXPAY_TEST_PIN").expect("scripts/with-tokens sets the PIN")
}

impl Token {
    fn uri(&self) -> Pkcs11Uri {
        let mut uri = Pkcs11Uri::new(&self.module).object("merchant").pin(Pin::new(pin()));
        if let Some(label) = self.label {
            uri = uri.token(label);
        }
        if let Some(slot_id) = self.slot_id {
            uri = uri.slot_id(slot_id);
        }
        uri
    }

    fn bare_sessions(&self, count: usize) -> Vec<(Session, ObjectHandle)> {
        let context = Pkcs11::new(&self.module).expect("a module");
        // The signer may have done it before.
        let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = context.get_slots_with_token().expect("slots");
        let fits = |label| move |info: cryptoki::slot::TokenInfo| info.label() == label;
        let slot = slots.into_iter().find(|slot| match (self.slot_id, self.label) {
            (Some(slot_id), _) => slot.id() == slot_id,
            (None, Some(label)) => context.get_token_info(*slot).is_ok_and(fits(label)),
            (None, None) => true,
        });
        let slot = slot.expect("the token");
        let open = || {
            let session = context.open_ro_session(slot).expect("a session");
            // Somebody in the process may have done it before.
            let _ = session.login(UserType::User, Some(&pin().into()));
            let template = [
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::Label(b"merchant".to_vec()),
            ];
            let key = session.find_objects(&template).expect("objects").first().copied();
            (session, key.expect("the key"))
        };
        (0..count).map(|_| open()).collect()
    }
}

/// Signs with each session on its own thread, and returns the signatures per second.
fn bare(
    sessions: Vec<(Session, ObjectHandle)>,
    turn: Duration,
) -> (f64, Vec<(Session, ObjectHandle)>) {
    let digest_info = [0x5a_u8; 51];
    let start = Instant::now();
    let threads: Vec<_> = sessions
        .into_iter()
        .map(|(session, key)| {
            std::thread::spawn(move || {
                let mut count = 0_u32;
                while start.elapsed() < turn {
                    session.sign(&Mechanism::RsaPkcs, key, &digest_info).expect("a signature");
                    count += 1;
                }
                (count, session, key)
            })
        })
        .collect();
    let (mut total, mut sessions) = (0.0, Vec::new());
    for thread in threads {
        let (count, session, key) = thread.join().expect("an end");
        total += f64::from(count);
        sessions.push((session, key));
    }
    (total / start.elapsed().as_secs_f64(), sessions)
}

async fn sign(signer: &Pkcs11Signer) -> bool {
    match signer.sign(b"POST\n/v3/path\n1554208460\nnonce\n\n").await {
        Ok(_) => true,
        Err(e) if e.kind() == SignErrorKind::Throttled => false,
        Err(e) => panic!("{e}"),
    }
}

/// Signs in many tasks, and returns the signatures per second.
fn signed(runtime: &Runtime, signer: &Pkcs11Signer, callers: usize, turn: Duration) -> f64 {
    runtime.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let signer = signer.clone();
                tokio::spawn(async move {
                    let mut count = 0_u32;
                    while start.elapsed() < turn {
                        count += u32::from(sign(&signer).await);
                    }
                    count
                })
            })
            .collect();
        let mut total = 0.0;
        for task in tasks {
            total += f64::from(task.await.expect("an end"));
        }
        total / start.elapsed().as_secs_f64()
    })
}

fn connect(runtime: &Runtime, token: &Token, sessions: usize) -> Pkcs11Signer {
    let certificate = Certificate::from_pem(CERTIFICATE).expect("a certificate");
    let builder = Pkcs11Signer::builder(token.uri()).certificate(certificate).sessions(sessions);
    let builder = builder.sign_timeout(Duration::from_secs(60));
    runtime.block_on(builder.connect()).expect("a signer")
}

fn throughput(token: &Token, turn: Duration) {
    let runtime = two_threads();
    for sessions in [1, 2, 4, 8] {
        let signer = connect(&runtime, token, sessions);
        let mut bare_sessions = token.bare_sessions(sessions);
        let (mut bare_rates, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (rate, given_back) = bare(bare_sessions, turn);
            bare_sessions = given_back;
            let ours = signed(&runtime, &signer, 4 * sessions, turn);
            bare_rates.push(rate);
            rates.push(ours);
            ratios.push(ours / rate);
        }
        let (low, high) =
            (lowest(&ratios), -lowest(&ratios.iter().map(|r| -r).collect::<Vec<_>>()));
        println!(
            "{:<13} {sessions} sessions   bare {:6.0}/s   signer {:6.0}/s   ratio {:.2} ({low:.2} to {high:.2})",
            token.name,
            median(bare_rates),
            median(rates),
            median(ratios.clone()),
        );
        runtime.block_on(signer.shut_down()).expect("an end");
    }
}

/// Prints by how much a 1 ms timer is late while 64 callers sign.
fn timer(token: &Token, name: &str, runtime: &Runtime, turn: Duration) {
    let signer = connect(runtime, token, 4);
    let done = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (signer, done) = (signer.clone(), Arc::clone(&done));
            runtime.spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    sign(&signer).await;
                }
            })
        })
        .collect();
    let mut late = runtime.block_on(async {
        let (start, mut late) = (Instant::now(), Vec::new());
        while start.elapsed() < 3 * turn {
            let before = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            late.push(before.elapsed().saturating_sub(Duration::from_millis(1)));
        }
        done.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.expect("an end");
        }
        late
    });
    late.sort();
    let at = |percent: usize| late.get((late.len() * percent / 100).min(late.len() - 1));
    let at = |percent| at(percent).copied().unwrap_or_default();
    println!(
        "{:<13} {name:<12} 64 callers, 1 ms timer late by p50 {:.1?}, p99 {:.1?}, worst {:.1?}",
        token.name,
        at(50),
        at(99),
        at(100),
    );
    runtime.block_on(signer.shut_down()).expect("an end");
}

fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let millis = std::env::var("WXPAY_BENCH_MILLIS").ok().and_then(|millis| millis.parse().ok());
    let turn = Duration::from_millis(millis.unwrap_or(if test { 20 } else { 1000 }));
    let tokens = tokens();
    if tokens.is_empty() {
        println!(
            "there is no token: scripts/with-tokens cargo bench -p wxpay-auth --bench pkcs11 \
             --features pkcs11"
        );
        return;
    }
    for token in &tokens {
        throughput(token, turn);
    }
    for token in &tokens {
        timer(token, "two threads", &two_threads(), turn);
        let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
        timer(token, "one thread", &one, turn);
    }
}
