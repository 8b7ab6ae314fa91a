//! A secret given in the wrong place is never shown: not in an error or its sources, not in a hint, not in
//! `Debug` output, and not in the log.
//!
//! Names (of a key in a service, a mount, a role, a token label) are shown on purpose, so they are not
//! tested here.

use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};

use crate::leaks::{self, CERTIFICATE, KEY, debug};
use crate::log::Log;
use tracing_subscriber::util::SubscriberInitExt;
use wxpay_auth::{
    Authorization, BrandId, Certificate, CertificateSubject, Error, FileKeySigner, Mchid, Nonce,
    PrivateKey, PublicKey, SerialNo, SignerUri, WechatpaySerial,
};

const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";

/// What people paste: short secrets that they type, and long ones.
const PIN: &str = "S3cretPin.x9";
const TOKEN: &str = "hvs.CAESIJ3nVf8wQpXkYzBcDmGhRtLs";
const API_V3_KEY: &str = "Hq3ZtL8vWc5RyB2nKd9MfJ6sGp4XzT7u";
const ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn short() -> Vec<String> {
    [PIN, TOKEN, API_V3_KEY, ACCESS_KEY].map(str::to_owned).to_vec()
}

/// None of these is the path of a file, not even of a missing one.
fn long() -> Vec<String> {
    let body = leaks::body(KEY);
    vec![
        KEY.to_owned(),
        KEY.replace('\n', "\\n"),
        KEY.replace('\n', " "),
        KEY.replace('\n', "\r\n"),
        body.clone(),
        body.replace('+', "-").replace('/', "_"),
        TOKEN.to_owned(),
        API_V3_KEY.to_owned(),
        ACCESS_KEY.to_owned(),
    ]
}

fn all() -> Vec<String> {
    [short(), long()].concat()
}

/// Everything that was shown, by where the secret was given.
#[derive(Default)]
struct Shown(Vec<(&'static str, String)>);

impl Shown {
    fn value(&mut self, place: &'static str, value: &impl Debug) {
        self.0.push((place, debug(value)));
    }

    fn result<T: Debug, E: Into<Error>>(&mut self, place: &'static str, result: Result<T, E>) {
        let error = match result {
            Ok(value) => return self.value(place, &value),
            Err(error) => error.into(),
        };
        let chain = std::iter::successors(Some(&error as &dyn StdError), |&e| e.source());
        let mut shown = error.hint().to_owned();
        for error in chain {
            writeln!(shown, "\n{error}\n{error:#}\n{}", debug(&error)).unwrap();
        }
        self.0.push((place, shown));
    }

    fn assert_silent(&self, places: usize) {
        let different: std::collections::BTreeSet<_> = self.0.iter().map(|(p, _)| *p).collect();
        assert_eq!(different.len(), places, "{different:?}");
        let secrets = leaks::secrets_of_the_key();
        for (place, shown) in &self.0 {
            assert!(!shown.is_empty(), "{place}");
            assert_eq!(leaks::find(&secrets, shown), None, "{place}: {shown}");
            // A piece of a secret is too much as well.
            for piece in ["S3cret", "CAESIJ", "Hq3ZtL8v", "5RyB2nKd", "wJalrXUt", "bPxRfiCY"] {
                assert!(!shown.contains(piece), "{place} shows {piece}: {shown}");
            }
        }
    }
}

/// Encodes each byte, as a careful user would.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

/// Everything that is logged in this process, whatever thread it is logged on.
fn log() -> Log {
    static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log::default();
        log.subscriber().init();
        log
    });
    log.clone()
}

/// Adds what was logged so far, by any test.
fn add_log(shown: &mut Shown) {
    tracing::trace!("the end of a test");
    let logged = log().text();
    assert!(logged.contains("the end of a test"), "it is logged");
    shown.0.push(("the log", logged));
}

#[test]
fn a_key_in_place_of_its_path() {
    log();
    let mut shown = Shown::default();
    let serial_no = || SerialNo::new(SERIAL_NO).unwrap();
    for secret in long() {
        shown.result("PrivateKey::from_pem_file", PrivateKey::from_pem_file(&secret));
        shown.result("PublicKey::from_pem_file", PublicKey::from_pem_file(&secret));
        shown.result("Certificate::from_pem_file", Certificate::from_pem_file(&secret));
        let signer = FileKeySigner::from_pem_file(&secret, serial_no());
        shown.result("FileKeySigner::from_pem_file", signer);
    }
    add_log(&mut shown);
    shown.assert_silent(5);
    let error = PrivateKey::from_pem_file(KEY).unwrap_err();
    assert!(error.hint().contains("give its path"), "{}", error.hint());
}

