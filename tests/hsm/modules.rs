//! A module has one state in a process, whatever path names it and however many signers use it.

use std::path::PathBuf;
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, ObjectClass};
use wxpay_auth::pkcs11::{
    Pin, Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer, Pkcs11SignerBuilder,
};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::token::{Faults, Token, certificate, delete, softhsm_folder};
use wxpay_tests::{alone, chain};

fn builder(token: &Token) -> Pkcs11SignerBuilder {
    Pkcs11Signer::builder(token.merchant()).certificate(certificate())
}

async fn connect(token: &Token) -> Pkcs11Signer {
    builder(token).connect().await.unwrap_or_else(|e| panic!("{}: {}", token.name, chain(&e)))
}

/// Returns the token under another path of its module.
fn by(module: impl Into<PathBuf>, token: &Token) -> Token {
    let mut token = token.clone();
    token.module = module.into();
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_is_one_under_all_its_names() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("pin").faulty());
    let name = token.module.file_name().unwrap().to_owned();
    let folder = std::env::temp_dir().join(format!("wxpay-names-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    // A hard link is the same file, wherever it is.
    let hard = token.module.with_file_name("hard.so");
    std::fs::hard_link(&token.module, &hard).unwrap();
    let link = folder.join("link.so");
    std::os::unix::fs::symlink(&token.module, &link).unwrap();

    let signer = connect(&by(&name, &token)).await;
    let (initialized, logins) = (faults.calls("C_Initialize"), faults.calls("C_Login"));
    for module in [name.into(), token.module.clone(), link, hard.clone(), "hard.so".into()] {
        let token = by(&module, &token);
        connect(&token).await.shut_down().await.unwrap();
        assert_eq!(faults.calls("C_Initialize"), initialized, "{}", module.display());
        assert_eq!(faults.calls("C_Login"), logins, "{}", module.display());
    }
    signer.shut_down().await.unwrap();

    // No user is logged in now. All paths share what one of them has learned.
    for (nth, module) in [token.module.clone(), "hard.so".into()].into_iter().enumerate() {
        let token = by(&module, &token);
        let wrong = Pkcs11Signer::builder(token.merchant().pin(Pin::new("wr0ng")));
        let error = wrong.connect().await.unwrap_err();
        let first = nth == 0;
        assert!(matches!(error, Pkcs11Error::PinRefused { sent, .. } if sent == first), "{error}");
        assert_eq!(faults.calls("C_Login"), logins + 1);
    }
    std::fs::remove_file(hard).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

/// A daemon that is down is not a configuration error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_that_is_not_initialized_says_why() {
    alone!();
    let (faults, copy) = (Faults, Copy::of(&Token::softhsm("fault").faulty()));
    for (code, name, kind) in [
        ("init 5", "CKR_GENERAL_ERROR", SignErrorKind::Unavailable),
        ("init 30", "CKR_DEVICE_ERROR", SignErrorKind::Unavailable),
        ("init 7", "CKR_ARGUMENTS_BAD", SignErrorKind::Other),
    ] {
        faults.set(code);
        let error = builder(&copy.0).connect().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.to_string(), format!("C_Initialize answered {name}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_that_hangs_holds_up_no_other_one() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("fault").faulty());
    let copy = Copy::of(&token);
    connect(&token).await.shut_down().await.unwrap();
    let initialized = faults.calls("C_Initialize");
    faults.set("init-hang");
    let hanging = tokio::spawn(builder(&copy.0).connect());
    while faults.calls("C_Initialize") == initialized {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    connect(&token).await.shut_down().await.unwrap();
    assert!(!hanging.is_finished());
    faults.set("init 5");
    let error = hanging.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{error}");
}

/// A separate module: a copy of the file, which never initialises the module below it.
struct Copy(Token);

impl Copy {
    fn of(token: &Token) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("wxpay-copy-{}-{number}.so", std::process::id());
        let copy = std::env::temp_dir().join(name);
        std::fs::copy(&token.module, &copy).unwrap();
        Self(by(copy, token))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0.module);
    }
}

/// The module was initialised while the token was absent: only a restart makes the token visible.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_token_that_comes_late_is_connected_to() {
    alone!();
    let token = Token::softhsm("fault").faulty();
    // The module remains in use by its signers throughout.
    let other = Token::softhsm("other").faulty();
    let neighbour = connect(&other).await;
    let folder = softhsm_folder("fault");
    let away = folder.with_file_name("../away-late");
    let comes_back = || std::fs::rename(&away, &folder).unwrap();
    let takes_away = || std::fs::rename(&folder, &away).unwrap();

    takes_away();
    restart(&other);
    let error = builder(&token).connect().await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::TokenNotFound { .. }), "{error}");
    comes_back();
    resumes(|| async { builder(&token).connect().await?.shut_down().await }).await;

    takes_away();
    restart(&other);
    assert!(Pkcs11KeyPair::find(token.merchant()).await.is_err());
    comes_back();
    resumes(|| async { Pkcs11KeyPair::find(token.merchant()).await.map(drop) }).await;

    let pair = Pkcs11KeyPair::find(token.merchant()).await.unwrap();
    takes_away();
    restart(&other);
    assert!(pair.store_certificate(certificate()).await.is_err());
    comes_back();
    resumes(|| pair.store_certificate(certificate())).await;

    takes_away();
    restart(&other);
    let new = token.uri().object("late");
    let generate = || Pkcs11KeyPair::generate(new.clone(), Pkcs11KeyUsage::Sign);
    assert!(generate().await.is_err());
    comes_back();
    resumes(|| async { generate().await.map(drop) }).await;
    let session = token.session();
    delete(&session, &[Attribute::Class(ObjectClass::CERTIFICATE)]);
    delete(&session, &[Attribute::Label(b"late".to_vec())]);
    neighbour.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    neighbour.shut_down().await.unwrap();
}

/// Restarts a module without its signers noticing.
fn restart(token: &Token) {
    Pkcs11::new(&token.module).unwrap().finalize().unwrap();
    token.back_door();
}

/// Repeats the operation until it succeeds: restarts are spaced out.
async fn resumes<F: Future<Output = Result<(), Pkcs11Error>>>(something: impl Fn() -> F) {
    let mut last = None;
    for _ in 0..600 {
        match something().await {
            Ok(()) => return,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not recover: {last:?}");
}
