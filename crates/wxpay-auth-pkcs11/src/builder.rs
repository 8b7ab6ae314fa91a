//! The settings of a signer on a token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use wxpay_auth_core::internal::log;
use wxpay_auth_core::internal::panics::caught;
use wxpay_auth_core::internal::remote::{PROBE, SerialSource};
use wxpay_auth_core::{Certificate, SerialNo};

use crate::error::Pkcs11Error;
use crate::key_lookup;
use crate::mechanism::Pkcs11Mechanism;
use crate::session::key_session::{KeySession, KeySessions};
use crate::signer::{Pkcs11Signer, SignerKey};
use crate::uri::Pkcs11Uri;
use crate::worker::{Sessions, Workers};

/// Sets up a [`Pkcs11Signer`]; created by [`Pkcs11Signer::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens until it is connected"]
pub struct Pkcs11SignerBuilder {
    uri: Pkcs11Uri,
    /// If `None`, the certificate is looked up on the token.
    serial: Option<SerialSource>,
    mechanism: Pkcs11Mechanism,
    sessions: usize,
    queue: usize,
    sign_timeout: Duration,
    connect_timeout: Duration,
    restart_module: bool,
}

/// More sessions than any token has, and more threads than useful.
const MOST_SESSIONS: usize = 1024;

impl Pkcs11SignerBuilder {
    pub(crate) fn new(uri: Pkcs11Uri) -> Self {
        Self {
            uri,
            serial: None,
            mechanism: Pkcs11Mechanism::default(),
            sessions: 4,
            queue: 256,
            sign_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            restart_module: true,
        }
    }

    /// Sets the merchant certificate, which must belong to the key; its serial is used. Without
    /// this setting, the certificate is looked up on the token: by the `CKA_ID` of the key, or its
    /// label if it has no id, or else by its public key. Self-signed certificates are ignored. The
    /// last call of this, [`serial_no`](Self::serial_no) and
    /// [`without_certificate`](Self::without_certificate) takes effect.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.serial = Some(SerialSource::Certificate(certificate));
        self
    }

    /// Sets the serial of the merchant certificate. It cannot be checked against the key: prefer
    /// [`certificate`](Self::certificate). The last call of these two and
    /// [`without_certificate`](Self::without_certificate) takes effect.
    pub fn serial_no(mut self, serial_no: SerialNo) -> Self {
        self.serial = Some(SerialSource::Given(serial_no));
        self
    }

    /// Connects to a key that has no certificate yet, to sign a
    /// [`CertificateRequest`](wxpay_auth_core::CertificateRequest). Its signatures are valid for
    /// nothing else. The last call of this, [`certificate`](Self::certificate) and
    /// [`serial_no`](Self::serial_no) takes effect.
    pub fn without_certificate(self) -> Self {
        self.serial_no(SerialNo::uncertified())
    }

    /// Sets the mechanism: [`Pkcs11Mechanism::RsaPkcs`] by default.
    pub fn mechanism(mut self, mechanism: Pkcs11Mechanism) -> Self {
        self.mechanism = mechanism;
        self
    }

    /// Sets the number of sessions, each with its own thread: 4 by default, 1 to 1024.
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets how many signatures and fields may be queued: 256 by default. Further ones fail with
    /// [`Throttled`](wxpay_auth_core::SignErrorKind::Throttled).
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = queue;
        self
    }

    /// Sets the time limit of a signature, and of a field to decrypt, including the wait for a session: 10 s by default.
    pub fn sign_timeout(mut self, timeout: Duration) -> Self {
        self.sign_timeout = timeout;
        self
    }

    /// Sets the time limit of connecting: 30 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets whether the module may be finalised and initialised again if nothing else brings the
    /// token back, during and after connecting: yes by default.
    ///
    /// This ends all sessions of this process with all tokens of the module. Signers of this crate
    /// reopen theirs; disable it if other code in the process uses the same module. Without it, a
    /// TPM that has restarted, a p11-kit server that was killed or started late, and a SoftHSM
    /// token that was away do not come back. A module that the application has initialised itself
    /// is never restarted.
    pub fn restart_module(mut self, may_restart: bool) -> Self {
        self.restart_module = may_restart;
        self
    }

    /// Sets whether a PIN is sent to a token that locks after one more wrong one
    /// (`CKF_USER_PIN_FINAL_TRY`): no by default, which fails with [`Pkcs11Error::LastPinTry`].
    ///
    /// A successful login resets the counter of the token, so it is better to log in once by hand.
    /// Use this setting for a single start only: a program that is restarted repeatedly with a
    /// wrong PIN locks the token.
    pub fn use_last_pin_try(mut self, may_use: bool) -> Self {
        self.uri.pin = self.uri.pin.map(|pin| pin.using_last_try(may_use));
        self
    }

    /// Connects: loads the module, finds token and key, logs in, opens the sessions, and makes a
    /// test signature.
    ///
    /// Needs a Tokio runtime with timers. Blocking calls run on a separate thread.
    ///
    /// # Errors
    /// [`Pkcs11Error`], whose [`kind`](Pkcs11Error::kind) and [`hint`](Pkcs11Error::hint) say what to
    /// do. A wrong PIN is sent once, and not again by this process.
    pub async fn connect(self) -> Result<Pkcs11Signer, Pkcs11Error> {
        self.check()?;
        let (sign_timeout, limit) = (self.sign_timeout, self.connect_timeout);
        let connected = on_thread(limit, move || self.connect_blocking()).await?;
        let (workers, key) = connected;
        Ok(Pkcs11Signer::new(workers, key, sign_timeout))
    }

    fn check(&self) -> Result<(), Pkcs11Error> {
        let wrong = |setting, problem| Err(Pkcs11Error::Setting { setting, problem });
        if !(1..=MOST_SESSIONS).contains(&self.sessions) {
            return wrong("sessions", "must be between 1 and 1024");
        }
        if self.queue == 0 {
            return wrong("queue", "must be at least 1");
        }
        if self.sign_timeout.is_zero() {
            return wrong("sign_timeout", "must be greater than zero");
        }
        if self.connect_timeout.is_zero() {
            return wrong("connect_timeout", "must be greater than zero");
        }
        Ok(())
    }

    fn connect_blocking(self) -> Result<(Workers, SignerKey), Pkcs11Error> {
        let key_sessions = KeySessions::new(self.uri.clone(), self.mechanism, self.restart_module)?;
        let key_sessions = Arc::new(key_sessions);
        let (opened, key) = key_sessions.twice(|| self.open(&key_sessions))?;
        let workers = Workers::start(&key_sessions, opened, self.queue)?;
        log::debug!(serial_no = %key.serial_no, sessions = self.sessions, "connected to a PKCS#11 token");
        Ok((workers, key))
    }

    /// Opens the sessions, and makes a test signature.
    fn open(
        &self,
        key_sessions: &KeySessions,
    ) -> Result<(Vec<KeySession>, SignerKey), Pkcs11Error> {
        let (first, serial_no) = key_sessions.open_and(|session, key| match &self.serial {
            Some(source) => Ok(source.serial_no_for(&key.public_key)?),
            None => Ok(key_lookup::certificate(session, key)?.serial_no().clone()),
        })?;
        let (public_key, may_decrypt) = (first.public_key().clone(), first.may_decrypt());
        let key = SignerKey { public_key, serial_no, may_decrypt };
        let mut opened = Opened { key_sessions, sessions: vec![first] };
        while opened.sessions.len() < self.sessions {
            opened.sessions.push(key_sessions.open()?);
        }
        // A key with `CKA_SIGN` may still fail to sign.
        if let Some(session) = opened.sessions.pop() {
            if let Err(error) = key_sessions.sign(&session, PROBE) {
                key_sessions.close(session, Some(&error));
                return Err(error);
            }
            opened.sessions.push(session);
        }
        Ok((std::mem::take(&mut opened.sessions), key))
    }
}

