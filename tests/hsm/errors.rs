//! Problems with a token, a key, a PIN or a certificate are reported when the signer connects.

use std::time::Duration;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::Session;
use wxpay_auth::pkcs11::{
    Pin, Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer, Pkcs11SignerBuilder, Pkcs11Uri,
};
use wxpay_auth::{Certificate, KeyError, SignErrorKind, Signer};
use wxpay_testing::Gateway;
use wxpay_tests::token::{PIN, Token, certificate, certificate_object};
use wxpay_tests::{alone, chain};

/// Connects and returns the error, which must be of this kind, have a hint, and show no PIN.
async fn refused(builder: Pkcs11SignerBuilder, kind: SignErrorKind) -> Pkcs11Error {
    let error = builder.connect().await.expect_err("an error");
    assert_eq!(error.kind(), kind, "{}", chain(&error));
    assert!(!error.hint().is_empty());
    for text in [format!("{error:?}"), chain(&error)] {
        assert!(!text.contains(PIN) && !text.contains("wr0ngPIN"), "{text}");
    }
    error
}

fn builder(uri: Pkcs11Uri) -> Pkcs11SignerBuilder {
    Pkcs11Signer::builder(uri).certificate(certificate())
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_loaded() {
    let uri = || Pkcs11Uri::new("/nowhere/module.so");
    let none = Duration::ZERO;
    for (builder, setting) in [
        (builder(uri()).sessions(0), "sessions"),
        (builder(uri()).sessions(1025), "sessions"),
        (builder(uri()).queue(0), "queue"),
        (builder(uri()).sign_timeout(none), "sign_timeout"),
        (builder(uri()).connect_timeout(none), "connect_timeout"),
        (builder("pkcs11:token=main".parse().unwrap()), "module-path"),
    ] {
        let error = refused(builder, SignErrorKind::Configuration).await;
        let names =
            |e: &Pkcs11Error| matches!(e, Pkcs11Error::Setting { setting: s, .. } if *s == setting);
        assert!(names(&error), "{error}");
    }
    let error = Pkcs11Signer::connect("pkcs11:tokn=main").await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::Uri(_)));
    let error = Pkcs11KeyPair::generate(uri(), Pkcs11KeyUsage::Sign).await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::Setting { setting: "object", .. }));
}