#[test]
fn a_secret_in_place_of_a_text() {
    log();
    let mut shown = Shown::default();
    let mchid = Mchid::new("1900007291").unwrap();
    for secret in all() {
        shown.result("PrivateKey::from_pem", PrivateKey::from_pem(&secret));
        let behind_a_certificate = PublicKey::from_pem(format!("{CERTIFICATE}{secret}"));
        shown.result("PublicKey::from_pem, certificate", behind_a_certificate);
        shown.result("PublicKey::from_pem", PublicKey::from_pem(&secret));
        shown.result("PublicKey::from_spki_der", PublicKey::from_spki_der(secret.as_bytes()));
        shown.result("Certificate::from_pem", Certificate::from_pem(&secret));
        shown.result("Certificate::from_der", Certificate::from_der(secret.as_bytes()));
        shown.result("Mchid", Mchid::new(&secret));
        shown.result("SerialNo", SerialNo::new(&secret));
        shown.result("WechatpaySerial", WechatpaySerial::new(&secret));
        let prefixed = WechatpaySerial::new(format!("PUB_KEY_ID_{secret}+"));
        shown.result("WechatpaySerial, prefixed", prefixed);
        shown.result("Authorization", Authorization::parse(&secret));
        shown.result("SignerUri", secret.parse::<SignerUri>());
        shown.result("Country", CertificateSubject::new(&mchid).country(&secret));
        // These two accept only valid names.
        if Nonce::new(&secret).is_err() {
            shown.result("Nonce", Nonce::new(&secret));
        }
        if BrandId::new(&secret).is_err() {
            shown.result("BrandId", BrandId::new(&secret));
        }
    }
    add_log(&mut shown);
    shown.assert_silent(16);
}

#[tokio::test]
async fn a_secret_in_an_address() {
    log();
    let mut shown = Shown::default();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/merchant_private_key.pem");
    for secret in long() {
        let secret = percent(&secret);
        for (place, uri) in [
            ("file", format!("file:{secret}?serial_no={SERIAL_NO}")),
            ("certificate", format!("file:{keys}?certificate={secret}")),
        ] {
            connect(&mut shown, place, &uri).await;
        }
    }
    for secret in all() {
        let (encoded, place) = (percent(&secret), "parts of an address");
        for uri in [
            format!("{encoded}:a"),
            format!("{secret}:a"),
            format!("file:{keys}?serial_no={encoded}"),
            format!("file:{keys}?backend={encoded}&serial_no={SERIAL_NO}"),
            format!("file:{keys}?{encoded}={encoded}"),
            format!("file:{keys}?{secret}"),
            format!("file:{keys}?{secret}=1"),
            format!("file:{keys}?{secret}=1&{secret}=2"),
            format!("file:{keys}?password={encoded}"),
        ] {
            connect(&mut shown, place, &uri).await;
        }
    }
    add_log(&mut shown);
    shown.assert_silent(4);
}

/// Shows an address, and connects its signer.
async fn connect(shown: &mut Shown, place: &'static str, uri: &str) {
    match uri.parse::<SignerUri>() {
        Ok(address) => {
            shown.value(place, &address);
            shown.result(place, address.connect().await);
        }
        Err(error) => shown.result(place, Err::<(), _>(error)),
    }
}

#[cfg(feature = "pkcs11")]
#[tokio::test]
async fn a_pin_in_place_of_its_file() {
    use wxpay_auth::pkcs11::{Pin, Pkcs11Signer, Pkcs11Uri};
    log();
    let mut shown = Shown::default();
    for secret in all() {
        shown.value("Pin::new", &Pin::new(&secret));
        shown.value("Pin::file", &Pin::file(&secret));
        let encoded = percent(&secret);
        for (place, uri) in [
            ("pin-source", format!("pkcs11:object=a?pin-source={encoded}")),
            ("pin-source, file", format!("pkcs11:object=a?pin-source=file:{encoded}")),
            ("pin-value", format!("pkcs11:object=a?pin-value={encoded}")),
            ("no attribute", format!("pkcs11:object=a?{encoded}")),
            ("no attribute", format!("pkcs11:{secret}?{secret}={secret}")),
        ] {
            let parsed = uri.parse::<Pkcs11Uri>();
            if let Ok(uri) = &parsed {
                shown.0.push((place, uri.to_string()));
            }
            shown.result(place, parsed.map_err(wxpay_auth::pkcs11::Pkcs11Error::Uri));
            let uri = format!("{uri}&module-path=/nowhere/module.so");
            shown.result(place, Pkcs11Signer::connect(&uri).await);
            connect(&mut shown, place, &uri).await;
        }
    }
    for secret in long() {
        let uri = Pkcs11Uri::new(&secret).object("a");
        shown.value("module-path", &uri);
        shown.0.push(("module-path", uri.to_string()));
        shown.result("module-path", Pkcs11Signer::builder(uri).connect().await);
    }
    add_log(&mut shown);
    shown.assert_silent(8);
}

