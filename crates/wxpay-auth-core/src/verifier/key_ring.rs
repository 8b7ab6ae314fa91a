//! A set of WeChat Pay keys.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::keys::{Certificate, KeyError, PublicKey};
use crate::signer::Algorithm;
use crate::verifier::{CLOCK_WINDOW_SECS, NotReady, SignedMessage, Verifier, VerifyError};
use crate::wechatpay_serial::WechatpaySerial;

/// Verifies with the WeChat Pay public key or platform certificate that a response names.
///
/// During a migration both kinds sign for days, so a ring holds any number of both. Keys can be added
/// and removed while calls are in progress; verifying takes no lock. Clones share the keys, so an
/// application keeps one clone to change keys and passes another to the client.
///
/// A ring may be empty at first, and be filled through its own client (for example by downloading the
/// platform certificates, whose response another verifier checks). Until it holds a valid key, it is not
/// [ready](Verifier::readiness), and a client sends nothing with it.
///
/// Certificate serials are compared as numbers: a response with different leading zeros, or in lower
/// case, is verified as well.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012154180>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{KeyRing, PublicKey};
///
/// # let pem = include_str!("../../testdata/keys/wechatpay_pub_key_doc.pem");
/// let ring = KeyRing::new();
/// let id = "PUB_KEY_ID_0000000000000024101100397200000006".parse()?;
/// ring.insert_public_key(id, PublicKey::from_pem(pem)?)?;
/// assert_eq!(ring.serials().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    keys: Arc<ArcSwap<Keys>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Default)]
struct Keys {
    by_serial: HashMap<WechatpaySerial, Key>,
    /// The preferred keys in order: public keys, then certificates, the longest valid one first. Without those that
    /// were replaced.
    preference: Vec<WechatpaySerial>,
}

#[derive(Clone)]
struct Key {
    public: PublicKey,
    /// First and last second; `None` for a public key, which does not expire.
    validity: Option<(Timestamp, Timestamp)>,
    /// The last second at which it verifies, of a certificate that was replaced; it is used for nothing else.
    leaves: Option<Timestamp>,
}

/// How long a certificate verifies after it was replaced: as old as a message may be, and as much again for its way.
const GRACE_SECS: u64 = 2 * CLOCK_WINDOW_SECS;

impl Key {
    fn has_left(&self, now: Timestamp) -> bool {
        self.leaves.is_some_and(|last| now > last)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.validity.is_none_or(|(not_before, not_after)| (not_before..=not_after).contains(&now))
    }
}

impl Keys {
    fn insert(&mut self, serial: WechatpaySerial, key: Key) {
        self.by_serial.insert(serial, key);
        self.sort();
    }

    fn remove(&mut self, serial: &WechatpaySerial) -> bool {
        let removed = self.by_serial.remove(serial).is_some();
        self.sort();
        removed
    }

    /// Returns the first valid key in the order of preference that is of a kind.
    fn preferred(
        &self,
        now: Timestamp,
        is_of_kind: impl Fn(&WechatpaySerial) -> bool,
    ) -> Option<WechatpaySerial> {
        let is_valid = |serial: &&WechatpaySerial| {
            is_of_kind(serial) && self.by_serial.get(*serial).is_some_and(|key| key.is_valid(now))
        };
        self.preference.iter().find(is_valid).cloned()
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        let keys = || self.preference.iter().filter_map(|s| self.by_serial.get_key_value(s));
        if keys().any(|(_, key)| key.is_valid(now)) {
            return Ok(());
        }
        let certificates = || keys().filter_map(|(serial, key)| Some((serial, key.validity?)));
        let next = certificates().filter(|(_, (begin, _))| *begin > now);
        if let Some((serial, (not_before, _))) = next.min_by_key(|(_, (begin, _))| *begin) {
            return Err(NotReady::NotValidYet { serial: serial.clone(), not_before });
        }
        match certificates().max_by_key(|(_, (_, end))| *end) {
            Some((serial, (_, not_after))) => {
                Err(NotReady::Expired { serial: serial.clone(), not_after })
            }
            None => Err(NotReady::NoKey),
        }
    }

    /// Returns the key of a kind to encrypt with: a public key, or the valid certificate with the latest effective
    /// time. Among equal ones it is the preferred one.
    #[cfg(feature = "aws-lc-rs")]
    fn newest(
        &self,
        now: Timestamp,
        is_of_kind: impl Fn(&WechatpaySerial) -> bool,
    ) -> Option<(&WechatpaySerial, &Key)> {
        let begin = |key: &Key| key.validity.map_or(u64::MAX, |(begin, _)| begin.as_unix_secs());
        let order = self.preference.iter().rev().filter(|serial| is_of_kind(serial));
        let keys = order.filter_map(|s| self.by_serial.get_key_value(s));
        keys.filter(|(_, key)| key.is_valid(now)).max_by_key(|(_, key)| begin(key))
    }

