//! How often a PIN is sent to a token: it locks after a few wrong ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::session::UserType;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use wxpay_auth::pkcs11::{Pin, Pkcs11Error, Pkcs11KeyPair, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::token::{Faults, PIN, Token, certificate};
use wxpay_tests::{alone, chain};

/// Some modules report a wrong PIN with an ambiguous code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_login_that_fails_is_not_tried_again_at_once() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    for (code, name) in [
        ("5", "CKR_GENERAL_ERROR"),
        ("6", "CKR_FUNCTION_FAILED"),
        ("7", "CKR_ARGUMENTS_BAD"),
        ("30", "CKR_DEVICE_ERROR"),
        ("102", "CKR_USER_PIN_NOT_INITIALIZED"),
        // The PIN did not cause the lock, and a TPM unlocks itself.
        ("a4", "CKR_PIN_LOCKED"),
        ("80000001", "CKR_VENDOR_DEFINED(2147483649)"),
    ] {
        // A different PIN each time: the previous one is not sent again for a while.
        let wrong = Arc::new(AtomicBool::new(false));
        let pin = {
            let (wrong, other) = (Arc::clone(&wrong), format!("0ther-{code}"));
            let ask = move || if wrong.load(Ordering::SeqCst) { other.clone() } else { PIN.into() };
            Pin::callback(move || Ok::<String, std::io::Error>(ask()))
        };
        let signer = Pkcs11Signer::builder(token.merchant().pin(pin))
            .certificate(certificate())
            .sessions(3)
            .connect()
            .await
            .unwrap();
        let back_door = token.session();
        let (logins, restarts) = (faults.calls("C_Login"), faults.calls("C_Finalize"));
        wrong.store(true, Ordering::SeqCst);
        faults.once("logout", &format!("login {code}"));
        for _ in 0..5 {
            let signing: Vec<_> = (0..4)
                .map(|_| {
                    let signer = signer.clone();
                    tokio::spawn(async move { signer.sign(b"message").await })
                })
                .collect();
            for signing in signing {
                let error = signing.await.unwrap().unwrap_err();
                let expected = format!("the login failed ({name})");
                assert!(chain(&error).ends_with(&expected), "{}", chain(&error));
            }
        }
        assert_eq!(faults.calls("C_Login"), logins + 1, "{name}");
        assert_eq!(faults.calls("C_Finalize"), restarts, "{name}");
        let error = Pkcs11Signer::builder(token.merchant().pin(Pin::new(format!("0ther-{code}"))));
        let error = error.certificate(certificate()).connect().await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::LoginFailed { sent: false, .. }), "{error}");
        assert_eq!(faults.calls("C_Login"), logins + 1, "{name}");

        // A login by another application is sufficient.
        faults.clear();
        back_door.login(UserType::User, Some(&PIN.into())).unwrap();
        signer.sign(b"message").await.unwrap_or_else(|e| panic!("{name}: {}", chain(&e)));
        signer.shut_down().await.unwrap();
    }
}

/// A session lost during a login says nothing about the PIN.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_login_that_nobody_looked_at_is_tried_again() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    let connecting = || Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    for code in ["b3", "b0", "e0"] {
        faults.set(&format!("login {code}"));
        let error = connecting().connect().await.unwrap_err();
        assert!(error.to_string().starts_with("C_Login answered "), "{error}");
        assert!(error.kind() != SignErrorKind::PermissionDenied, "{error}");
        faults.clear();
        connecting().connect().await.unwrap().shut_down().await.unwrap();
        // The session reported as lost still exists, and keeps the login.
        token.session().logout().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_callback_that_panics_leaves_no_session_behind() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    let opened = faults.calls("C_OpenSession");
    let closed = faults.calls("C_CloseSession");
    let pin = Pin::callback(|| -> Result<String, std::io::Error> { panic!("told to") });
    let connecting = Pkcs11Signer::builder(token.merchant().pin(pin)).certificate(certificate());
    let error = connecting.connect().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::PinUnavailable { .. }), "{error}");
    assert!(chain(&error).ends_with("the callback panicked"), "{}", chain(&error));
    assert_eq!(faults.calls("C_OpenSession"), opened + 1);
    assert_eq!(faults.calls("C_CloseSession"), closed + 1);
}

/// Panics at each event of this workspace.
struct Panics;

