//! Calls that hang, and what waits behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use wxpay_auth::pkcs11::Pkcs11Signer;
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::load::{LIMIT, Load, only};
use wxpay_tests::token::{Faults, Token, certificate};
use wxpay_tests::token_checks::connect;
use wxpay_tests::until::until;
use wxpay_tests::{alone, chain};

use super::faults::fault;

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