    /// Replaces the certificates. Those that were held verify for a while.
    fn replace_certificates(&mut self, new: &[(WechatpaySerial, Key)], now: Timestamp) {
        let last = Timestamp::from_unix_secs(now.as_unix_secs().saturating_add(GRACE_SECS));
        self.by_serial.retain(|_, key| !key.has_left(now));
        for (serial, key) in &mut self.by_serial {
            if !serial.is_public_key_id() {
                key.leaves.get_or_insert(last);
            }
        }
        for (serial, key) in new {
            self.by_serial.remove(serial);
            self.by_serial.insert(serial.clone(), key.clone());
        }
        self.sort();
    }

    fn sort(&mut self) {
        let held = self.by_serial.iter().filter(|(_, key)| key.leaves.is_none());
        let mut order: Vec<_> = held.collect();
        let end = |key: &Key| key.validity.map_or(u64::MAX, |(_, end)| end.as_unix_secs());
        order.sort_by(|(a, x), (b, y)| end(y).cmp(&end(x)).then_with(|| b.cmp(a)));
        self.preference = order.into_iter().map(|(serial, _)| serial.clone()).collect();
    }
}

impl KeyRing {
    /// Creates an empty ring with the system clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// Creates an empty ring that checks the validity of added certificates with the given clock.
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        Self { keys: Arc::default(), clock: Arc::new(clock) }
    }

    /// Adds a WeChat Pay public key, or replaces the one with the same id.
    ///
    /// # Errors
    /// [`KeyError::NotPublicKeyId`] if the id is not `PUB_KEY_ID_…`.
    #[expect(clippy::needless_pass_by_value, reason = "the ring keeps both")]
    pub fn insert_public_key(
        &self,
        id: WechatpaySerial,
        public_key: PublicKey,
    ) -> Result<(), KeyError> {
        if !id.is_public_key_id() {
            return Err(KeyError::NotPublicKeyId);
        }
        self.insert(&id, &Key { public: public_key, validity: None, leaves: None });
        Ok(())
    }

    /// Adds a platform certificate under its own serial, or replaces the one with the same serial.
    ///
    /// A certificate that is not valid yet is accepted, and used once it is.
    ///
    /// # Errors
    /// [`KeyError::MerchantCertificate`] if it is the merchant's own, and
    /// [`KeyError::CertificateExpired`] if it has expired.
    pub fn insert_certificate(&self, certificate: &Certificate) -> Result<(), KeyError> {
        self.insert_certificate_with(certificate, certificate.public_key().clone())
    }

    /// Adds a platform certificate, to verify with the library of the given backend.
    ///
    /// # Errors
    /// As [`KeyRing::insert_certificate`].
    #[cfg(feature = "aws-lc-rs")]
    pub fn insert_certificate_on(
        &self,
        backend: crate::Backend,
        certificate: &Certificate,
    ) -> Result<(), KeyError> {
        let key = certificate.public_key().clone().with_backend(backend)?;
        self.insert_certificate_with(certificate, key)
    }

    fn insert_certificate_with(
        &self,
        certificate: &Certificate,
        public_key: PublicKey,
    ) -> Result<(), KeyError> {
        let key = self.checked(certificate, public_key)?;
        self.insert(&certificate.serial_no().clone().into(), &key);
        Ok(())
    }

    fn checked(&self, certificate: &Certificate, public_key: PublicKey) -> Result<Key, KeyError> {
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        let serial_no = certificate.serial_no();
        if certificate.is_merchants() {
            return Err(KeyError::MerchantCertificate { serial_no: serial_no.clone() });
        }
        if self.clock.now() > not_after {
            return Err(KeyError::CertificateExpired { serial_no: serial_no.clone(), not_after });
        }
        Ok(Key { public: public_key, validity: Some((not_before, not_after)), leaves: None })
    }

    /// Replaces all platform certificates with these, atomically; public keys stay. If one is refused, nothing
    /// changes.
    ///
    /// Those that were held before, and are not among these, still verify for ten minutes, because messages signed
    /// with them may be on their way. They are used for nothing else, and [`serials`](Self::serials) does not name them.
    /// [`remove`](Self::remove) removes one at once.
    ///
    /// Each comes with its serial as WeChat Pay writes it (`serial_no` of the download): requests name it in exactly
    /// that form.
    ///
    /// # Errors
    /// As [`KeyRing::insert_certificate`], and [`KeyError::SerialMismatch`] if a serial is another number than that of
    /// its certificate.
    pub fn replace_certificates<'c>(
        &self,
        certificates: impl IntoIterator<Item = (WechatpaySerial, &'c Certificate)>,
    ) -> Result<(), KeyError> {
        let mut new = Vec::new();
        for (serial, certificate) in certificates {
            if serial != certificate.serial_no().clone().into() {
                let serial_no = certificate.serial_no().clone();
                return Err(KeyError::SerialMismatch { given: serial, serial_no });
            }
            let key = self.checked(certificate, certificate.public_key().clone())?;
            new.push((serial, key));
        }
        let now = self.clock.now();
        self.update(|keys| keys.replace_certificates(&new, now));
        Ok(())
    }

    /// Removes a key; returns whether it was present.
    pub fn remove(&self, serial: &WechatpaySerial) -> bool {
        let mut removed = false;
        self.update(|keys| removed = keys.remove(serial));
        removed
    }

    /// Replaces these keys with those of another ring, atomically.
    pub fn replace_with(&self, other: &Self) {
        self.keys.store(other.keys.load_full());
    }

    /// Returns the platform certificate to prefer at this time: the valid one that expires last.
    pub fn preferred_certificate(&self, now: Timestamp) -> Option<WechatpaySerial> {
        self.keys.load().preferred(now, |serial| !serial.is_public_key_id())
    }

    /// Returns the id of the public key to prefer.
    pub fn preferred_public_key(&self) -> Option<WechatpaySerial> {
        // It does not expire.
        self.keys.load().preference.iter().find(|serial| serial.is_public_key_id()).cloned()
    }

    /// Returns the ids of all keys, the preferred one first.
    pub fn serials(&self) -> Vec<WechatpaySerial> {
        self.keys.load().preference.clone()
    }

    /// Returns an encryptor for sensitive fields (敏感信息) with the key that a client should use now: a public key,
    /// or, if there is none, the valid certificate with the latest effective time.
    ///
    /// Take a new one for each request. The request must be sent with its
    /// [`serial`](crate::FieldEncryptor::serial) as `Wechatpay-Serial`.
    ///
    /// # Errors
    /// [`FieldEncryptError::NoKey`](crate::FieldEncryptError::NoKey) if no key is valid now, by the clock of this
    /// ring.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
    #[cfg(feature = "aws-lc-rs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
    pub fn field_encryptor(&self) -> Result<crate::FieldEncryptor, crate::FieldEncryptError> {
        self.field_encryptor_among(self.clock.now(), |_| true)
    }

    /// Returns an encryptor as [`field_encryptor`](Self::field_encryptor), but chooses among the keys that `is_wanted`
    /// accepts (only platform certificates, for example).
    ///
    /// # Errors
    /// [`FieldEncryptError::NoKey`](crate::FieldEncryptError::NoKey) if none of these keys is valid at `now`.
    #[cfg(feature = "aws-lc-rs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
    pub fn field_encryptor_among(
        &self,
        now: Timestamp,
        is_wanted: impl Fn(&WechatpaySerial) -> bool,
    ) -> Result<crate::FieldEncryptor, crate::FieldEncryptError> {
        let keys = self.keys.load();
        let Some((serial, key)) = keys.newest(now, is_wanted) else {
            return Err(keys.readiness(now).err().unwrap_or(NotReady::NoKey).into());
        };
        Ok(crate::FieldEncryptor::new(serial.clone(), &key.public)?)
    }

    fn insert(&self, serial: &WechatpaySerial, key: &Key) {
        self.update(|keys| keys.insert(serial.clone(), key.clone()));
    }

    fn update(&self, mut change: impl FnMut(&mut Keys)) {
        self.keys.rcu(|keys| {
            let mut keys = Keys::clone(keys);
            change(&mut keys);
            keys
        });
    }
}

impl Default for KeyRing {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Verifier for KeyRing {
    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
        self.keys.load().preferred(now, |_| true)
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.keys.load().readiness(now)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        // Before looking up the key: a ring holds only RSA keys, so reporting a missing key would mislead.
        if message.algorithm() != Algorithm::Sha256Rsa2048 {
            return Err(VerifyError::unsupported_algorithm());
        }
        let serial = message.serial();
        let keys = self.keys.load();
        let key = keys.by_serial.get(serial).filter(|key| !key.has_left(message.now()));
        let key = key.ok_or_else(|| VerifyError::unknown_serial(serial))?;
        if let Some((not_before, not_after)) = key.validity
            && !key.is_valid(message.now())
        {
            let (serial, now) = (serial.clone(), message.now());
            return Err(VerifyError::KeyNotValid { serial, not_before, not_after, now });
        }
        if key.public.verifies(message.message(), message.signature()) {
            Ok(())
        } else {
            Err(VerifyError::mismatch(serial.clone()))
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("serials", &self.serials()).finish_non_exhaustive()
    }
}