impl<S: Subscriber> Layer<S> for Panics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        assert!(!event.metadata().target().starts_with("wxpay_"), "told to");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_subscriber_that_panics_sends_no_wrong_pin_again_and_leaves_no_session_behind() {
    alone!();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Panics)).unwrap();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    let wrong = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&wrong);
    let pin = move || if asked.load(Ordering::SeqCst) { "0ther" } else { PIN }.to_owned();
    let pin = Pin::callback(move || Ok::<String, std::io::Error>(pin()));
    let connecting = Pkcs11Signer::builder(token.merchant().pin(pin)).certificate(certificate());
    let signer = connecting.sessions(1).connect().await.unwrap();
    faults.once("close-all", "");
    signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));

    wrong.store(true, Ordering::SeqCst);
    let counts = || ["C_Login", "C_OpenSession", "C_CloseSession"].map(|name| faults.calls(name));
    let before = counts();
    faults.once("logout", "");
    for _ in 0..4 {
        let error = signer.sign(b"message").await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
    }
    let [logins, opened, closed] = counts();
    assert_eq!(logins, before[0] + 1);
    // The first session lost its login, and was closed as well.
    assert_eq!(closed - before[2], opened - before[1] + 1);
}

/// No token has such a PIN, and each login would count as a wrong PIN.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn what_is_no_pin_is_not_sent() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    let connecting =
        |pin: Pin| Pkcs11Signer::builder(token.merchant().pin(pin)).certificate(certificate());
    let file = std::env::temp_dir().join(format!("wxpay-pins-{}", std::process::id()));
    let logins = faults.calls("C_Login");
    for content in ["", "\n", "\u{feff}pin4test\n", "pin4test\npin4test\n", "pin4test\0"] {
        std::fs::write(&file, content).unwrap();
        for pin in [Pin::file(&file), Pin::new(content.trim_end_matches('\n'))] {
            let error = connecting(pin).connect().await.unwrap_err();
            assert!(matches!(error, Pkcs11Error::PinUnusable { .. }), "{content:?}: {error}");
            assert_eq!(error.kind(), SignErrorKind::PermissionDenied);
            assert!(error.hint().contains("it was not sent"), "{}", error.hint());
        }
    }
    assert_eq!(faults.calls("C_Login"), logins);
    std::fs::write(&file, format!("{PIN}\r\n")).unwrap();
    connecting(Pin::file(&file)).connect().await.unwrap().shut_down().await.unwrap();
    assert_eq!(faults.calls("C_Login"), logins + 1);
    std::fs::remove_file(&file).unwrap();
}

/// A wrong PIN would lock the token, and whether it is wrong is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn the_last_try_is_left_to_a_person() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    let connecting = || Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    let signer = connecting().connect().await.unwrap();
    let logins = faults.calls("C_Login");

    // Neither on connecting, nor after a lost login, nor on looking for a key.
    faults.once("logout", "final-try");
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
    assert!(chain(&error).contains("CKF_USER_PIN_FINAL_TRY"), "{}", chain(&error));
    for error in [
        connecting().connect().await.unwrap_err(),
        connecting().use_last_pin_try(false).connect().await.unwrap_err(),
        Pkcs11KeyPair::find(token.merchant()).await.unwrap_err(),
    ] {
        assert!(matches!(error, Pkcs11Error::LastPinTry), "{error}");
        assert!(error.hint().contains("use_last_pin_try(true)"), "{}", error.hint());
    }
    assert_eq!(faults.calls("C_Login"), logins);

    // Only if this is explicitly allowed, or after a login by another application.
    let risked = connecting().use_last_pin_try(true).connect().await.unwrap();
    assert_eq!(faults.calls("C_Login"), logins + 1);
    signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    risked.shut_down().await.unwrap();
    faults.clear();
    signer.shut_down().await.unwrap();
}

/// Before a PIN is sent, a token with a random number generator is asked for random numbers; other tokens are
/// not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn random_numbers_are_asked_for_where_there_are_some() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("other").faulty());
    let connecting = || Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    for (code, name) in
        [("5", "CKR_GENERAL_ERROR"), ("6", "CKR_FUNCTION_FAILED"), ("30", "CKR_DEVICE_ERROR")]
    {
        let logins = faults.calls("C_Login");
        faults.set(&format!("random {code}"));
        let error = connecting().connect().await.unwrap_err();
        assert_eq!(error.to_string(), format!("C_GenerateRandom answered {name}"));
        assert_eq!(error.kind(), SignErrorKind::Unavailable);
        assert_eq!(faults.calls("C_Login"), logins);

        faults.set(&format!("random {code}\nno-rng"));
        let signer = connecting().connect().await.unwrap_or_else(|e| panic!("{}", chain(&e)));
        signer.sign(b"message").await.unwrap();
        assert_eq!(faults.calls("C_Login"), logins + 1);
        signer.shut_down().await.unwrap();
    }
}
