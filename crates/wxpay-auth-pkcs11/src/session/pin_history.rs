//! The responses of tokens to PINs: tokens lock after a few wrong ones.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use cryptoki::slot::{Slot, TokenInfo};
use ring::hmac;
use ring::rand::SystemRandom;
use wxpay_auth_core::internal::{log, no_randomness};
use wxpay_auth_core::{SignErrorKind, foreign_text};

use crate::error::Pkcs11Error;
use crate::module::access::{ModuleAccess, Scope};
use crate::return_value::{Called, kind, name};

/// Records which PINs were sent to the tokens of a module, and which must not be sent again.
pub(crate) struct PinHistory {
    /// A key of this process: the stored tags of PINs are of no use elsewhere.
    key: hmac::Key,
    known: Mutex<Vec<Known>>,
}

/// A PIN that was sent to a token.
struct Known {
    token: TokenName,
    pin: hmac::Tag,
    /// Whether the token has ever accepted it.
    accepted: bool,
    trouble: Option<Trouble>,
}

/// Identifies a token of a module. Slot numbers do not, because some modules renumber them on a
/// restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenName {
    Info {
        label: String,
        manufacturer: String,
        model: String,
        serial: String,
    },
    /// The info of the token cannot be parsed.
    Slot(u64),
}

impl TokenName {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self::Info {
            label: info.label().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            serial: info.serial_number().to_owned(),
        }
    }
}

/// The failure of a PIN with a token.
enum Trouble {
    /// The token refused the PIN.
    Refused { code: String },
    /// The login failed with an error that some modules also return for a wrong PIN.
    Doubtful {
        code: String,
        kind: SignErrorKind,
        /// The number of consecutive failures. A locked token does not check the PIN, so that does
        /// not count.
        times: usize,
        /// The number of times that it was locked, since the last other failure.
        locked: usize,
        last: Instant,
    },
}

/// How long a PIN is not sent after each doubtful failure; after one more, it is never sent again.
/// A locked token does not check PINs, and may unlock itself: then the last value is repeated.
const RESTS: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(8 * 60),
    Duration::from_secs(32 * 60),
];

/// The same for a PIN that the token has never accepted: some tokens lock after three failures.
const RESTS_OF_A_NEW_PIN: [Duration; 1] = [Duration::from_secs(30)];

impl PinHistory {
    pub(crate) fn new() -> Result<Self, Pkcs11Error> {
        let failed = |_| Pkcs11Error::Malformed { source: no_randomness().into() };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(failed)?;
        Ok(Self { key, known: Mutex::default() })
    }

    /// Logs in with `send`, unless this process is logged in already or the PIN must not be sent.
    /// `send` may also find that nothing may be sent.
    ///
    /// Blocks other calls to the token or the module, depending on `scope`: a login changes the
    /// state of all sessions, and some modules do not support that during a signature. If the PIN
    /// is not sent, nothing is blocked. A failure is logged when nothing is blocked any more.
    pub(crate) fn log_in(
        &self,
        (access, slot, scope): (&ModuleAccess, Slot, Scope),
        generation: u64,
        (token, pin): (&TokenName, &str),
        is_logged_in: impl Fn() -> bool,
        send: impl FnOnce() -> Result<cryptoki::error::Result<()>, Pkcs11Error>,
    ) -> Result<(), Pkcs11Error> {
        let pin = hmac::sign(&self.key, pin.as_bytes());
        self.may_send(token, &pin, Instant::now())?;
        let inside = access.enter(Scope::Token(slot))?;
        if inside.generation() != generation {
            return Err(Pkcs11Error::Restarted);
        }
        if is_logged_in() {
            return Ok(());
        }
        drop(inside);
        let log_in = || {
            // Four threads that wait for each other must not send a wrong PIN four times.
            if is_logged_in() {
                return Ok(());
            }
            self.may_send(token, &pin, Instant::now())?;
            self.learn(token, pin, send()?, Instant::now())
        };
        let ended = access.alone(scope, generation, log_in)?;
        if let Err(error) = &ended {
            log_failure(token, error);
        }
        ended
    }