/// Closes the opened sessions if connecting fails.
struct Opened<'a> {
    key_sessions: &'a KeySessions,
    sessions: Vec<KeySession>,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.sessions.drain(..).for_each(|session| self.key_sessions.close(session, None));
    }
}

/// Runs a blocking call on a separate thread: a token may take seconds, or hang.
pub(crate) async fn on_thread<T: Send + 'static>(
    limit: Duration,
    run: impl FnOnce() -> Result<T, Pkcs11Error> + Send + 'static,
) -> Result<T, Pkcs11Error> {
    let (reply, response) = oneshot::channel();
    std::thread::Builder::new()
        .name("wxpay-pkcs11-set-up".to_owned())
        .spawn(move || {
            let ended = caught(run).unwrap_or(Err(Pkcs11Error::Panicked));
            // Wakes the caller, with code of its runtime.
            let _ = caught(|| drop(reply.send(ended)));
        })
        .map_err(|source| Pkcs11Error::Thread { source })?;
    match tokio::time::timeout(limit, response).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Pkcs11Error::Panicked),
        Err(_) => Err(Pkcs11Error::Timeout { waited: limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panicking::panic_twice;

    #[tokio::test]
    async fn a_panic_of_a_blocking_call_is_an_error() {
        let limit = Duration::from_secs(20);
        let ended = on_thread(limit, || -> Result<(), Pkcs11Error> { panic_twice() }).await;
        assert!(matches!(ended, Err(Pkcs11Error::Panicked)), "{ended:?}");
        assert_eq!(on_thread(limit, || Ok(7)).await.unwrap(), 7);
    }
}
