//! Contents of PKCS#11 errors: the objects found, and the command that lists them.

use std::process::Command;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use wxpay_auth::pkcs11::{Pin, Pkcs11Error, Pkcs11Signer, Pkcs11Uri};
use wxpay_tests::token::{Faults, PIN, Token, certificate, certificate_object, delete};
use wxpay_tests::{alone, chain};

async fn refused(uri: Pkcs11Uri) -> Pkcs11Error {
    let connecting = Pkcs11Signer::builder(uri).certificate(certificate()).restart_module(false);
    connecting.connect().await.expect_err("an error")
}

fn foreign() -> Token {
    let token = Token::softhsm("foreign");
    delete(&token.session(), &[]);
    token
}

#[tokio::test]
#[ignore = "needs SoftHSM and pkcs11-tool: run scripts/test"]
async fn a_key_that_is_not_found_is_answered_with_those_that_are_there() {
    alone!();
    let token = foreign();
    let error = refused(token.uri().object("nothing")).await;
    assert!(error.to_string().contains("object=nothing; there are: none; list them: "), "{error}");

    let session = token.session();
    let label = Attribute::Label("商户\n\u{202e}key".as_bytes().to_vec());
    let public = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
    let private = [label, Attribute::Id(vec![0x6d, 0xeb, 0x45]), Attribute::Token(true)];
    session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
    let names = |n: u8| [Attribute::Label(format!("c{n}").into_bytes()), Attribute::Id(vec![n])];
    let der = certificate().as_der().to_vec();
    let _certificates: Vec<_> =
        (0..19).map(|n| certificate_object(&session, &der, &names(n))).collect();
    let error = refused(token.uri().object("nothing")).await;
    let text = error.to_string();
    assert!(
        text.contains("there are: private key \"商户  key\" (id=%6D%EB%45), certificate \"c"),
        "{text}"
    );
    assert!(text.contains(", and 3 more; list them: ") && text.len() < 1500, "{text}");
    assert_eq!(text.matches("certificate \"c").count(), 16, "{text}");

    // The command addresses this token, not the first one.
    let command = text.split("list them: ").nth(1).unwrap();
    let output =
        Command::new("sh").args(["-c", &format!("{command} --pin {PIN}")]).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && listed.contains("6deb45"), "{command}: {listed}");

    for id in ["6deb45", "6D:EB:45"] {
        let error = refused(token.uri().id(id)).await;
        assert!(
            error.to_string().contains("as hexadecimal digits, write id=%6D%EB%45;"),
            "{error}"
        );
        assert!(
            error.hint().contains("6deb45, as tools print it, is %6D%EB%45"),
            "{}",
            error.hint()
        );
    }
    let error = refused(token.uri().id("merchant")).await;
    assert!(!error.to_string().contains("hexadecimal"), "{error}");
    assert!(!error.hint().contains("%XX"), "{}", error.hint());
    delete(&session, &[]);
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn several_keys_are_named_and_told_apart_by_what_is_not_given() {
    alone!();
    let token = foreign();
    let session = token.session();
    let public = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
    for label in ["a", "a", "b"] {
        let private = [Attribute::Label(label.into()), Attribute::Id(vec![7])];
        session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
    }
    for (uri, count, hint) in [
        (token.uri(), 3, "add id to"),
        (token.uri().object("a"), 2, "add id to"),
        (token.uri().id([7]), 3, "add object to"),
        (token.uri().object("a").id([7]), 2, "give them other ids"),
    ] {
        let error = refused(uri).await;
        let text = error.to_string();
        assert!(text.starts_with(&format!("{count} private keys fit ")), "{text}");
        assert_eq!(text.matches(" (id=%07)").count(), count, "{text}");
        assert!(error.hint().contains(hint), "{text}: {}", error.hint());
        assert_eq!(error.hint().contains("add id"), hint.contains("add id"), "{}", error.hint());
    }
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn several_tokens_are_those_that_fit() {
    alone!();
    let token = Token::softhsm("foreign");
    let any = Pkcs11Uri::new(&token.module).pin(Pin::new(PIN));
    let error = refused(any.clone().model("SoftHSM v2")).await;
    assert!(error.to_string().starts_with("8 tokens fit "), "{error}");
    assert!(!error.to_string().contains("initialised"), "{error}");

    // SoftHSM always has a spare token.
    let error = refused(any.token("nowhere")).await;
    let text = error.to_string();
    assert!(text.contains("a token that is not initialised (slot-id "), "{text}");
    assert!(text.contains("\"foreign\" (serial "), "{text}");
    assert!(!error.hint().contains("SOFTHSM2_CONF"), "{}", error.hint());
}

/// Tools print the padding of a token's texts, or omit it.
#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn padding_makes_no_difference() {
    alone!();
    let token = Token::softhsm("main");
    let module = token.module.display();
    for padding in ["", "%00%00", "%20%20", "%20%00"] {
        let uri = format!(
            "pkcs11:model=SoftHSM%20v2{padding};manufacturer=SoftHSM%20project{padding};\
             token=main{padding};object=merchant{padding}?module-path={module}&pin-value={PIN}"
        );
        let signer = Pkcs11Signer::connect(&uri).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(signer.serial_no(), certificate().serial_no());
        signer.shut_down().await.unwrap();
    }
    let error = refused(token.uri().token("%00main")).await;
    assert!(matches!(error, Pkcs11Error::TokenNotFound { .. }), "{error}");
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_module_that_shows_nothing_names_its_settings() {
    alone!();
    let (faults, token) = (Faults, Token::softhsm("other").faulty());
    // It has not been initialised in this process yet.
    faults.set("init 5");
    let error = refused(token.merchant()).await;
    assert_eq!(error.to_string(), "C_Initialize answered CKR_GENERAL_ERROR");
    assert!(error.hint().contains("SOFTHSM2_CONF"), "{}", error.hint());
    assert!(error.hint().contains("its user must be able to read that file"), "{}", error.hint());
    faults.set("no-slots");
    let error = refused(token.merchant()).await;
    assert!(error.to_string().ends_with("; there are: none"), "{error}");
    assert!(error.hint().contains("SOFTHSM2_CONF"), "{}", error.hint());
    faults.clear();
    let connecting = Pkcs11Signer::builder(token.merchant()).certificate(certificate());
    connecting.connect().await.unwrap().shut_down().await.unwrap();
}
