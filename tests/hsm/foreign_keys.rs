//! Keys and certificates that other tools stored on a token, addressed by the URIs that tools print.

use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11Signer};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::foreign_tools::{CERTIFICATE, ForeignTools, KEY};
use wxpay_tests::token::{PIN, Token, certificate, delete, reference, variable};
use wxpay_tests::{alone, chain};

/// Connects without naming a certificate, and signs with the merchant key.
async fn signs(tools: &ForeignTools, uri: &str) {
    let signer = tools.connect(uri).await.unwrap_or_else(|e| panic!("{uri}: {}", chain(&e)));
    assert_eq!(signer.serial_no(), certificate().serial_no(), "{uri}");
    let signature = signer.sign(b"message").await.unwrap();
    assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap(), "{uri}");
    signer.shut_down().await.unwrap();
}

/// Connects to a key that was generated on the token, and for which a certificate was issued.
async fn signs_with_its_own(tools: &ForeignTools, uri: &str) -> Pkcs11Signer {
    let signer = tools.connect(uri).await.unwrap_or_else(|e| panic!("{uri}: {}", chain(&e)));
    assert_eq!(signer.serial_no(), certificate().serial_no(), "{uri}");
    signer.sign(b"message").await.unwrap();
    signer
}

#[tokio::test]
#[ignore = "needs SoftHSM and p11tool: run scripts/test"]
async fn p11tool_puts_a_key_and_its_certificate() {
    alone!();
    for label in [&["--label", "p11 tool"][..], &[]] {
        let tools = ForeignTools::softhsm("p11tool");
        let put = |what: &str, file: &str| {
            let token = ["--write", what, file, "pkcs11:token=foreign"];
            tools.p11tool(&[label, &token].concat())
        };
        put("--load-privkey", KEY);
        put("--load-certificate", CERTIFICATE);
        let uri = tools.printed_uri();
        assert!(uri.contains(";id=%") && uri.ends_with(";type=private"), "{uri}");
        signs(&tools, &uri).await;
        // p11-kit lists modules by these attributes.
        let library =
            "library-manufacturer=SoftHSM;library-description=Implementation%20of%20PKCS11";
        signs(&tools, &format!("{uri};{library}")).await;
    }
}

#[tokio::test]
#[ignore = "needs SoftHSM and pkcs11-tool: run scripts/test"]
async fn pkcs11_tool_puts_them_under_any_names() {
    alone!();
    for (key, of_certificate) in [
        (&["--label", "merchant", "--id", "01"][..], &["--label", "merchant", "--id", "01"][..]),
        (&["--label", "merchant", "--id", "01"], &["--label", "merchant", "--id", "02"]),
        (&["--label", "merchant", "--id", "01"], &["--label", "another"]),
        (&["--label", "merchant", "--id", "01"], &[]),
        (&["--label", "merchant"], &["--label", "another"]),
        // It prints this one truncated.
        (&["--label", "merchant  "], &["--label", "merchant  "]),
    ] {
        let tools = ForeignTools::softhsm("pkcs11-tool");
        let der = tools.path("certificate.der");
        tools.run("openssl", &["x509", "-in", CERTIFICATE, "-outform", "DER", "-out", &der]);
        let put = |what: &str, file: &str, names: &[&str]| {
            tools.pkcs11_tool(&[&["--write-object", file, "--type", what], names].concat());
        };
        put("privkey", KEY, key);
        put("cert", &der, of_certificate);
        signs(&tools, &tools.printed_uri()).await;
        signs(&tools, "pkcs11:token=foreign;object=merchant;type=private").await;
        // A second copy of the same certificate is accepted.
        put("cert", &der, of_certificate);
        put("cert", &der, &["--label", "a third"]);
        signs(&tools, &tools.printed_uri()).await;
    }
}

#[tokio::test]
#[ignore = "needs SoftHSM and pkcs11-tool: run scripts/test"]
async fn softhsm2_util_puts_a_key_and_no_certificate() {
    alone!();
    let tools = ForeignTools::softhsm("softhsm2-util");
    let names = ["--label", "merchant", "--id", "A1B2", "--pin", PIN];
    tools.run("softhsm2-util", &[&["--import", KEY, "--token", "foreign"], &names[..]].concat());
    let uri = tools.printed_uri();
    assert!(uri.contains("id=%A1%B2"), "{uri}");
    let error = tools.connect(&uri).await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::NoCertificate), "{error}");
    tools.pkcs11_tool(&["--write-object", CERTIFICATE, "--type", "cert", "--label", "merchant"]);
    signs(&tools, &uri).await;
}

/// It creates a certificate for each key, as a placeholder for the real one.
#[tokio::test]
#[ignore = "needs SoftHSM and keytool: run scripts/test"]
async fn keytool_makes_a_key() {
    alone!();
    let tools = ForeignTools::softhsm("keytool");
    let store =
        ["-alias", "merchant", "-keystore", "NONE", "-storetype", "PKCS11", "-storepass", PIN];
    let keytool = |arguments: &[&str]| tools.keytool(&[arguments, &store].concat());
    keytool(&["-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=1900007291"]);
    let uri = tools.printed_uri();
    assert!(uri.contains("id=%6D%65%72%63%68%61%6E%74") && !uri.contains("object="), "{uri}");
    let error = tools.connect(&uri).await.unwrap_err();
    assert!(matches!(error, Pkcs11Error::SelfSigned { .. }), "{}", chain(&error));
    assert_eq!(error.kind(), SignErrorKind::Configuration);
    assert!(error.hint().contains("keytool -importcert"), "{}", error.hint());
    // The alias in Java is only the label of the certificate.
    let error = tools.connect("pkcs11:token=foreign;object=merchant").await.unwrap_err();
    let expected = "there are: private key \"\" (id=%6D%65%72%63%68%61%6E%74), certificate \"merchant\" (id=%6D";
    assert!(error.to_string().contains(expected), "{error}");

    let request = tools.path("request.pem");
    keytool(&["-certreq", "-file", &request]);
    keytool(&["-importcert", "-noprompt", "-trustcacerts", "-file", &tools.issue(&request)]);
    signs_with_its_own(&tools, &uri).await.shut_down().await.unwrap();
}

