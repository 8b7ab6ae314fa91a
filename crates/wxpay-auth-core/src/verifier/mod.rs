//! The interface to WeChat Pay's keys.

mod error;
mod key_ring;
mod not_ready;
mod notification;
mod response;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::error::VerifyError;
pub use self::key_ring::KeyRing;
pub use self::not_ready::NotReady;
pub use self::notification::{UnverifiedNotification, verify_notification};
pub use self::response::{CLOCK_WINDOW_SECS, Verified, is_signed, verify_response};
use crate::clock::Timestamp;
use crate::signer::Algorithm;
use crate::wechatpay_serial::WechatpaySerial;

/// A signed message of WeChat Pay, parsed and ready to be verified.
#[derive(Clone, Copy)]
pub struct SignedMessage<'a> {
    serial: &'a WechatpaySerial,
    algorithm: Algorithm,
    message: &'a [u8],
    signature: &'a [u8],
    now: Timestamp,
}

impl<'a> SignedMessage<'a> {
    /// Combines the id of the claimed key, the algorithm, the message (not hashed), the raw bytes of the
    /// signature, and the time at which the key must be valid.
    pub fn new(
        serial: &'a WechatpaySerial,
        algorithm: Algorithm,
        message: &'a [u8],
        signature: &'a [u8],
        now: Timestamp,
    ) -> Self {
        Self { serial, algorithm, message, signature, now }
    }

    /// Returns the id of the claimed signing key.
    pub fn serial(&self) -> &'a WechatpaySerial {
        self.serial
    }

    /// Returns the claimed algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the message, which has not been hashed.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// Returns the raw bytes of the signature.
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Returns the time at which the key must be valid.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

impl fmt::Debug for SignedMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedMessage")
            .field("serial", &self.serial)
            .field("algorithm", &self.algorithm)
            .field("message", &format_args!("[{} bytes]", self.message.len()))
            .field("signature", &format_args!("[{} bytes]", self.signature.len()))
            .field("now", &self.now)
            .finish()
    }
}

/// Verifies that WeChat Pay signed a message.
///
/// Most applications use a [`KeyRing`](crate::KeyRing). The trait is object safe, and implemented
/// for `&V`, `Arc<V>` and `Box<V>`.
///
/// What a verifier accepts becomes a [`Verified`](crate::Verified): an implementation that returns
/// `Ok(())` without a check removes all protection.
///
/// # Example
///
/// A verifier that delegates to another one and counts the refused messages:
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use wxpay_auth::{
///     KeyRing, NotReady, SignedMessage, Timestamp, Verifier, VerifyError, WechatpaySerial,
///     async_trait,
/// };
///
/// #[derive(Debug)]
/// struct Counting {
///     ring: KeyRing,
///     refused: AtomicU64,
/// }
///
/// #[async_trait]
/// impl Verifier for Counting {
///     fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
///         self.ring.preferred_serial(now)
///     }
///
///     fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
///         self.ring.readiness(now)
///     }
///
///     async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
///         self.ring.verify(message).await.inspect_err(|_| {
///             self.refused.fetch_add(1, Ordering::Relaxed);
///         })
///     }
/// }
/// # let verifier = Counting { ring: KeyRing::new(), refused: AtomicU64::new(0) };
/// # assert_eq!(verifier.readiness(Timestamp::from_unix_secs(0)), Err(NotReady::NoKey));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Verifier`",
    label = "expected a `KeyRing`, or a verifier of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait Verifier: fmt::Debug + Send + Sync {
    /// Returns the key that the client prefers responses to be signed with. It is sent as the request's
    /// `Wechatpay-Serial`; `None` omits that header.
    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial>;

    /// Returns whether a response could be verified at this time. A client checks this before it signs,
    /// and sends nothing if the response could not be trusted anyway.
    ///
    /// A verifier that delegates to another one returns that one's result. A verifier that always has a key, or
    /// can fetch one, returns `Ok(())`.
    ///
    /// # Errors
    /// [`NotReady`]: no key at all, or only certificates that are not valid now.
    fn readiness(&self, now: Timestamp) -> Result<(), NotReady>;

    /// Verifies the signature with the key named in the message; may fetch that key first.
    ///
    /// # Errors
    /// [`VerifyError`]: [`UnknownSerial`](VerifyError::UnknownSerial),
    /// [`KeyNotValid`](VerifyError::KeyNotValid),
    /// [`UnsupportedAlgorithm`](VerifyError::UnsupportedAlgorithm),
    /// [`Mismatch`](VerifyError::Mismatch), or [`Unavailable`](VerifyError::Unavailable) if the key
    /// could not be fetched.
    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError>;
}

macro_rules! forward {
    ($($wrapper:ty),*) => {$(
        #[async_trait]
        impl<V: Verifier + ?Sized> Verifier for $wrapper {
            fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
                (**self).preferred_serial(now)
            }

            fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
                (**self).readiness(now)
            }

            async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
                (**self).verify(message).await
            }
        }
    )*};
}

forward!(&V, Arc<V>, Box<V>);
