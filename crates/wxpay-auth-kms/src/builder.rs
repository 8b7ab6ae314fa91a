//! The settings of a signer on a key service.

use std::time::Duration;

use tokio::time::Instant;
use wxpay_auth_core::internal::log;
use wxpay_auth_core::internal::remote::SerialSource;
use wxpay_auth_core::{Certificate, SerialNo, SignErrorKind};

use crate::backend::{KmsBackend, KmsKey};
use crate::error::KmsError;
use crate::request_limits::{Limits, RequestLimiter, is_sensible};
use crate::signer::KmsSigner;

/// Sets up a [`KmsSigner`]; created by [`KmsSigner::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens until it is connected"]
pub struct KmsSignerBuilder<B> {
    backend: B,
    serial: Option<SerialSource>,
    limits: Limits,
    connect_timeout: Duration,
}

impl<B: KmsBackend> KmsSignerBuilder<B> {
    pub(crate) fn new(backend: B) -> Self {
        let connect_timeout = Duration::from_secs(30);
        Self { backend, serial: None, limits: Limits::default(), connect_timeout }
    }

    /// Sets the merchant certificate, which must belong to the key; its serial is used.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.serial = Some(SerialSource::Certificate(certificate));
        self
    }

    /// Sets the serial of the merchant certificate. It cannot be checked against the key: prefer
    /// [`certificate`](Self::certificate).
    pub fn serial_no(mut self, serial_no: SerialNo) -> Self {
        self.serial = Some(SerialSource::Given(serial_no));
        self
    }

    /// Connects to a key that has no certificate yet, to sign a
    /// [`CertificateRequest`](wxpay_auth_core::CertificateRequest). Its signatures are valid for
    /// nothing else.
    pub fn without_certificate(self) -> Self {
        self.serial_no(SerialNo::uncertified())
    }

    /// Sets the maximum number of concurrent requests to the service: 32 by default.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.limits.concurrency = concurrency;
        self
    }

    /// Sets how many signatures may be queued: 256 by default. Further ones fail with
    /// [`Throttled`](wxpay_auth_core::SignErrorKind::Throttled).
    pub fn queue(mut self, queue: usize) -> Self {
        self.limits.queue = queue;
        self
    }

    /// Sets the time limit of one request: 3 s by default.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.limits.attempt_timeout = timeout;
        self
    }

    /// Sets the time limit of a signature, including queueing and all attempts: 10 s by default.
    pub fn sign_timeout(mut self, timeout: Duration) -> Self {
        self.limits.total_timeout = timeout;
        self
    }

    /// Sets the maximum number of attempts per signature when the service fails or does not
    /// respond: 4 by default. Throttling does not count: the signer retries, at most every half
    /// second, until [`sign_timeout`](Self::sign_timeout); the same applies while an approval is
    /// pending. 1 disables all retries.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.limits.attempts = attempts;
        self
    }

    /// Sets the time limit of connecting, including the test signature: 30 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects: reads the public key, compares the certificate with it, and makes a test
    /// signature.
    ///
    /// # Errors
    /// [`KmsError`], whose [`kind`](KmsError::kind) and [`hint`](KmsError::hint) say what to do: an
    /// invalid setting; a key that does not exist, is not RSA-2048, is disabled or may not sign; a
    /// certificate of another key; a service that cannot be reached or refuses.
    pub async fn connect(self) -> Result<KmsSigner<B>, KmsError> {
        let timeout = self.connect_timeout;
        let (found, deadline) = self.find_key(KeyUse::Sign).await?;
        let signer = KmsSigner::new(found.backend, found.key, found.serial_no, found.limiter);
        signer.try_out(deadline).await.map_err(|error| late(error, deadline, timeout))?;
        log::debug!(
            serial_no = %signer.serial_no(),
            key_version = signer.key_version(),
            "connected to a key service"
        );
        Ok(signer)
    }

    /// Reads the public key, and compares the certificate with it. Also returns the deadline of connecting.
    pub(crate) async fn find_key(
        self,
        key_use: KeyUse,
    ) -> Result<(FoundKey<B>, Instant), KmsError> {
        let serial = self.serial.ok_or_else(|| {
            let hint = match key_use {
                KeyUse::Sign => {
                    "give the certificate or its serial_no, or say that there is none yet \
                     (without_certificate)"
                }
                KeyUse::Decrypt => "give the certificate or its serial_no",
            };
            KmsError::setting("there is no merchant certificate", hint)
        })?;
        self.limits.check()?;
        if !is_sensible(self.connect_timeout) {
            return Err(KmsError::setting(
                "connect_timeout must be greater than zero, and at most a day",
                "correct the setting",
            ));
        }
        let (deadline, timeout) = (Instant::now() + self.connect_timeout, self.connect_timeout);
        let limiter = RequestLimiter::new(self.limits);
        let backend = self.backend;
        let asked = match key_use {
            KeyUse::Sign => limiter.run_until(deadline, || backend.public_key()).await,
            KeyUse::Decrypt => limiter.run_until(deadline, || backend.decryption_key()).await,
        };
        let key = asked.map_err(|error| late(error, deadline, timeout))?;
        let serial_no = serial.serial_no_for(key.public_key())?;
        Ok((FoundKey { backend, key, serial_no, limiter }, deadline))
    }
}

/// What a key is found for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyUse {
    Sign,
    Decrypt,
}

/// A key of a service, and the limits of the requests for it.
pub(crate) struct FoundKey<B> {
    pub(crate) backend: B,
    pub(crate) key: KmsKey,
    pub(crate) serial_no: SerialNo,
    pub(crate) limiter: RequestLimiter,
}

/// Replaces the timeout of a request by that of connecting, if that is over.
fn late(error: KmsError, deadline: Instant, timeout: Duration) -> KmsError {
    match error.kind() {
        SignErrorKind::Timeout if Instant::now() >= deadline => {
            too_late(timeout).with_source(error)
        }
        _ => error,
    }
}

fn too_late(timeout: Duration) -> KmsError {
    let message = format!("connecting took longer than {} ms", timeout.as_millis());
    KmsError::new(SignErrorKind::Timeout, message)
        .with_hint("check the service, or raise connect_timeout")
}
