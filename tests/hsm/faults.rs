//! Tokens fail while 64 tasks sign: no wrong signature, no hang, no panic, and the service recovers by
//! itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use wxpay_auth::pkcs11::{Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_testing::SignerConformance;
use wxpay_tests::load::{Load, only};
use wxpay_tests::token::{Faults, PIN, Token, certificate, delete};
use wxpay_tests::token_checks::connect;
use wxpay_tests::{alone, chain};

/// The token that most faults apply to.
pub(super) fn fault() -> Token {
    Token::softhsm("fault").faulty()
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
