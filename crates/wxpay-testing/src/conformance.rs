//! Requirements on every signer, wherever its key is kept.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use wxpay_auth_core::{
    Algorithm, PrivateKey, PublicKey, SerialNo, SignError, SignErrorKind, Signature, Signer,
};

/// Checks a signer. Run it on your own [`Signer`] before you trust it with money.
///
/// It signs messages of many lengths, many at once, gives up on many half-way, and checks each
/// signature: its serial, its length, whether it verifies, and whether the same message gives the
/// same bytes again. Needs a Tokio runtime with timers.
///
/// ```
/// use std::sync::Arc;
/// use wxpay_testing::{Gateway, SignerConformance};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::start().await;
/// let signer = gateway.signer();
///
/// SignerConformance::new(signer.key().public_key().clone(), gateway.serial_no())
///     .check(Arc::new(signer))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SignerConformance {
    public_key: PublicKey,
    serial_no: SerialNo,
    reference: Option<PrivateKey>,
    callers: usize,
    limit: Duration,
}

/// Around the block boundaries of SHA-256, the limits of key services, and large.
const LENGTHS: [usize; 15] =
    [0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 4095, 4096, 4097, 65_536, 1 << 20];

/// Longer than any signature should take.
const LIMIT: Duration = Duration::from_secs(60);

impl SignerConformance {
    /// Creates a check with the expected public key and serial.
    pub fn new(public_key: PublicKey, serial_no: SerialNo) -> Self {
        Self { public_key, serial_no, reference: None, callers: 64, limit: LIMIT }
    }

    /// Compares each signature byte for byte with one by the same key in this process. PKCS#1 v1.5 is
    /// deterministic: they must be equal.
    #[must_use]
    pub fn reference(mut self, key: PrivateKey) -> Self {
        self.reference = Some(key);
        self
    }

    /// Sets how many callers sign at once. The default is 64; a throttled signer may need fewer.
    #[must_use]
    pub fn callers(mut self, callers: usize) -> Self {
        self.callers = callers;
        self
    }

    /// Sets how long to wait for a signature before the signer counts as hanging. The default is 60 s. When
    /// many sign at once, each signature that arrives restarts the wait.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Checks a signer.
    ///
    /// # Errors
    /// [`Nonconformance`]: the first fault found.
    pub async fn check(&self, signer: Arc<dyn Signer>) -> Result<(), Nonconformance> {
        if signer.algorithm() != Algorithm::Sha256Rsa2048 {
            return Err(Nonconformance::Algorithm { found: signer.algorithm() });
        }
        self.look_at_next_serial_no(&signer)?;
        for length in LENGTHS {
            let message: Vec<u8> = (0..=250).cycle().take(length).collect();
            for _ in 0..2 {
                self.look_at(&message, &self.sign(&signer, &message).await?)?;
            }
        }
        self.sign_at_once(&signer).await?;
        self.give_up(&signer).await?;
        self.sign_at_once(&signer).await?;
        self.look_at_next_serial_no(&signer)
    }

    /// Checks how a signer fails that cannot sign at the moment, for example because its token is away.
    /// Each call, alone and among many, must end in an error of this kind, whose texts have one line each
    /// and show none of the secrets (a PIN, a token of a key service).
    ///
    /// # Errors
    /// [`Nonconformance`]: the first fault found.
    pub async fn check_failing(
        &self,
        signer: Arc<dyn Signer>,
        kind: SignErrorKind,
        secrets: &[&str],
    ) -> Result<(), Nonconformance> {
        let mut ended = Vec::new();
        for callers in [1, self.callers] {
            let mut signing = JoinSet::new();
            for caller in 0..callers {
                let signer = Arc::clone(&signer);
                let message = format!("caller {caller}");
                signing.spawn(async move { signer.sign(message.as_bytes()).await });
            }
            while let Some(signed) = self.next(&mut signing).await? {
                ended.push(signed);
            }
        }
        for signed in ended {
            let Err(error) = signed else { return Err(Nonconformance::Signed { expected: kind }) };
            look_at_error(&error, secrets)?;
            if error.kind() != kind {
                let found = error.kind();
                return Err(Nonconformance::Kind { expected: kind, found, error });
            }
        }
        Ok(())
    }

    /// Signs within the limit.
    async fn sign(
        &self,
        signer: &Arc<dyn Signer>,
        message: &[u8],
    ) -> Result<Signature, Nonconformance> {
        // On its own task, to tell a panic of the signer from one of this check.
        let mut signing = JoinSet::new();
        let (signer, message) = (Arc::clone(signer), message.to_vec());
        signing.spawn(async move { signer.sign(&message).await });
        Ok(self.next(&mut signing).await?.ok_or(Nonconformance::Panicked)??)
    }

