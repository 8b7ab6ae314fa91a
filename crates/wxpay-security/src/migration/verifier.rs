//! A verifier that asks for one kind of key, accepts both, and counts.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth::{
    KeyRing, NotReady, SignedMessage, Timestamp, Verifier, VerifyError, WechatpaySerial,
};
use wxpay_auth_core::internal::Spread;

use crate::migration::counts::{Counters, VerificationCounts};
use crate::migration::preference::SerialPreference;

/// Moves a client from platform certificates to the WeChat Pay public key, step by step, and back at any time.
///
/// It delegates to another verifier, which accepts the keys of both kinds that it holds. What it decides is which kind
/// the requests ask for, and it counts whose signatures arrive. Clones share the preference and the counts, so an
/// application keeps one to change it, and gives others to its client and to what receives notifications.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012925289>
///
/// ```
/// use wxpay_auth::Share;
/// use wxpay_security::{MigrationVerifier, SerialPreference};
/// use wxpay_testing::{Gateway, SignWith};
/// use wxpay_transport::{BaseUrl, Client, Request, Target, Transport};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::start().await;
/// gateway.sign_with(SignWith::AsRequested);
///
/// let ring = gateway.key_ring(); // of both kinds
/// let verifier = MigrationVerifier::new(ring.clone(), ring);
/// let client = Client::builder(gateway.mchid(), gateway.signer(), verifier.clone())
///     .base_url(BaseUrl::new(gateway.base_url())?)
///     .build()?;
/// verifier.prefer(SerialPreference::PublicKeyShare(Share::new(0.5)?));
/// # for _ in 0..20 {
/// # let plans = "/v3/marketing/partner/delivery-plan/delivery-plans/1004/delivery-plans";
/// client.send(Request::get("delivery_plans.list", Target::new(plans)?)).await?;
/// # }
///
/// let counts = verifier.counts();
/// println!("{} by the public key, {} by certificates", counts.by_public_keys(), counts.by_certificates());
/// # assert!(counts.by_public_keys() > 5 && counts.by_certificates() > 5, "{counts:?}");
/// verifier.prefer(SerialPreference::Certificate); // back
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MigrationVerifier<V> {
    verifier: V,
    ring: KeyRing,
    shared: Arc<Shared>,
}

struct Shared {
    spread: Spread,
    counters: Counters,
}

impl<V: Verifier> MigrationVerifier<V> {
    /// Creates it for a verifier and the key ring that it verifies with. At first it asks for platform certificates.
    pub fn new(verifier: V, ring: KeyRing) -> Self {
        let spread = Spread::new(SerialPreference::Certificate.public_key_share());
        let shared = Arc::new(Shared { spread, counters: Counters::default() });
        Self { verifier, ring, shared }
    }

    /// Sets which kind of key the requests ask for from now on.
    pub fn prefer(&self, preference: SerialPreference) {
        self.shared.spread.set(preference.public_key_share());
    }

    /// Returns which kind of key the requests ask for.
    pub fn preference(&self) -> SerialPreference {
        SerialPreference::of_share(self.shared.spread.share())
    }

    /// Returns an encryptor for sensitive fields (敏感信息) with a key of the kind that the preference asks for now, or of
    /// the other kind if there is none; the certificate is the valid one with the latest effective time.
    ///
    /// Take a new one for each request instead of [`KeyRing::field_encryptor`], which takes the public key as soon as it
    /// is held: the request is sent with the serial of its key, and WeChat Pay signs the response with that kind.
    ///
    /// # Errors
    /// [`FieldEncryptError::NoKey`](wxpay_auth::FieldEncryptError::NoKey) if no key is valid at `now`.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
    #[cfg(feature = "fields")]
    #[cfg_attr(docsrs, doc(cfg(feature = "fields")))]
    pub fn field_encryptor(
        &self,
        now: Timestamp,
    ) -> Result<wxpay_auth::FieldEncryptor, wxpay_auth::FieldEncryptError> {
        let by_public_key = self.shared.spread.next();
        let wanted = |serial: &WechatpaySerial| serial.is_public_key_id() == by_public_key;
        match self.ring.field_encryptor_among(now, wanted) {
            Err(wxpay_auth::FieldEncryptError::NoKey(_)) => {
                self.ring.field_encryptor_among(now, |_| true)
            }
            result => result,
        }
    }

    /// Returns how many signatures of each key were verified so far.
    pub fn counts(&self) -> VerificationCounts {
        self.shared.counters.snapshot()
    }

    /// Returns the verifier to which it delegates.
    pub fn verifier(&self) -> &V {
        &self.verifier
    }
}

#[async_trait]
impl<V: Verifier> Verifier for MigrationVerifier<V> {
    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
        let wanted = if self.shared.spread.next() {
            self.ring.preferred_public_key()
        } else {
            self.ring.preferred_certificate(now)
        };
        wanted.or_else(|| self.verifier.preferred_serial(now))
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.verifier.readiness(now)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        let result = self.verifier.verify(message).await;
        match &result {
            Ok(()) => self.shared.counters.verified(message.serial(), message.now()),
            Err(_) => self.shared.counters.refused(),
        }
        result
    }
}

impl<V: fmt::Debug> fmt::Debug for MigrationVerifier<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MigrationVerifier")
            .field("verifier", &self.verifier)
            .field("preference", &SerialPreference::of_share(self.shared.spread.share()))
            .field("counts", &self.shared.counters.snapshot())
            .finish_non_exhaustive()
    }
}