#[cfg(feature = "kms")]
#[test]
fn a_secret_of_a_key_service() {
    use wxpay_auth::kms::Secret;
    log();
    let mut shown = Shown::default();
    for secret in all() {
        shown.value("Secret::new", &Secret::new(&secret));
        shown.value("Secret::file", &Secret::file(&secret));
        let variable: &'static str = secret.clone().leak();
        if !variable.contains(['=', '\0']) {
            shown.result("Secret::variable", Secret::variable(variable));
        }
    }
    #[cfg(feature = "kms-vault")]
    for secret in all() {
        use wxpay_auth::kms::VaultAuth;
        let file = || Secret::file(&secret);
        shown.value("VaultAuth::token", &VaultAuth::token(file()));
        shown.value("VaultAuth::app_role", &VaultAuth::app_role(&secret, file()));
        shown.value("VaultAuth::jwt", &VaultAuth::kubernetes("role").jwt(&secret));
    }
    #[cfg(any(feature = "kms-vault", feature = "kms-tencent", feature = "kms-alibaba"))]
    for secret in all() {
        use wxpay_auth::kms::{Endpoint, KmsTls};
        for url in [
            secret.clone(),
            format!("https://user:{secret}@host"),
            format!("https://{secret}@host"),
            format!("https://host/?token={secret}"),
            format!("https://host/#{secret}"),
            format!("ftp://host/{secret}"),
        ] {
            shown.result("Endpoint", Endpoint::new(&url));
        }
        shown.result("KmsTls::ca_pem", KmsTls::new().ca_pem(&secret));
        let client = KmsTls::new().client_certificate_pem(&secret, &secret);
        shown.result("KmsTls::client_certificate_pem, chain", client);
        let client = KmsTls::new().client_certificate_pem(CERTIFICATE, &secret);
        shown.result("KmsTls::client_certificate_pem, key", client);
    }
    #[cfg(any(feature = "kms-vault", feature = "kms-tencent", feature = "kms-alibaba"))]
    for secret in long() {
        use wxpay_auth::kms::KmsTls;
        shown.result("KmsTls::ca_pem_file", KmsTls::new().ca_pem_file(&secret));
        let certificate =
            concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/merchant_certificate.pem");
        for (chain, key) in [(secret.as_str(), certificate), (certificate, &secret)] {
            let client = KmsTls::new().client_certificate_pem_files(chain, key);
            shown.result("KmsTls::client_certificate_pem_files", client);
        }
    }
    #[cfg(any(feature = "kms-tencent", feature = "kms-alibaba"))]
    for secret in all() {
        use wxpay_auth::kms::Credentials;
        // Id and secret are easily swapped.
        let credentials = Credentials::new(&secret, &secret).with_session_token(&secret);
        shown.value("Credentials", &credentials);
    }
    #[cfg(feature = "kms-tencent")]
    for secret in all() {
        use wxpay_auth::kms::TencentKms;
        let region = format!("{secret}.");
        shown.result("region", TencentKms::builder(region, "key").build());
        shown.result("key id", TencentKms::builder("ap-guangzhou", format!("{secret}+")).build());
    }
    add_log(&mut shown);
    if cfg!(all(feature = "kms-vault", feature = "kms-tencent")) {
        shown.assert_silent(16);
    }
}