    /// Waits for the next task to end; `None` if there are none left.
    async fn next<T: 'static>(&self, tasks: &mut JoinSet<T>) -> Result<Option<T>, Nonconformance> {
        let ended = tokio::time::timeout(self.limit, tasks.join_next()).await;
        let ended = ended.map_err(|_| Nonconformance::Hangs { limit: self.limit })?;
        ended.transpose().map_err(|_| Nonconformance::Panicked)
    }

    /// Checks the serial that a signer announces, if it announces one.
    fn look_at_next_serial_no(&self, signer: &Arc<dyn Signer>) -> Result<(), Nonconformance> {
        match signer.next_serial_no() {
            Some(found) if found != self.serial_no => {
                Err(Nonconformance::NextSerialNo { expected: self.serial_no.clone(), found })
            }
            _ => Ok(()),
        }
    }

    /// Checks one signature.
    fn look_at(&self, message: &[u8], signature: &Signature) -> Result<(), Nonconformance> {
        let (length, bytes) = (message.len(), signature.as_bytes());
        if signature.serial_no() != &self.serial_no {
            let found = signature.serial_no().clone();
            return Err(Nonconformance::SerialNo { expected: self.serial_no.clone(), found });
        }
        if !Algorithm::Sha256Rsa2048.signature_len().contains(&bytes.len()) {
            return Err(Nonconformance::Length { found: bytes.len() });
        }
        if !self.public_key.verifies(message, bytes) {
            return Err(Nonconformance::DoesNotVerify { length });
        }
        match &self.reference {
            Some(key) if key.sign(message)? != bytes => Err(Nonconformance::Differs { length }),
            _ => Ok(()),
        }
    }

    /// Lets many callers sign different messages at once: each must get its own signature.
    async fn sign_at_once(&self, signer: &Arc<dyn Signer>) -> Result<(), Nonconformance> {
        let mut signing = JoinSet::new();
        for caller in 0..self.callers {
            let (signer, message) = (Arc::clone(signer), format!("caller {caller}"));
            signing.spawn(async move {
                let signature = signer.sign(message.as_bytes()).await;
                (message, signature)
            });
        }
        while let Some((message, signature)) = self.next(&mut signing).await? {
            self.look_at(message.as_bytes(), &signature?)?;
        }
        Ok(())
    }

    /// Lets callers give up at many points, before and after the signer has begun.
    async fn give_up(&self, signer: &Arc<dyn Signer>) -> Result<(), Nonconformance> {
        let mut signing = JoinSet::new();
        for caller in 0..self.callers {
            let signer = Arc::clone(signer);
            let patience = Duration::from_micros(50 * caller as u64);
            signing.spawn(async move {
                let signing = signer.sign(b"given up");
                // Either result is fine.
                let _ = tokio::time::timeout(patience, signing).await;
            });
        }
        while self.next(&mut signing).await?.is_some() {}
        Ok(())
    }
}

/// Checks the texts of an error and its sources.
fn look_at_error(error: &SignError, secrets: &[&str]) -> Result<(), Nonconformance> {
    let chain = std::iter::successors(Some(error as &dyn StdError), |&e| e.source());
    for (depth, error) in chain.enumerate() {
        let (display, debug) = (error.to_string(), format!("{error:?}"));
        if secrets.iter().any(|secret| display.contains(secret) || debug.contains(secret)) {
            return Err(Nonconformance::Leak { depth });
        }
        if display.trim().is_empty() || display.contains('\n') {
            return Err(Nonconformance::Text { depth });
        }
    }
    Ok(())
}

/// How a signer does not conform.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Nonconformance {
    /// Its algorithm is not the one this check is for.
    #[error("the signer's algorithm is {found}, this check is for WECHATPAY2-SHA256-RSA2048")]
    #[non_exhaustive]
    Algorithm {
        /// Its algorithm.
        found: Algorithm,
    },
    /// Signing failed.
    #[error("the signer did not sign")]
    Sign(#[from] SignError),
    /// It panicked.
    #[error("the signer panicked")]
    Panicked,
    /// It did not respond in time.
    #[error("the signer did not respond within {} ms", limit.as_millis())]
    #[non_exhaustive]
    Hangs {
        /// The time limit.
        limit: Duration,
    },
    /// Its signature has another serial.
    #[error("the signature has the serial {found}, {expected} was expected")]
    #[non_exhaustive]
    SerialNo {
        /// The expected serial.
        expected: SerialNo,
        /// Its serial.
        found: SerialNo,
    },
    /// It announces another serial for its next signature.
    #[error("the next signature would have the serial {found}, {expected} was expected")]
    #[non_exhaustive]
    NextSerialNo {
        /// The expected serial.
        expected: SerialNo,
        /// The announced serial.
        found: SerialNo,
    },
    /// Its signature does not have 256 bytes.
    #[error("the signature has {found} bytes, 256 were expected (a short one is padded in front)")]
    #[non_exhaustive]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// Its signature does not verify.
    #[error(
        "the signature of a message of {length} bytes does not verify: another key, another padding \
         (PSS), a message that was hashed twice, or the response to another caller"
    )]
    #[non_exhaustive]
    DoesNotVerify {
        /// The length of the message in bytes.
        length: usize,
    },
    /// Its signature differs from one by the same key in this process.
    #[error("the signature of a message of {length} bytes differs from the reference")]
    #[non_exhaustive]
    Differs {
        /// The length of the message in bytes.
        length: usize,
    },
    /// It signed although an error was expected.
    #[error("the signer signed, but an error of kind \"{expected}\" was expected")]
    #[non_exhaustive]
    Signed {
        /// The expected kind of error.
        expected: SignErrorKind,
    },
    /// It failed with an error of another kind.
    #[error("the error is of kind \"{found}\", \"{expected}\" was expected")]
    #[non_exhaustive]
    Kind {
        /// The expected kind.
        expected: SignErrorKind,
        /// The kind of the error.
        found: SignErrorKind,
        /// The error.
        #[source]
        error: SignError,
    },
    /// An error shows a secret, which is not quoted here.
    #[error("the error, or one of its sources (number {depth} in the chain), shows a secret")]
    #[non_exhaustive]
    Leak {
        /// The depth in the chain of sources: 0 for the error itself.
        depth: usize,
    },
    /// The text of an error is empty, or has more than one line.
    #[error("the text of the error, or of one of its sources (number {depth}), is not one line")]
    #[non_exhaustive]
    Text {
        /// The depth in the chain of sources: 0 for the error itself.
        depth: usize,
    },
}
