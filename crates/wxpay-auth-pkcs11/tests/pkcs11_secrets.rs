//! No type and no error of the PKCS#11 signer shows a PIN. Types that need a token are tested in
//! the workspace's tests.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::error::Error as StdError;

use wxpay_auth_pkcs11::{
    Pin, Pkcs11Error, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Mechanism, Pkcs11Signer, Pkcs11Uri,
    Pkcs11UriError,
};

const PIN: &str = "Hq3ZtL8vWc5R";

/// The types that need a token.
const NOT_HERE: [&str; 3] = ["Pkcs11Decryptor", "Pkcs11KeyPair", "Pkcs11Signer"];

#[tokio::test]
async fn nothing_shows_a_pin() {
    let uri = Pkcs11Uri::new("/nowhere/module.so").object("merchant").pin(Pin::new(PIN));
    let parsed: Pkcs11Uri = format!("pkcs11:?pin-value={PIN}").parse().unwrap();
    let asked = Pin::callback(|| Ok::<_, std::io::Error>(PIN.to_owned()));
    let builder = Pkcs11Signer::builder(uri.clone());
    let shown = [
        ("Pin", format!("{:?} {asked:?} {:?}", Pin::new(PIN), Pin::file("/run/pin"))),
        ("Pkcs11Uri", format!("{uri:?} {uri} {parsed:?} {parsed}")),
        ("Pkcs11SignerBuilder", format!("{builder:?}")),
        ("Pkcs11Mechanism", format!("{:?}", Pkcs11Mechanism::RsaPkcs)),
        ("Pkcs11KeyUsage", format!("{:?}", Pkcs11KeyUsage::Sign)),
    ];
    for (name, shown) in &shown {
        assert!(!shown.is_empty() && !shown.contains(PIN), "{name}: {shown}");
    }
    let named: Vec<&str> = shown.iter().map(|(name, _)| *name).chain(NOT_HERE).collect();
    let exports = include_str!("../src/lib.rs").split("pub use ").skip(1);
    let exported: Vec<&str> = exports
        .flat_map(|export| export.split_once(';').unwrap().0.split([':', '{', '}', ',', ' ']))
        .filter(|name| name.starts_with(char::is_uppercase) && !name.ends_with("Error"))
        .collect();
    assert_eq!(exported.len(), 8, "{exported:?}");
    assert!(exported.iter().all(|name| named.contains(name)), "{exported:?} {named:?}");

    let errors: [Pkcs11Error; 3] = [
        builder.clone().connect().await.unwrap_err(),
        builder.sessions(0).connect().await.unwrap_err(),
        Pkcs11KeyPair::find(parsed).await.unwrap_err(),
    ];
    silent(errors);
}

#[tokio::test]
async fn no_error_quotes_a_uri_with_its_pin() {
    let wrong = [
        format!("pkcs12:?pin-value={PIN}"),
        format!("pkcs11:?pin-value={PIN} "),
        format!("pkcs11:?pin-value={PIN}%"),
        format!("pkcs11:?pin-value={PIN}%FF"),
        format!("pkcs11:?{PIN}"),
        format!("pkcs11:?pin-value={PIN}&pin-value={PIN}"),
        format!("pkcs11:pin-value={PIN}"),
        format!("pkcs11:?{PIN}={PIN}"),
        format!("pkcs11:type={PIN}"),
        format!("pkcs11:slot-id={PIN}"),
        format!("pkcs11:?pin-source=%7C{PIN}"),
        format!("pkcs11:?pin-source=/a&pin-value={PIN}"),
    ];
    let mut kinds = std::collections::HashSet::new();
    for uri in &wrong {
        let error: Pkcs11UriError = uri.parse::<Pkcs11Uri>().unwrap_err();
        kinds.insert(std::mem::discriminant(&error));
        silent([Pkcs11Signer::connect(uri).await.unwrap_err()]);
    }
    assert_eq!(kinds.len(), wrong.len(), "every variant of Pkcs11UriError");
}

fn silent(errors: impl IntoIterator<Item = Pkcs11Error>) {
    for error in errors {
        let chain = std::iter::successors(Some(&error as &dyn StdError), |&e| e.source());
        let shown =
            chain.fold(String::new(), |shown, e| shown + &e.to_string() + &format!("{e:?}"));
        assert!(!shown.contains(PIN), "{shown}");
        assert!(!error.to_string().contains('\n') && error.hint().len() > 10, "{error}");
    }
}