#[tokio::test]
#[ignore = "needs SoftHSM and keytool: run scripts/test"]
async fn keytool_imports_the_p12_of_the_merchant_platform() {
    alone!();
    let tools = ForeignTools::softhsm("p12");
    let p12 = tools.path("apiclient_cert.p12");
    let files = ["-inkey", KEY, "-in", CERTIFICATE, "-out", &p12];
    let named = ["pkcs12", "-export", "-name", "tenpay certificate", "-passout", "pass:1900007291"];
    tools.run("openssl", &[&named[..], &files].concat());
    let from =
        ["-importkeystore", "-noprompt", "-srckeystore", &p12, "-srcstorepass", "1900007291"];
    let to = ["-destkeystore", "NONE", "-deststoretype", "PKCS11", "-deststorepass", PIN];
    tools.keytool(&[&from[..], &to].concat());
    signs(&tools, &tools.printed_uri()).await;
    signs(&tools, "pkcs11:token=foreign;id=tenpay%20certificate").await;
}

#[tokio::test]
#[ignore = "needs SoftHSM and Python: run scripts/test"]
async fn python_makes_a_key() {
    alone!();
    let tools = ForeignTools::softhsm("python");
    let python = variable("WXPAY_TEST_PYTHON");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/doubles/foreign_key.py");
    for (label, id) in [("python", "0a0b"), ("python", ""), ("", "0a0b")] {
        delete(&tools.token.session(), &[]);
        let [der, key] = ["public.der", "public.pem"].map(|file| tools.path(file));
        let printed =
            tools.run(&python, &["-B", program, tools.module(), "foreign", PIN, label, id, &der]);
        assert_eq!(printed.trim(), "made");
        let uri = tools.printed_uri();
        let error = tools.connect(&uri).await.unwrap_err();
        assert!(matches!(error, Pkcs11Error::NoCertificate), "{uri}: {}", chain(&error));
        tools.run(
            "openssl",
            &["rsa", "-RSAPublicKey_in", "-inform", "DER", "-in", &der, "-pubout", "-out", &key],
        );
        // A certificate for its public key, under an unrelated name.
        let request = tools.path("request.pem");
        let other = tools.path("other.key");
        tools.run(
            "openssl",
            &[
                "req",
                "-new",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                &other,
                "-subj",
                "/CN=1900007291",
                "-out",
                &request,
            ],
        );
        tools.issue(&request);
        let [root, root_key, leaf] = ["ca.pem", "ca.key", "leaf.pem"].map(|file| tools.path(file));
        let sign = [
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &root,
            "-CAkey",
            &root_key,
            "-force_pubkey",
            &key,
        ];
        let serial = ["-set_serial", "0x5F1C72E2A8931B72A2E13AF8DEE92471EB397115", "-out", &leaf];
        tools.run("openssl", &[&sign[..], &serial].concat());
        tools.pkcs11_tool(&["--write-object", &leaf, "--type", "cert", "--label", "elsewhere"]);
        signs_with_its_own(&tools, &uri).await.shut_down().await.unwrap();
    }
}

/// It creates a certificate with each key, like `keytool`.
#[tokio::test]
#[ignore = "needs NSS softokn, p11tool and certutil: run scripts/test"]
async fn certutil_makes_a_key_in_softokn() {
    alone!();
    let tools = ForeignTools::on(Token::softokn(), "certutil");
    let [password, noise] = ["password", "noise"].map(|file| tools.path(file));
    std::fs::write(&password, PIN).unwrap();
    std::fs::write(&noise, [7; 64]).unwrap();
    let database = variable("WXPAY_TEST_SOFTOKN_DATABASE");
    let before = tools.printed_uris();
    let certutil = |arguments: &[&str]| {
        tools.run("certutil", &[arguments, &["-d", &database, "-f", &password]].concat());
    };
    let subject = ["-s", "CN=1900007291", "-t", ",,", "-x", "-z", &noise];
    certutil(&[&["-S", "-n", "own", "-k", "rsa", "-g", "2048"], &subject[..]].concat());
    let made = tools.printed_uris();
    let [uri] = made.iter().filter(|uri| !before.contains(uri)).collect::<Vec<_>>()[..] else {
        panic!("one more: {made:?}")
    };
    let refused = tools.connect(uri).await;
    certutil(&["-F", "-n", "own"]);
    let error = refused.unwrap_err();
    assert!(matches!(error, Pkcs11Error::SelfSigned { .. }), "{}", chain(&error));
    assert_eq!(tools.printed_uris(), before);
}

/// `pk12util` stored it there: see `scripts/with-tokens`.
#[tokio::test]
#[ignore = "needs NSS softokn and p11tool: run scripts/test"]
async fn pk12util_puts_a_key_into_softokn() {
    alone!();
    let tools = ForeignTools::on(Token::softokn(), "softokn");
    let uris = tools.printed_uris();
    let merchant =
        uris.iter().find(|uri| uri.contains("object=merchant")).expect("the merchant key");
    assert!(merchant.contains("token=NSS%20Certificate%20DB"), "{merchant}");
    signs(&tools, merchant).await;
}