/// What cannot be a name is refused without being repeated.
#[cfg(all(feature = "kms-vault", feature = "kms-tencent", feature = "kms-alibaba"))]
#[tokio::test]
async fn a_secret_in_place_of_a_name() {
    use wxpay_auth::kms::{
        AlibabaKms, AlibabaRole, CredentialProvider, Credentials, Endpoint, Secret, TencentKms,
        TencentRole, VaultAuth, VaultTransit,
    };
    log();
    let mut shown = Shown::default();
    let nowhere = || Endpoint::new("http://127.0.0.1:1").unwrap();
    let keys = || Credentials::new("id", "secret");
    for secret in all() {
        let (region, name) = (format!("{secret}."), format!("{secret}\n"));
        let alibaba = |region: &str, key: &str, version: &str| {
            AlibabaKms::builder(region, key, version).credentials(keys()).build()
        };
        shown.result("alibaba, region", alibaba(&region, "key", "version"));
        shown.result("alibaba, key", alibaba("cn-hangzhou", &name, "version"));
        shown.result("alibaba, version", alibaba("cn-hangzhou", "key", &name));
        let tencent =
            |region: &str, key: &str| TencentKms::builder(region, key).credentials(keys()).build();
        shown.result("tencent, region", tencent(&region, "key"));
        shown.result("tencent, key", tencent("ap-guangzhou", &name));
        let with = |credentials: Credentials| {
            AlibabaKms::builder("cn-hangzhou", "key", "version").credentials(credentials).build()
        };
        shown.result("alibaba, credentials", with(Credentials::new(&secret, &secret)));
        let with = |credentials: Credentials| {
            TencentKms::builder("ap-guangzhou", "key").credentials(credentials).build()
        };
        shown.result("tencent, credentials", with(Credentials::new(&secret, &secret)));
        let role = AlibabaRole::new().unwrap().metadata(nowhere()).name(&name);
        shown.result("alibaba, role", role.credentials().await);
        let role = TencentRole::new().unwrap().metadata(nowhere()).name(&name);
        shown.result("tencent, role", role.credentials().await);

        let auth = || VaultAuth::token(Secret::new(&secret));
        let vault = |key: &str| VaultTransit::builder(nowhere(), key).auth(auth());
        shown.value("vault, token", &vault("key"));
        shown.result("vault, token", vault("key").build());
        shown.result("vault, key", vault(&name).build());
        shown.result("vault, mount", vault("key").mount(&name).build());
        shown.result("vault, namespace", vault("key").namespace(&name).build());
        let app_role = VaultAuth::app_role(&secret, Secret::new(&secret));
        let app_role = vault("key").auth(app_role.mount(&name));
        shown.result("vault, mount of the login", app_role.build());
        let kubernetes = VaultAuth::kubernetes("role").mount(&name).jwt("/nowhere/jwt");
        shown.result("vault, mount of the login", vault("key").auth(kubernetes).build());
        let mount = VaultAuth::token(Secret::new(&secret)).mount(&secret);
        shown.result("vault, mount of a token", vault("key").auth(mount).build());
    }
    add_log(&mut shown);
    shown.assert_silent(16);
}

#[cfg(feature = "kms-vault")]
#[tokio::test]
async fn a_secret_in_the_address_of_a_key_service() {
    log();
    let mut shown = Shown::default();
    let good = format!("vault:k?address=http://127.0.0.1:1&serial_no={SERIAL_NO}");
    for secret in all() {
        let secret = percent(&secret);
        for (place, parameters) in [
            ("token_file", format!("token_file={secret}")),
            ("secret_id_file", format!("auth=approle&role_id=r&secret_id_file={secret}")),
            ("jwt_file", format!("auth=kubernetes&role=r&jwt_file={secret}")),
            ("role_id", format!("auth=approle&role_id={secret}&secret_id_file=/nowhere/s")),
            ("auth", format!("auth={secret}")),
            ("token", format!("token={secret}")),
            ("concurrency", format!("concurrency={secret}&token_file=/nowhere/token")),
        ] {
            connect(&mut shown, place, &format!("{good}&{parameters}")).await;
        }
        connect(&mut shown, "address", &format!("vault:k?address={secret}&token_file=/t/t")).await;
    }
    for secret in long() {
        let secret = percent(&secret);
        for (place, parameters) in [
            ("ca", format!("token_file=/t/t&ca={secret}")),
            ("client_key", format!("token_file=/t/t&client_certificate={secret}&client_key=/t/k")),
        ] {
            connect(&mut shown, place, &format!("{good}&{parameters}")).await;
        }
    }
    add_log(&mut shown);
    shown.assert_silent(11);
}

#[test]
fn leaks_would_be_found() {
    leaks::assert_that_leaks_are_found(&leaks::secrets_of_the_key());
    for secret in all() {
        let shown = Shown(vec![("here", debug(&secret))]);
        let caught = std::panic::catch_unwind(|| shown.assert_silent(1));
        assert!(caught.is_err(), "{secret}");
    }
}