    fn may_send(
        &self,
        token: &TokenName,
        pin: &hmac::Tag,
        now: Instant,
    ) -> Result<(), Pkcs11Error> {
        let known = self.lock();
        let Some(known) = known.iter().find(|known| known.is(token, pin)) else { return Ok(()) };
        match &known.trouble {
            None => Ok(()),
            Some(Trouble::Doubtful { code, kind, times, locked, last }) => {
                match known.rest(*times, *locked) {
                    Some(rest) if now.saturating_duration_since(*last) >= rest => Ok(()),
                    Some(_) => {
                        let (code, kind) = (code.clone(), *kind);
                        Err(Pkcs11Error::LoginFailed { code, kind, sent: false })
                    }
                    None => Err(Pkcs11Error::PinRefused { code: code.clone(), sent: false }),
                }
            }
            Some(Trouble::Refused { code }) => {
                Err(Pkcs11Error::PinRefused { code: code.clone(), sent: false })
            }
        }
    }

    /// Records the response of a token to a PIN.
    fn learn(
        &self,
        token: &TokenName,
        pin: hmac::Tag,
        response: cryptoki::error::Result<()>,
        now: Instant,
    ) -> Result<(), Pkcs11Error> {
        let code = match response {
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok(()),
            Err(Error::Pkcs11(code, Function::Login)) if !is_before_the_pin(code) => Some(code),
            Err(error) => return Err(error).called(),
            Ok(()) => None,
        };
        let mut all = self.lock();
        let at = all.iter().position(|known| known.is(token, &pin)).unwrap_or(all.len());
        if at == all.len() {
            all.push(Known { token: token.clone(), pin, accepted: false, trouble: None });
        }
        let Some(known) = all.get_mut(at) else { return Ok(()) };
        let Some(code) = code else {
            (known.accepted, known.trouble) = (true, None);
            return Ok(());
        };
        let is_locked = code == RvError::PinLocked;
        let (code, kind, refused) = (name(&code), kind(&code), is_refusal(code));
        if refused {
            known.trouble = Some(Trouble::Refused { code: code.clone() });
            return Err(Pkcs11Error::PinRefused { code, sent: true });
        }
        let (times, locked) = match known.trouble {
            Some(Trouble::Doubtful { times, locked, .. }) => (times, locked),
            _ => (0, 0),
        };
        let (times, locked) = if is_locked { (times, locked + 1) } else { (times + 1, 0) };
        let trouble = Trouble::Doubtful { code: code.clone(), kind, times, locked, last: now };
        known.trouble = Some(trouble);
        Err(Pkcs11Error::LoginFailed { code, kind, sent: true })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs that a token did not accept a PIN.
fn log_failure(token: &TokenName, error: &Pkcs11Error) {
    match error {
        Pkcs11Error::PinRefused { code, sent: true } => {
            log::error!(code, %token, "the token refused the PIN");
        }
        Pkcs11Error::LoginFailed { code, sent: true, .. } => {
            log::error!(code, %token, "a login failed; the PIN is not sent again for a while");
        }
        _ => {}
    }
}

impl Known {
    fn is(&self, token: &TokenName, pin: &hmac::Tag) -> bool {
        self.token == *token && self.pin.as_ref() == pin.as_ref()
    }

    /// Returns how long to wait after these failures, or while the token is locked; `None`: never
    /// again.
    fn rest(&self, times: usize, locked: usize) -> Option<Duration> {
        if let Some(before) = locked.checked_sub(1) {
            return RESTS.get(before).or(RESTS.last()).copied();
        }
        let rests = if self.accepted { &RESTS[..] } else { &RESTS_OF_A_NEW_PIN };
        rests.get(times.checked_sub(1)?).copied()
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No token has longer ones.
        let shown = |text| foreign_text(text, 32, &[]);
        match self {
            Self::Info { label, serial, .. } => {
                write!(f, "{:?} (serial {})", shown(label), shown(serial))
            }
            Self::Slot(slot) => write!(f, "the one in slot {slot}"),
        }
    }
}

fn is_refusal(code: RvError) -> bool {
    matches!(
        code,
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired
    )
}

/// Returns whether a login ended before the token checked the PIN. After any other error, the token
/// may have counted it as wrong.
fn is_before_the_pin(code: RvError) -> bool {
    matches!(
        code,
        RvError::CryptokiNotInitialized
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::UserAnotherAlreadyLoggedIn
    )
}

impl fmt::Debug for PinHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinHistory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;
    use crate::panicking::{panic_twice, with_events};

    const TOKEN: TokenName = TokenName::Slot(7);

    /// The responses to one PIN, and the resulting errors.
    struct Sent {
        logins: PinHistory,
        pin: hmac::Tag,
        start: Instant,
    }

    impl Sent {
        fn new() -> Self {
            let logins = PinHistory::new().unwrap();
            let pin = hmac::sign(&logins.key, b"1234");
            Self { logins, pin, start: Instant::now() }
        }

        fn may_send(&self, secs: u64) -> Result<(), Pkcs11Error> {
            self.logins.may_send(&TOKEN, &self.pin, self.start + Duration::from_secs(secs))
        }

        fn learn(&self, secs: u64, response: Result<(), RvError>) -> Result<(), Pkcs11Error> {
            let response = response.map_err(|code| Error::Pkcs11(code, Function::Login));
            self.logins.learn(&TOKEN, self.pin, response, self.start + Duration::from_secs(secs))
        }

        /// Returns whether the PIN is suspended until then, and sent then.
        fn rests_until(&self, secs: u64) -> bool {
            let resting = self.may_send(secs - 1);
            matches!(resting, Err(Pkcs11Error::LoginFailed { sent: false, .. }))
                && self.may_send(secs).is_ok()
        }

        fn is_refused(&self) -> bool {
            let later = self.may_send(1_000_000);
            matches!(later, Err(Pkcs11Error::PinRefused { sent: false, .. }))
        }
    }

    #[test]
    fn a_refused_pin_is_never_sent_again() {
        for code in [RvError::PinIncorrect, RvError::PinInvalid, RvError::PinExpired] {
            let pin = Sent::new();
            pin.learn(0, Ok(())).unwrap();
            let error = pin.learn(0, Err(code)).unwrap_err();
            assert!(matches!(error, Pkcs11Error::PinRefused { sent: true, .. }), "{error}");
            assert!(pin.is_refused());
            // Another PIN or another token is not affected.
            let other = hmac::sign(&pin.logins.key, b"12345");
            assert!(pin.logins.may_send(&TOKEN, &other, pin.start).is_ok());
            assert!(pin.logins.may_send(&TokenName::Slot(8), &pin.pin, pin.start).is_ok());
        }
    }

    const DOUBTFUL: [RvError; 6] = [
        RvError::GeneralError,
        RvError::FunctionFailed,
        RvError::DeviceError,
        RvError::ArgumentsBad,
        RvError::UserPinNotInitialized,
        RvError::VendorDefined(0x8000_0001),
    ];

    #[test]
    fn a_new_pin_is_sent_twice_when_it_is_doubtful() {
        for code in DOUBTFUL {
            let pin = Sent::new();
            let error = pin.learn(100, Err(code)).unwrap_err();
            assert!(matches!(error, Pkcs11Error::LoginFailed { sent: true, .. }), "{error}");
            assert_eq!(error.kind(), kind(&code));
            assert!(!error.may_be_the_module());
            assert!(pin.rests_until(130));
            pin.learn(140, Err(code)).unwrap_err();
            assert!(pin.is_refused());
        }
    }

    #[test]
    fn a_pin_that_was_accepted_is_sent_five_times_with_growing_rests() {
        let pin = Sent::new();
        // The PIN had not been accepted before the first doubtful failure.
        pin.learn(0, Err(RvError::GeneralError)).unwrap_err();
        for _ in 0..2 {
            pin.learn(0, Ok(())).unwrap();
            assert!(pin.may_send(0).is_ok());
            for (failed, rests_until) in [(0, 30), (30, 150), (150, 630), (630, 2_550)] {
                pin.learn(failed, Err(RvError::DeviceError)).unwrap_err();
                assert!(pin.rests_until(rests_until));
            }
        }
        pin.learn(2_550, Err(RvError::DeviceError)).unwrap_err();
        assert!(pin.is_refused());
    }

    /// A TPM locks itself after three power failures, and unlocks itself.
    #[test]
    fn a_pin_rests_while_the_token_is_locked() {
        for was_accepted in [false, true] {
            let pin = Sent::new();
            if was_accepted {
                pin.learn(0, Ok(())).unwrap();
            }
            let mut now = 0;
            for rest in [30, 120, 480, 1_920, 1_920, 1_920, 1_920] {
                let error = pin.learn(now, Err(RvError::PinLocked)).unwrap_err();
                let expected =
                    (SignErrorKind::PermissionDenied, "the login failed (CKR_PIN_LOCKED)");
                assert_eq!((error.kind(), &*error.to_string()), expected);
                now += rest;
                assert!(pin.rests_until(now));
            }
            pin.learn(now, Ok(())).unwrap();
            // This PIN did not lock the token, but it may still be wrong.
            pin.learn(now, Err(RvError::PinLocked)).unwrap_err();
            pin.learn(now + 30, Err(RvError::PinIncorrect)).unwrap_err();
            assert!(pin.is_refused());
        }
    }

    /// An error that says nothing about the PIN does not count as a doubtful failure.
    #[test]
    fn a_locked_token_costs_a_pin_nothing() {
        let pin = Sent::new();
        let mut now = 0;
        for rest in [30, 120, 480] {
            pin.learn(now, Err(RvError::PinLocked)).unwrap_err();
            now += rest;
        }
        // A new PIN is sent once more after one doubtful failure.
        pin.learn(now, Err(RvError::GeneralError)).unwrap_err();
        now += 30;
        assert!(pin.rests_until(now));
        pin.learn(now, Err(RvError::PinLocked)).unwrap_err();
        now += 30;
        assert!(pin.rests_until(now));
        pin.learn(now, Err(RvError::GeneralError)).unwrap_err();
        assert!(pin.is_refused());
    }

    #[test]
    fn a_token_is_known_by_its_info() {
        let info = |serial: &str| TokenName::Info {
            label: "a\nb".to_owned(),
            manufacturer: "m".to_owned(),
            model: "m".to_owned(),
            serial: serial.to_owned(),
        };
        assert_eq!(info("1"), info("1"));
        assert_ne!(info("1"), info("2"));
        assert!(!info("1").to_string().contains('\n'), "{}", info("1"));
        assert_eq!(TokenName::Slot(7).to_string(), "the one in slot 7");
    }

    #[test]
    fn a_pin_that_nobody_looked_at_is_sent_at_once() {
        let pin = Sent::new();
        for _ in 0..20 {
            let error = pin.learn(0, Err(RvError::SessionHandleInvalid)).unwrap_err();
            assert_eq!(error.to_string(), "C_Login answered CKR_SESSION_HANDLE_INVALID");
            pin.learn(0, Err(RvError::TokenNotPresent)).unwrap_err();
            assert!(pin.may_send(0).is_ok());
        }
        // A call before the PIN is sent says nothing about the PIN, either.
        let asked = Err(Error::Pkcs11(RvError::DeviceError, Function::GenerateRandom));
        let error = pin.logins.learn(&TOKEN, pin.pin, asked, pin.start).unwrap_err();
        assert_eq!(error.to_string(), "C_GenerateRandom answered CKR_DEVICE_ERROR");
        assert!(error.may_be_the_module());
        assert!(pin.may_send(0).is_ok());
        pin.learn(0, Err(RvError::UserAlreadyLoggedIn)).unwrap();
        // The token has not accepted the PIN, so it is still a new one.
        pin.learn(0, Err(RvError::GeneralError)).unwrap_err();
        pin.learn(30, Err(RvError::GeneralError)).unwrap_err();
        assert!(pin.is_refused());
    }

    #[test]
    fn nobody_is_kept_out_for_a_pin_that_is_not_sent() {
        let (logins, access) = (PinHistory::new().unwrap(), ModuleAccess::default());
        let (slot, wrong) = (Slot::try_from(7_u64).unwrap(), || {
            Err(Error::Pkcs11(RvError::PinIncorrect, Function::Login))
        });
        let sent = Cell::new(0);
        let log_in = || {
            logins.log_in(
                (&access, slot, Scope::Token(slot)),
                0,
                (&TOKEN, "1234"),
                || false,
                || {
                    sent.set(sent.get() + 1);
                    Ok(wrong())
                },
            )
        };
        log_in().unwrap_err();
        assert_eq!(sent.get(), 1);
        // While no call may enter the module, another exclusive caller waits.
        let (answered, wait) = mpsc::channel();
        thread::scope(|scope| {
            let (closed, begun) = mpsc::channel();
            let access = &access;
            let alone = scope.spawn(move || {
                access.alone(Scope::Token(slot), 0, || {
                    closed.send(()).unwrap();
                    wait.recv_timeout(Duration::from_secs(10)).is_ok()
                })
            });
            begun.recv().unwrap();
            let error = log_in().unwrap_err();
            assert!(matches!(error, Pkcs11Error::PinRefused { sent: false, .. }), "{error}");
            answered.send(()).unwrap();
            assert!(alone.join().unwrap().unwrap());
        });
        assert_eq!(sent.get(), 1);
        // Nor if the user is logged in already.
        let there = logins.log_in(
            (&access, slot, Scope::Token(slot)),
            0,
            (&TOKEN, "right"),
            || true,
            || panic!("logged in"),
        );
        there.unwrap();
    }

    /// Otherwise the token would lock: the subscriber may panic at each failure. It may also block, and
    /// nothing waits for it.
    #[test]
    fn a_failure_counts_before_it_is_logged_and_blocks_nothing_meanwhile() {
        for code in [RvError::PinIncorrect, RvError::GeneralError] {
            let both = Arc::new((PinHistory::new().unwrap(), ModuleAccess::new(Duration::ZERO)));
            let slot = Slot::try_from(7_u64).unwrap();
            let (times, told) = (Cell::new(0), Arc::new(Mutex::new(Vec::new())));
            let log_in = || {
                let (logins, access) = &*both;
                let send = || {
                    times.set(times.get() + 1);
                    Ok(Err(Error::Pkcs11(code, Function::Login)))
                };
                let scope = Scope::Token(slot);
                logins.log_in((access, slot, scope), 0, (&TOKEN, "1234"), || false, send)
            };
            let on_event = {
                let (both, told) = (Arc::clone(&both), Arc::clone(&told));
                move |_| {
                    let (logins, access) = &*both;
                    let is_free = logins.known.try_lock().is_ok();
                    told.lock().unwrap().push((is_free, access.enter(Scope::Token(slot)).is_ok()));
                    panic_twice()
                }
            };
            let (ended, events) = with_events(on_event, || [log_in(), log_in()]);
            let [first, second] = ended.map(|ended| ended.unwrap_err().to_string());
            assert_eq!((times.get(), &first), (1, &second));
            assert_eq!(events, 1);
            assert_eq!(*told.lock().unwrap(), [(true, true)]);
            assert_eq!(both.0.lock().len(), 1);
        }
    }
}
