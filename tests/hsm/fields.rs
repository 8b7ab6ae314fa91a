//! Sensitive fields are decrypted with keys in tokens.

use cryptoki::object::{Attribute, ObjectClass};
use wxpay_auth::SignErrorKind;
use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer};
use wxpay_tests::alone;
use wxpay_tests::field_checks::token_decrypts;
use wxpay_tests::token::{Token, delete};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn softhsm_decrypts() {
    alone!();
    token_decrypts(&Token::softhsm("main")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn opencryptoki_decrypts() {
    alone!();
    token_decrypts(&Token::opencryptoki()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NSS softokn: run scripts/test"]
async fn softokn_decrypts() {
    alone!();
    token_decrypts(&Token::softokn()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tpm2-pkcs11 and swtpm: run scripts/test"]
async fn tpm_decrypts() {
    alone!();
    token_decrypts(&Token::tpm()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs p11-kit: run scripts/test"]
async fn p11_kit_client_decrypts() {
    alone!();
    token_decrypts(&Token::p11_kit_client()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kryoptic: run scripts/test"]
async fn kryoptic_decrypts() {
    alone!();
    token_decrypts(&Token::kryoptic()).await;
}

/// The signer says so when it is asked, not when the first field arrives.
#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_key_that_may_only_sign_has_no_decryptor() {
    alone!();
    let token = Token::softhsm("born");
    let uri = token.uri().object("signing only").id([8, 8]);
    Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await.unwrap();
    let signer = Pkcs11Signer::builder(uri).without_certificate().connect().await.unwrap();
    let error = signer.decryptor().unwrap_err();
    assert!(matches!(error, Pkcs11Error::KeyCannotDecrypt), "{error:?}");
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied);
    assert!(error.hint().contains("SignAndDecrypt"), "{}", error.hint());
    signer.shut_down().await.unwrap();
    let session = token.session();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        delete(&session, &[Attribute::Class(class), Attribute::Id(vec![8, 8])]);
    }
}
