//! Tokens fail while 64 tasks sign: no wrong signature, no hang, no panic, and the service recovers by
//! itself.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use tokio::task::JoinSet;
use wxpay_auth::pkcs11::{Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_testing::SignerConformance;
use wxpay_tests::load::{LIMIT, Load, only};
use wxpay_tests::signals::{self, Signal};
use wxpay_tests::token::{Faults, PIN, Token, certificate, delete, softhsm_folder};
use wxpay_tests::token_checks::{connect, survives_closed_sessions, survives_logouts};
use wxpay_tests::until::until;
use wxpay_tests::{alone, chain};

/// The token that most faults apply to.
fn fault() -> Token {
    Token::softhsm("fault").faulty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn logouts_on_softhsm() {
    alone!();
    survives_logouts(&fault(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn logouts_on_opencryptoki() {
    alone!();
    survives_logouts(&Token::opencryptoki().faulty(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn logouts_on_softokn() {
    alone!();
    survives_logouts(&Token::softokn().faulty(), 3, 20).await;
}

// Not on opencryptoki, which crashes each time: it gives the number of a closed session to the next one,
// while the thread that used this number still signs with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn all_sessions_closed_on_softhsm() {
    alone!();
    survives_closed_sessions(&fault(), 20, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn all_sessions_closed_on_softokn() {
    alone!();
    survives_closed_sessions(&Token::softokn().faulty(), 3, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_token_that_is_taken_away_and_put_back() {
    alone!();
    let signer = connect(&fault()).await;
    let neighbour = connect(&Token::softhsm("other").faulty()).await;
    let (load, next_door) = (Load::start(&signer), Load::start(&neighbour));
    let folder = softhsm_folder("fault");
    let away = folder.with_extension("away").with_file_name("../away");
    for _ in 0..2 {
        load.sign_on(200).await;
        std::fs::rename(&folder, &away).unwrap();
        load.fail_on(200).await;
        std::fs::rename(&away, &folder).unwrap();
        load.sign_on(500).await;
    }
    let kinds = load.stop().await;
    let expected =
        [SignErrorKind::Unavailable, SignErrorKind::SessionLost, SignErrorKind::KeyNotFound];
    only(&kinds, &expected);
    assert!(!kinds.is_empty());
    // The module restarts that recover one token do not affect the other.
    next_door.sign_on(100).await;
    assert_eq!(next_door.stop().await, BTreeMap::new());
    signer.shut_down().await.unwrap();
    neighbour.shut_down().await.unwrap();
}

/// Between two signatures: PKCS#11 leaves open what happens to calls in progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_that_is_finalized_behind_the_back() {
    alone!();
    let signer = connect(&fault()).await;
    for _ in 0..3 {
        let context = cryptoki::context::Pkcs11::new(&fault().module).unwrap();
        context.finalize().unwrap();
        let load = Load::start(&signer);
        load.sign_on(200).await;
        only(&load.stop().await, &[SignErrorKind::SessionLost]);
    }
    signer.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn the_daemon_of_opencryptoki_is_restarted() {
    alone!();
    let ours = std::env::var_os("WXPAY_TEST_OPENCRYPTOKI_DAEMON").is_some();
    assert!(
        ours,
        "pkcsslotd ran before the tests, so it is not theirs to kill: scripts/test skips this"
    );
    let signer = connect(&Token::opencryptoki().faulty()).await;
    let load = Load::start(&signer);
    for _ in 0..2 {
        load.sign_on(200).await;
        let id = std::fs::read_to_string("/run/pkcsslotd.pid").expect("the daemon runs");
        signals::send(Signal::KILL, id.trim().parse().expect("an id"));
        load.sign_on(500).await;
        run("pkcsslotd", &[]);
        load.sign_on(500).await;
    }
    only(&load.stop().await, &[SignErrorKind::SessionLost, SignErrorKind::Unavailable]);
    // New signers need the daemon.
    let new = connect(&Token::opencryptoki().faulty()).await;
    new.sign(b"message").await.unwrap();
    new.shut_down().await.unwrap();
    signer.shut_down().await.unwrap();
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("a program");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_wrong_signature_never_gets_out() {
    alone!();
    let signer = connect(&fault()).await;
    let (load, faults) = (Load::start(&signer), Faults);
    load.sign_on(100).await;
    faults.set("wrong");
    load.fail_on(100).await;
    faults.clear();
    load.sign_on(100).await;
    only(&load.stop().await, &[SignErrorKind::InvalidSignature]);
    signer.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_token_that_hangs_holds_nobody_up_for_long() {
    alone!();
    let signer = Pkcs11Signer::builder(fault().merchant())
        .certificate(certificate())
        .sign_timeout(Duration::from_millis(500))
        .queue(32)
        .connect()
        .await
        .unwrap();
    let (load, faults) = (Load::start(&signer), Faults);
    load.sign_on(100).await;
    faults.set("hang");
    load.fail_on(300).await;
    let connecting = Pkcs11Signer::builder(fault().merchant())
        .certificate(certificate())
        .connect_timeout(Duration::from_millis(500));
    let error = connecting.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Timeout, "{error}");
    faults.clear();
    load.sign_on(300).await;
    only(&load.stop().await, &[SignErrorKind::Timeout, SignErrorKind::Throttled]);
    assert_eq!(signer.waiting(), 0);
    signer.shut_down().await.unwrap();
}

/// A module is not restarted while a call hangs in it; the error says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_call_that_hangs_keeps_the_module_from_its_restart() {
    alone!();
    let builder = Pkcs11Signer::builder(fault().merchant()).certificate(certificate());
    let signer = builder.sessions(2).sign_timeout(LIMIT).connect().await.unwrap();
    let faults = Faults;
    let before = faults.calls("C_SignInit hangs");
    faults.set("hang");
    let hanging = {
        let signer = signer.clone();
        tokio::spawn(async move { signer.sign(b"hanging").await })
    };
    until("a call hangs", || faults.calls("C_SignInit hangs") > before).await;
    // CKR_DEVICE_ERROR
    faults.set("hang\nsign 30");
    let held_up = async {
        loop {
            let error = signer.sign(b"message").await.unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
            if chain(&error).contains("calls into it hang (1)") {
                return error;
            }
            // It is too early for a restart.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let error = tokio::time::timeout(LIMIT, held_up).await.expect("the error never reports it");
    assert!(chain(&error).contains("C_SignInit answered CKR_DEVICE_ERROR"), "{}", chain(&error));
    assert!(error.hint().contains("restart the program"), "{error:?}");
    faults.clear();
    hanging.await.unwrap().unwrap();
    signer.sign(b"afterwards").await.unwrap();
    signer.shut_down().await.unwrap();
}

/// The login is lost, and the next login call hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_login_that_hangs_holds_up_its_own_token_only() {
    alone!();
    let connect_with = async |timeout| {
        let builder = Pkcs11Signer::builder(fault().merchant()).certificate(certificate());
        builder.sign_timeout(timeout).queue(32).connect().await.unwrap()
    };
    let signer = connect_with(Duration::from_millis(500)).await;
    let patient = connect_with(LIMIT).await;
    let neighbour = connect(&Token::softhsm("other").faulty()).await;
    let (_, slot) = fault().back_door();
    let (load, faults) = (Load::start(&signer), Faults);
    load.sign_on(100).await;
    faults.once("logout", &format!("login-hang {:x}", slot.id()));
    load.fail_on(100).await;

    // The signer on the other token signs, and new signers there can log in.
    let next_door = Load::start(&neighbour);
    next_door.sign_on(500).await;
    let logins = faults.calls("C_Login");
    let newcomer = connect(&Token::softhsm("pin").faulty()).await;
    newcomer.sign(b"message").await.unwrap();
    assert_eq!(faults.calls("C_Login"), logins + 1);
    newcomer.shut_down().await.unwrap();

    // A caller waits a while for the login, then gets an error. No session is left behind.
    let open = || faults.calls("C_OpenSession") - faults.calls("C_CloseSession");
    let before = open();
    let error = patient.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Timeout);
    assert!(chain(&error).contains("a login to the token"), "{}", chain(&error));
    assert_eq!(open(), before);

    load.fail_on(50).await;
    next_door.sign_on(100).await;
    assert_eq!(next_door.stop().await, BTreeMap::new());
    faults.clear();
    load.sign_on(300).await;
    only(&load.stop().await, &[SignErrorKind::Timeout, SignErrorKind::Throttled]);
    patient.sign(b"message").await.unwrap();
    for signer in [signer, patient, neighbour] {
        signer.shut_down().await.unwrap();
    }
}

/// One session hangs, and the queue holds 8: further calls are refused, and the queued ones are signed in the
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn overload_is_refused_and_passes() {
    alone!();
    let signer = Pkcs11Signer::builder(fault().merchant())
        .certificate(certificate())
        .sessions(1)
        .queue(8)
        .sign_timeout(LIMIT)
        .connect()
        .await
        .unwrap();
    let faults = Faults;
    faults.set("hang");
    let mut signing = JoinSet::new();
    for i in 0..64_u8 {
        let signer = signer.clone();
        signing.spawn(async move { (i, signer.sign(&[i]).await) });
    }
    // 8 are queued; one is being signed, unless the session took it late.
    for throttled in 0..55 {
        let ended = tokio::time::timeout(LIMIT, signing.join_next()).await;
        let (_, refused) = ended.expect("it hangs").unwrap().unwrap();
        let error = refused.expect_err("the token hangs");
        assert_eq!(error.kind(), SignErrorKind::Throttled, "{throttled}: {}", chain(&error));
    }
    faults.clear();
    let mut signed = 0;
    while let Some(ended) = signing.join_next().await {
        match ended.unwrap() {
            (i, Ok(signature)) => {
                assert!(signer.public_key().verifies(&[i], signature.as_bytes()));
                signed += 1;
            }
            (_, Err(error)) => assert_eq!(error.kind(), SignErrorKind::Throttled),
        }
    }
    assert!((8..=9).contains(&signed), "{signed} signed");
    assert_eq!(signer.waiting(), 0);
    signer.sign(b"afterwards").await.unwrap();
    signer.shut_down().await.unwrap();
}

/// Errors of a token for each signature, and the kind that is reported for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn codes_arrive_as_kinds() {
    alone!();
    let signer = connect(&fault()).await;
    let faults = Faults;
    let conformance =
        SignerConformance::new(signer.public_key().clone(), signer.serial_no().clone());
    for (code, kind) in [
        ("sign 30", SignErrorKind::Unavailable),  // CKR_DEVICE_ERROR
        ("sign 32", SignErrorKind::Unavailable),  // CKR_DEVICE_REMOVED
        ("sign b3", SignErrorKind::SessionLost),  // CKR_SESSION_HANDLE_INVALID
        ("sign 101", SignErrorKind::SessionLost), // CKR_USER_NOT_LOGGED_IN
        ("sign 68", SignErrorKind::PermissionDenied), // CKR_KEY_FUNCTION_NOT_PERMITTED
        ("sign 70", SignErrorKind::Unsupported),  // CKR_MECHANISM_INVALID
        ("sign 80000001", SignErrorKind::Other),  // vendor-defined
        ("wrong", SignErrorKind::InvalidSignature),
    ] {
        faults.set(code);
        conformance
            .check_failing(Arc::new(signer.clone()), kind, &[PIN])
            .await
            .unwrap_or_else(|e| panic!("{code}: {}", chain(&e)));
        faults.clear();
        signer.sign(b"message").await.unwrap_or_else(|e| panic!("{code}: {}", chain(&e)));
    }
    faults.set("sign 30");
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(chain(&error).contains("C_SignInit answered CKR_DEVICE_ERROR"), "{}", chain(&error));
    // A token that has no free session for a new signer.
    faults.set("open b1");
    let connecting = Pkcs11Signer::builder(fault().merchant()).connect();
    assert_eq!(connecting.await.unwrap_err().kind(), SignErrorKind::Throttled);
    signer.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn one_login_and_one_search_serve_many_signatures() {
    alone!();
    let faults = Faults;
    let token = Token::softhsm("other").faulty();
    let count = |function| faults.calls(function);
    let signer = connect(&token).await;
    let before = [count("C_Login"), count("C_OpenSession"), count("C_FindObjectsInit")];
    let load = Load::start(&signer);
    load.sign_on(500).await;
    assert_eq!(load.stop().await, BTreeMap::new());
    assert_eq!([count("C_Login"), count("C_OpenSession"), count("C_FindObjectsInit")], before);

    // A second signer on the token shares the login and the module, whatever path names it.
    let link = std::env::temp_dir().join(format!("wxpay-link-{}.so", std::process::id()));
    std::os::unix::fs::symlink(&token.module, &link).unwrap();
    let initialized = count("C_Initialize");
    let mut by_link = token.clone();
    by_link.module = link.clone();
    let second = connect(&by_link).await;
    std::fs::remove_file(&link).unwrap();
    assert_eq!(count("C_Initialize"), initialized);
    assert_eq!(count("C_Login"), before[0]);
    assert_eq!(count("C_OpenSession"), before[1] + 4);
    let closed = count("C_CloseSession");
    second.shut_down().await.unwrap();
    assert_eq!(count("C_CloseSession"), closed + 4);
    signer.sign(b"message").await.unwrap();
    signer.shut_down().await.unwrap();
    assert_eq!(count("C_CloseSession"), closed + 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn connecting_in_vain_leaves_no_session_behind() {
    alone!();
    let (faults, token) = (Faults, fault());
    let open = || faults.calls("C_OpenSession") - faults.calls("C_CloseSession");
    // A signer that stays connected keeps the login.
    let signer = connect(&token).await;
    let before = open();
    let nobody = Pkcs11Signer::builder(token.uri().object("nobody")).connect().await;
    assert_eq!(nobody.unwrap_err().kind(), SignErrorKind::KeyNotFound);
    assert_eq!(open(), before);

    // All sessions are open when the first signature fails.
    faults.set("sign 68"); // CKR_KEY_FUNCTION_NOT_PERMITTED
    let opened = faults.calls("C_OpenSession");
    let builder = || {
        let builder = Pkcs11Signer::builder(token.merchant());
        builder.certificate(certificate()).restart_module(false)
    };
    let broken = builder().sessions(3);
    assert_eq!(broken.connect().await.unwrap_err().kind(), SignErrorKind::PermissionDenied);
    assert_eq!(faults.calls("C_OpenSession"), opened + 3);
    assert_eq!(open(), before);

    // A lost session is not closed: its number may already belong to another session.
    for code in ["b3", "b0"] {
        faults.set(&format!("find {code}")); // CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED
        let closed = faults.calls("C_CloseSession");
        let error = builder().connect().await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::SessionLost, "{error}");
        assert_eq!(faults.calls("C_CloseSession"), closed);
    }
    faults.clear();
    signer.shut_down().await.unwrap();
}

/// The PIN is changed on the token while the login is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_pin_that_is_refused_is_not_sent_again() {
    alone!();
    let token = Token::softhsm("pin").faulty();
    let signer = connect(&token).await;
    let back_door = token.session();
    let (load, faults) = (Load::start(&signer), Faults);
    load.sign_on(100).await;
    let logins = faults.calls("C_Login");
    faults.once("logout", "login a0"); // CKR_PIN_INCORRECT
    load.fail_on(300).await;
    assert_eq!(faults.calls("C_Login"), logins + 1);
    // Not even if the token would accept it: an operator must look at it.
    faults.clear();
    load.fail_on(100).await;
    assert_eq!(faults.calls("C_Login"), logins + 1);
    only(&load.stop().await, &[SignErrorKind::PermissionDenied]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(chain(&error).contains("refused the PIN (CKR_PIN_INCORRECT)"), "{}", chain(&error));

    // A login by another application is sufficient.
    back_door.login(UserType::User, Some(&PIN.into())).unwrap();
    signer.sign(b"message").await.unwrap();
    signer.shut_down().await.unwrap();
}

/// The module does not initialise after a restart, for example because its server is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_that_does_not_come_up() {
    alone!();
    let signer = connect(&fault()).await;
    let neighbour = connect(&Token::softhsm("other").faulty()).await;
    let (load, faults) = (Load::start(&signer), Faults);
    load.sign_on(100).await;
    let initialized = faults.calls("C_Initialize");
    faults.set("sign 30\ninit 5"); // CKR_DEVICE_ERROR, CKR_GENERAL_ERROR
    load.fail_on(1000).await;
    // Not once for each failed signature.
    let while_away = load.kinds();
    let tries = faults.calls("C_Initialize") - initialized;
    assert!((1..200).contains(&tries), "{tries} restarts");
    only(&while_away, &[SignErrorKind::Unavailable]);
    let error = neighbour.sign(b"message").await.unwrap_err();
    assert!(
        chain(&error).ends_with("C_Initialize answered CKR_GENERAL_ERROR"),
        "{}",
        chain(&error)
    );
    faults.clear();
    load.sign_on(200).await;
    only(&load.stop().await, &[SignErrorKind::Unavailable, SignErrorKind::SessionLost]);
    // Other signers on the module recover as well.
    neighbour.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    signer.shut_down().await.unwrap();
    neighbour.shut_down().await.unwrap();
}

/// Another key appears under the label of the key that the signer and its serial belong to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_key_that_is_replaced_is_not_taken_for_the_old_one() {
    alone!();
    let token = Token::softhsm("born").faulty();
    let uri = token.uri().object("replaced");
    let old = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await.unwrap();
    let serial_no = certificate().serial_no().clone();
    let signer = Pkcs11Signer::builder(uri.clone()).serial_no(serial_no).connect().await.unwrap();
    signer.sign(b"message").await.unwrap();

    let delete = || delete(&token.session(), &[Attribute::Label(b"replaced".to_vec())]);
    delete();
    let restarts = Faults.calls("C_Finalize");
    for _ in 0..5 {
        let error = signer.sign(b"message").await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::KeyNotFound, "{}", chain(&error));
    }
    // The key is gone, which a restart would not repair.
    assert_eq!(Faults.calls("C_Finalize"), restarts);
    let new = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await.unwrap();
    assert_ne!(old.public_key(), new.public_key());
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(chain(&error).contains("the key was replaced"), "{}", chain(&error));
    signer.shut_down().await.unwrap();
    delete();
}

/// A token that shows no objects at all is not treated as a token without the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_token_that_shows_nothing_is_looked_for_again() {
    alone!();
    let signer = connect(&fault()).await;
    let (load, faults) = (Load::start(&signer), Faults);
    load.sign_on(100).await;
    let restarts = faults.calls("C_Finalize");
    faults.once("close-all", "blind");
    load.fail_on(200).await;
    while faults.calls("C_Finalize") == restarts {
        load.fail_on(10).await;
    }
    faults.clear();
    load.sign_on(200).await;
    only(&load.stop().await, &[SignErrorKind::KeyNotFound, SignErrorKind::SessionLost]);
    signer.shut_down().await.unwrap();
}
