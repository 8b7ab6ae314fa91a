//! The conformance check finds faults in signers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use wxpay_auth::{
    Algorithm, FileKeySigner, PrivateKey, SerialNo, SignError, SignErrorKind, Signature, Signer,
    async_trait,
};
use wxpay_testing::{Gateway, Nonconformance, SignerConformance};

const OTHER_KEY: &str = include_str!("../../testdata/platform_private_key.pem");

/// What a signer does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Algorithm,
    Serial,
    /// Announces a serial that it does not sign with.
    NextSerial,
    OtherKey,
    Short,
    HashedTwice,
    /// Returns the signature of another caller.
    MixedUp,
    /// Stays locked when a caller gives up.
    StaysLocked,
    /// Panics while many callers sign.
    Panics,
    PanicsAlone,
    /// Panics while callers give up.
    PanicsGivenUp,
    Hangs,
    /// Hangs while many callers sign.
    HangsOnce,
}

#[derive(Debug)]
struct WrongSigner {
    right: FileKeySigner,
    wrong: Wrong,
    last: Mutex<Vec<u8>>,
    abandoned: AtomicU32,
}

/// Counts callers that gave up.
struct Abandoned<'a>(&'a AtomicU32, bool);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Signer for WrongSigner {
    fn algorithm(&self) -> Algorithm {
        match self.wrong {
            Wrong::Algorithm => Algorithm::Sm2WithSm3,
            _ => Algorithm::Sha256Rsa2048,
        }
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        match self.wrong {
            Wrong::NextSerial => Some("408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse().unwrap()),
            _ => self.right.next_serial_no(),
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let mut right = Abandoned(&self.abandoned, false);
        let signature = match self.wrong {
            Wrong::HashedTwice => self.right.sign(&[message, b"again"].concat()).await?,
            Wrong::MixedUp => {
                *self.last.lock().await = message.to_vec();
                tokio::task::yield_now().await;
                let last = self.last.lock().await.clone();
                self.right.sign(&last).await?
            }
            Wrong::StaysLocked => {
                tokio::time::sleep(Duration::from_micros(500)).await;
                if self.abandoned.load(Ordering::Relaxed) > 0 {
                    return Err(SignError::new(SignErrorKind::SessionLost, "a session was lost"));
                }
                self.right.sign(message).await?
            }
            Wrong::Panics if message.starts_with(b"caller") => panic!("on purpose"),
            Wrong::PanicsAlone => panic!("on purpose"),
            Wrong::PanicsGivenUp if message == b"given up" => panic!("on purpose"),
            Wrong::Hangs => std::future::pending().await,
            Wrong::HangsOnce if message == b"caller 7" => std::future::pending().await,
            _ => self.right.sign(message).await?,
        };
        right.1 = true;
        let other: SerialNo = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse().unwrap();
        Ok(match self.wrong {
            Wrong::Serial => Signature::new(other, signature.as_bytes().to_vec()),
            Wrong::Short => {
                let (_, short) = signature.as_bytes().split_first().unwrap();
                Signature::new(signature.serial_no().clone(), short.to_vec())
            }
            Wrong::OtherKey => {
                let bytes = PrivateKey::from_pem(OTHER_KEY).unwrap().sign(message)?;
                Signature::new(signature.serial_no().clone(), bytes)
            }
            _ => signature,
        })
    }
}

async fn check(wrong: Wrong) -> Nonconformance {
    let gateway = Gateway::start().await;
    let right = gateway.signer();
    let conformance =
        SignerConformance::new(right.key().public_key().clone(), gateway.serial_no()).callers(16);
    let conformance = match wrong {
        Wrong::Hangs | Wrong::HangsOnce => conformance.limit(Duration::from_millis(100)),
        _ => conformance,
    };
    let (last, abandoned) = (Mutex::default(), AtomicU32::new(0));
    let signer = WrongSigner { right, wrong, last, abandoned };
    conformance.check(Arc::new(signer)).await.expect_err("it does not conform")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_signer_conforms() {
    let gateway = Gateway::start().await;
    let key = || PrivateKey::from_pem(gateway.merchant_key_pem()).unwrap();
    SignerConformance::new(key().public_key().clone(), gateway.serial_no())
        .reference(key())
        .check(Arc::new(gateway.signer()))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let error = check(Wrong::Algorithm).await;
    assert!(matches!(error, Nonconformance::Algorithm { .. }), "{error:?}");
    let error = check(Wrong::Serial).await;
    assert!(matches!(error, Nonconformance::SerialNo { .. }), "{error:?}");
    let error = check(Wrong::NextSerial).await;
    assert!(matches!(error, Nonconformance::NextSerialNo { .. }), "{error:?}");
    let error = check(Wrong::Short).await;
    assert!(matches!(error, Nonconformance::Length { found: 255, .. }), "{error:?}");
    for wrong in [Wrong::OtherKey, Wrong::HashedTwice, Wrong::MixedUp] {
        let error = check(wrong).await;
        assert!(matches!(error, Nonconformance::DoesNotVerify { .. }), "{wrong:?}: {error:?}");
    }
    let error = check(Wrong::StaysLocked).await;
    assert!(matches!(error, Nonconformance::Sign(_)), "{error:?}");
    for wrong in [Wrong::Panics, Wrong::PanicsAlone, Wrong::PanicsGivenUp] {
        let error = check(wrong).await;
        assert!(matches!(error, Nonconformance::Panicked), "{wrong:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_signer_that_hangs_does_not_hang_the_check() {
    // If the rest takes as long, it ends in the same error.
    for wrong in [Wrong::Hangs, Wrong::HangsOnce] {
        let error = check(wrong).await;
        assert!(matches!(error, Nonconformance::Hangs { .. }), "{wrong:?}: {error:?}");
    }
}

#[tokio::test]
async fn another_reference_is_noticed() {
    let gateway = Gateway::start().await;
    let signer = gateway.signer();
    let error = SignerConformance::new(signer.key().public_key().clone(), gateway.serial_no())
        .reference(PrivateKey::from_pem(OTHER_KEY).unwrap())
        .check(Arc::new(signer))
        .await
        .unwrap_err();
    assert!(matches!(error, Nonconformance::Differs { length: 0, .. }), "{error:?}");
}

/// Fails as specified.
#[derive(Debug)]
struct Failing(fn() -> Result<Signature, SignError>);

#[async_trait]
impl Signer for Failing {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    async fn sign(&self, _message: &[u8]) -> Result<Signature, SignError> {
        (self.0)()
    }
}

async fn check_failing(fail: fn() -> Result<Signature, SignError>) -> Result<(), Nonconformance> {
    let key = PrivateKey::from_pem(OTHER_KEY).unwrap();
    SignerConformance::new(key.public_key().clone(), SerialNo::uncertified())
        .callers(4)
        .check_failing(Arc::new(Failing(fail)), SignErrorKind::Unavailable, &["s3cret"])
        .await
}

fn away() -> SignError {
    SignError::new(SignErrorKind::Unavailable, "the token is away")
}

#[tokio::test]
async fn how_a_signer_fails_is_checked() {
    check_failing(|| Err(away())).await.unwrap();
    check_failing(|| Err(away().with_source("no route"))).await.unwrap();

    let signed = check_failing(|| Ok(Signature::new(SerialNo::uncertified(), vec![0; 256]))).await;
    assert!(matches!(signed, Err(Nonconformance::Signed { .. })), "{signed:?}");
    let kind = check_failing(|| Err(SignError::new(SignErrorKind::Other, "what?"))).await;
    let found = SignErrorKind::Other;
    assert!(matches!(kind, Err(Nonconformance::Kind { found: f, .. }) if f == found), "{kind:?}");
    let leak = check_failing(|| Err(away().with_source("login with s3cret failed"))).await;
    assert!(matches!(leak, Err(Nonconformance::Leak { .. })), "{leak:?}");
    let text = check_failing(|| Err(away().with_source("two\nlines"))).await;
    assert!(matches!(text, Err(Nonconformance::Text { depth: 1, .. })), "{text:?}");
    let panicked = check_failing(|| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(Nonconformance::Panicked)), "{panicked:?}");
}