#[tokio::test]
async fn a_module_that_is_none_is_named() {
    let text = std::env::temp_dir().join(format!("wxpay-no-module-{}", std::process::id()));
    std::fs::write(&text, "not a library").unwrap();
    for module in ["/nowhere/module.so", text.to_str().unwrap(), "no-such-module.so", "libm.so.6"] {
        let error = refused(builder(Pkcs11Uri::new(module)), SignErrorKind::Configuration).await;
        assert!(matches!(error, Pkcs11Error::Module { .. }), "{module}: {}", chain(&error));
        assert!(error.to_string().contains(module), "{error}");
    }
    std::fs::remove_file(&text).unwrap();
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn exactly_one_token_must_fit() {
    alone!();
    let token = Token::softhsm("main");
    let unavailable = SignErrorKind::Unavailable;
    let error = refused(builder(token.merchant().token("nowhere")), unavailable).await;
    let text = error.to_string();
    assert!(text.contains("token=nowhere") && text.contains("\"main\" (serial "), "{text}");
    for uri in
        [token.merchant().serial("0"), token.merchant().slot_id(987), token.merchant().model("x")]
    {
        let error = refused(builder(uri), unavailable).await;
        assert!(matches!(error, Pkcs11Error::TokenNotFound { .. }), "{error}");
    }

    let any = Pkcs11Uri::new(&token.module).object("merchant").pin(Pin::new(PIN));
    let error = refused(builder(any.clone()), SignErrorKind::Configuration).await;
    assert!(matches!(error, Pkcs11Error::SeveralTokens { count: 8, .. }), "{error}");

    // Its serial is sufficient, and so is its slot.
    let (context, slot) = token.back_door();
    let serial = context.get_token_info(slot).unwrap().serial_number().to_owned();
    builder(any.clone().serial(serial)).connect().await.unwrap().shut_down().await.unwrap();
    builder(any.slot_id(slot.id())).connect().await.unwrap().shut_down().await.unwrap();
}

#[tokio::test]
#[ignore = "needs opencryptoki: run scripts/test"]
async fn opencryptoki_goes_by_its_slot() {
    alone!();
    let token = Token::opencryptoki();
    let by_label = Pkcs11Uri::new(&token.module).token("wxpay-test").pin(Pin::new(PIN));
    let error = refused(builder(by_label), SignErrorKind::Unavailable).await;
    assert!(error.to_string().contains("info cannot be read (slot-id"), "{error}");
    assert!(error.hint().contains("slot-id"));
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn exactly_one_usable_key_must_fit() {
    alone!();
    let token = Token::softhsm("odd");
    let session = token.session();
    let find = |label: &str| builder(token.uri().object(label));

    let error = refused(find("nothing"), SignErrorKind::KeyNotFound).await;
    assert!(error.to_string().contains("object=nothing"), "{error}");
    assert!(!error.to_string().contains("module-path"), "{error}");

    rsa(&session, "small", 1024, &[Attribute::Sign(true)]);
    let error = refused(find("small"), SignErrorKind::Unsupported).await;
    assert!(matches!(error, Pkcs11Error::Key(KeyError::WrongSize { bits: 1024, .. })), "{error}");
    rsa(&session, "large", 3072, &[Attribute::Sign(true)]);
    let error = refused(find("large"), SignErrorKind::Unsupported).await;
    assert!(matches!(error, Pkcs11Error::Key(KeyError::WrongSize { bits: 3072, .. })), "{error}");

    rsa(&session, "decrypting", 2048, &[Attribute::Sign(false), Attribute::Decrypt(true)]);
    let error = refused(find("decrypting"), SignErrorKind::PermissionDenied).await;
    assert!(matches!(error, Pkcs11Error::KeyCannotSign), "{error}");

    rsa(&session, "asking", 2048, &[Attribute::Sign(true), Attribute::AlwaysAuthenticate(true)]);
    let error = refused(find("asking"), SignErrorKind::Unsupported).await;
    assert!(matches!(error, Pkcs11Error::KeyAlwaysAuthenticates), "{error}");

    let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let label = Attribute::Label(b"curved".to_vec());
    let private = [label.clone(), Attribute::Sign(true)];
    let public = [label, Attribute::EcParams(p256)];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    let error = refused(find("curved"), SignErrorKind::Unsupported).await;
    assert!(matches!(error, Pkcs11Error::Key(KeyError::NotRsa { .. })), "{error}");

    for _ in 0..2 {
        rsa(&session, "twin", 2048, &[Attribute::Sign(true)]);
    }
    let error = refused(find("twin"), SignErrorKind::Configuration).await;
    assert!(matches!(error, Pkcs11Error::SeveralKeys { count: 2, .. }), "{error}");
    let any = refused(builder(token.uri()), SignErrorKind::Configuration).await;
    assert!(matches!(any, Pkcs11Error::SeveralKeys { .. }), "{any}");
    // The id distinguishes them.
    builder(token.uri().id([1])).connect().await.unwrap().shut_down().await.unwrap();
}

/// Generates a pair that exists until the session ends.
fn rsa(session: &Session, label: &str, bits: u64, private: &[Attribute]) {
    let label = [Attribute::Label(label.as_bytes().to_vec())];
    let public = [Attribute::ModulusBits(bits.into()), Attribute::PublicExponent(vec![1, 0, 1])];
    let public = [&label[..], &public].concat();
    let private = [&label[..], private].concat();
    session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn the_certificate_must_belong_to_the_key() {
    alone!();
    let gateway = Gateway::start().await;
    let others = Certificate::from_pem(include_str!(
        "../../crates/wxpay-auth-core/testdata/keys/wechat_pay_certificate.pem"
    ))
    .unwrap();
    let second = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let token = Token::softhsm("other");
    let configuration = SignErrorKind::Configuration;

    let given = Pkcs11Signer::builder(token.merchant()).certificate(others.clone());
    let error = refused(given, configuration).await;
    let mismatch = |error: &Pkcs11Error| {
        matches!(error, Pkcs11Error::Key(KeyError::CertificateMismatch { serial_no, .. })
            if serial_no == others.serial_no())
    };
    assert!(mismatch(&error), "{}", chain(&error));

    let found = || Pkcs11Signer::builder(token.merchant());
    let error = refused(found(), configuration).await;
    assert!(matches!(error, Pkcs11Error::NoCertificate), "{error}");

    let session = token.session();
    let der_on_token = |der: &[u8]| certificate_object(&session, der, &[Attribute::Id(vec![1])]);
    let on_token = |certificate: &Certificate| der_on_token(certificate.as_der());
    let _damaged = der_on_token(&[0x30, 0]);
    let error = refused(found(), SignErrorKind::Unsupported).await;
    assert!(matches!(error, Pkcs11Error::Key(KeyError::Malformed { .. })), "{}", chain(&error));
    let _others = on_token(&others);
    let error = refused(found(), configuration).await;
    assert!(mismatch(&error), "{}", chain(&error));

    // The certificate that belongs to the key is selected, whatever other objects have its id, damaged or
    // not.
    let _first = on_token(&certificate());
    let signer = found().connect().await.unwrap();
    assert_eq!(signer.serial_no(), certificate().serial_no());
    signer.shut_down().await.unwrap();

    let _second = on_token(&second);
    let error = refused(found(), configuration).await;
    assert!(matches!(error, Pkcs11Error::SeveralCertificates { count: 2, .. }), "{error}");
    let signer = found().certificate(second.clone()).connect().await.unwrap();
    assert_eq!(signer.sign(b"m").await.unwrap().serial_no(), second.serial_no());
    signer.shut_down().await.unwrap();
    let serial_no = others.serial_no().clone();
    let signer = found().serial_no(serial_no.clone()).connect().await.unwrap();
    assert_eq!(signer.sign(b"m").await.unwrap().serial_no(), &serial_no);
    signer.shut_down().await.unwrap();
}

#[tokio::test]
#[ignore = "needs SoftHSM: run scripts/test"]
async fn a_wrong_pin_is_sent_once() {
    alone!();
    let token = Token::softhsm("pin");
    let denied = SignErrorKind::PermissionDenied;
    let no_pin = token.module.clone();
    let no_pin = Pkcs11Uri::new(no_pin).token("pin").object("merchant");
    let error = refused(builder(no_pin), SignErrorKind::Configuration).await;
    assert!(matches!(error, Pkcs11Error::NoPin), "{error}");

    let missing = token.merchant().pin(Pin::file("/nowhere/pin"));
    let error = refused(builder(missing), denied).await;
    assert!(matches!(error, Pkcs11Error::PinUnavailable { .. }), "{error}");
    let asked = token.merchant().pin(Pin::callback(|| Err::<String, _>("the agent is locked")));
    let error = refused(builder(asked), denied).await;
    assert!(chain(&error).ends_with("the agent is locked"), "{}", chain(&error));

    let wrong = || builder(token.merchant().pin(Pin::new("wr0ngPIN")));
    let error = refused(wrong(), denied).await;
    let Pkcs11Error::PinRefused { code, sent: true, .. } = &error else { panic!("{error}") };
    assert_eq!(code, "CKR_PIN_INCORRECT");
    for _ in 0..5 {
        let error = refused(wrong(), denied).await;
        assert!(matches!(error, Pkcs11Error::PinRefused { sent: false, .. }), "{error}");
    }
    // A different PIN may be the right one.
    builder(token.merchant()).connect().await.unwrap().shut_down().await.unwrap();
}
