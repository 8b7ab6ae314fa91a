//! Keys swapped while other threads verify: no verdict is ever wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use wxpay_auth_core::{
    Algorithm, KeyRing, PrivateKey, PublicKey, SignedMessage, Timestamp, Verifier, VerifyError,
    WechatpaySerial,
};

const WECHATPAY_KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");
const DOC_PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechatpay_pub_key_doc.pem");

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
const THREADS: usize = 8;

fn id(n: u8) -> WechatpaySerial {
    WechatpaySerial::new(format!("PUB_KEY_ID_{n}")).unwrap()
}

fn public_key(pem: &str) -> PublicKey {
    PublicKey::from_pem(pem).unwrap()
}

/// Counts the verdicts of one thread.
#[derive(Debug, Default)]
struct Verdicts {
    accepted: u32,
    not_held: u32,
}

/// Verifies valid and invalid signatures of key 1 until `done`, and once more after that, when the key is
/// present.
fn verify_until(done: &AtomicBool, ring: &KeyRing, signature: &[u8]) -> Verdicts {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let serial = id(1);
    let mut verdicts = Verdicts::default();
    loop {
        let last = done.load(Ordering::Acquire);
        let verify = |message: &'static [u8]| {
            let algorithm = Algorithm::Sha256Rsa2048;
            runtime.block_on(
                ring.verify(SignedMessage::new(&serial, algorithm, message, signature, NOW)),
            )
        };
        match verify(b"message") {
            Ok(()) => verdicts.accepted += 1,
            Err(VerifyError::UnknownSerial { .. }) => verdicts.not_held += 1,
            Err(other) => panic!("a right signature: {other:?}"),
        }
        match verify(b"another") {
            Err(VerifyError::Mismatch { .. } | VerifyError::UnknownSerial { .. }) => {}
            other => panic!("a wrong signature: {other:?}"),
        }
        if last {
            return verdicts;
        }
    }
}

/// Stops the threads, also if swapping panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Swaps keys with `swap` while eight threads verify.
fn swap_under_load(swap: impl Fn(&KeyRing)) -> Vec<Verdicts> {
    let ring = KeyRing::with_clock(|| NOW);
    ring.insert_public_key(id(1), public_key(WECHATPAY_PUBLIC_KEY)).unwrap();
    ring.insert_public_key(id(2), public_key(DOC_PUBLIC_KEY)).unwrap();
    let signature = PrivateKey::from_pem(WECHATPAY_KEY).unwrap().sign(b"message").unwrap();
    let done = AtomicBool::new(false);
    let verdicts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| verify_until(&done, &ring.clone(), &signature)))
            .collect();
        let stop = Stop(&done);
        for _ in 0..2_000 {
            swap(&ring);
        }
        drop(stop);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(ring.serials(), [id(2), id(1)]);
    assert_eq!(verdicts.len(), THREADS);
    verdicts
}

#[test]
fn a_key_that_comes_and_goes() {
    let verdicts = swap_under_load(|ring| {
        assert!(ring.remove(&id(1)));
        ring.insert_public_key(id(1), public_key(WECHATPAY_PUBLIC_KEY)).unwrap();
    });
    assert!(verdicts.iter().all(|v| v.accepted > 0), "{verdicts:?}");
}

#[test]
fn a_key_that_stays_is_never_missed() {
    // Other keys are added and removed, one by one and all at once; key 1 is always present.
    let verdicts = swap_under_load(|ring| {
        let next = KeyRing::with_clock(|| NOW);
        next.insert_public_key(id(1), public_key(WECHATPAY_PUBLIC_KEY)).unwrap();
        ring.replace_with(&next);
        ring.insert_public_key(id(2), public_key(DOC_PUBLIC_KEY)).unwrap();
    });
    assert!(verdicts.iter().all(|v| v.accepted > 0 && v.not_held == 0), "{verdicts:?}");
}

#[test]
fn threads_that_add_keys_at_once_lose_none() {
    let ring = KeyRing::with_clock(|| NOW);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ring = ring.clone();
            scope.spawn(move || {
                for n in 0..25 {
                    ring.insert_public_key(id(thread * 25 + n), public_key(DOC_PUBLIC_KEY))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(ring.serials().len(), 200);
}
