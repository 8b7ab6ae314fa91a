//! Signers connected by address.

#[cfg(any(
    feature = "file-key",
    feature = "pkcs11",
    feature = "kms-vault",
    feature = "kms-aws-config"
))]
use wxpay_auth::SignerUri;
use wxpay_auth::{SignErrorKind, SignerUriError, signer_from_uri};

const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";

#[cfg(any(
    feature = "file-key",
    feature = "pkcs11",
    feature = "kms-vault",
    feature = "kms-aws-config"
))]
fn parse(uri: &str) -> Result<SignerUri, SignerUriError> {
    uri.parse()
}

/// Joins an error with its sources.
#[cfg(feature = "kms-vault")]
fn chain(error: &SignerUriError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |&e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn refused(uri: &str) -> SignerUriError {
    match signer_from_uri(uri).await {
        Ok(signer) => panic!("{uri}: {signer:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn no_scheme_no_signer() {
    for uri in ["", "apiclient_key", "FILE:/a", "https://a", ":"] {
        let error = refused(uri).await;
        assert!(matches!(error, SignerUriError::Scheme), "{uri}: {error}");
        assert_eq!(error.kind(), SignErrorKind::Configuration);
    }
}

#[tokio::test]
async fn a_bare_path_is_told_what_goes_before_it() {
    for uri in [
        "apiclient_key.pem",
        "/etc/wxpay/apiclient_key.pem",
        "/run/secrets/key?serial_no=1",
        "./key",
        "../key",
        "~/key",
        "C:\\keys\\key",
        "d:/keys/key",
    ] {
        let error = refused(uri).await;
        assert!(matches!(error, SignerUriError::BarePath), "{uri}: {error}");
        assert!(error.hint().contains("file:/etc/wxpay"), "{}", error.hint());
        assert_eq!(error.kind(), SignErrorKind::Configuration);
    }
    let unseen = refused("\u{feff}file:/etc/wxpay/apiclient_key.pem").await;
    assert_eq!(
        unseen.to_string(),
        "the address of the signer has an invisible character in it (U+FEFF)"
    );
}

/// A scheme that is not compiled in names the feature to enable.
#[tokio::test]
async fn a_scheme_names_its_feature() {
    let schemes = [
        ("file", "file-key", cfg!(feature = "file-key")),
        ("pkcs11", "pkcs11", cfg!(feature = "pkcs11")),
        ("vault", "kms-vault", cfg!(feature = "kms-vault")),
        ("tencent-kms", "kms-tencent", cfg!(feature = "kms-tencent")),
        ("alibaba-kms", "kms-alibaba", cfg!(feature = "kms-alibaba")),
        ("aws-kms", "kms-aws-config", cfg!(feature = "kms-aws-config")),
    ];
    for (scheme, feature, compiled_in) in schemes {
        let error = refused(&format!("{scheme}:?serial_no={SERIAL_NO}&no-such-parameter=1")).await;
        let missing = matches!(error, SignerUriError::NotCompiledIn { .. });
        assert_eq!(missing, !compiled_in, "{scheme}: {error}");
        if missing {
            let text = format!("{scheme}: needs the feature {feature} of wxpay-auth");
            assert_eq!(error.to_string(), text);
            assert!(error.hint().ends_with(&format!("--features {feature}")), "{}", error.hint());
        }
    }
}

#[cfg(feature = "file-key")]
mod file {
    use wxpay_auth::{CertificateRequest, CertificateSubject, Mchid, PrivateKey, Signer};

    use super::*;

    fn keys() -> String {
        concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys").to_owned()
    }

    #[tokio::test]
    async fn a_key_in_a_file() {
        let keys = keys();
        let with_certificate = format!(
            "file:{keys}/merchant_private_key.pem?certificate={keys}/merchant_certificate.pem"
        );
        let with_serial = format!("file://{keys}/merchant%5Fprivate_key.pem?serial_no={SERIAL_NO}");
        let mut signatures = Vec::new();
        for uri in [with_certificate, with_serial] {
            let address = parse(&uri).unwrap();
            assert_eq!(address.scheme(), "file");
            assert!(address.names_certificate());
            let signature = address.connect().await.unwrap().sign(b"message").await.unwrap();
            assert_eq!(signature.serial_no().as_str(), SERIAL_NO);
            signatures.push(signature);
        }
        assert_eq!(signatures[0], signatures[1]);

        // Without either, the application sets it.
        let address = parse(&format!("file:{keys}/merchant_private_key.pem")).unwrap();
        assert!(!address.names_certificate());
        let error = address.clone().connect().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, SignerUriError::NoCertificate));
        let signer = address.clone().serial_no(SERIAL_NO.parse().unwrap()).connect().await.unwrap();
        assert_eq!(signer.sign(b"message").await.unwrap(), signatures[0]);
        let uncertified = address.without_certificate().connect().await.unwrap();
        let signature = uncertified.sign(b"message").await.unwrap();
        assert_eq!(signature.serial_no(), &wxpay_auth::SerialNo::uncertified());
        // It has what a certificate request needs.
        let subject = CertificateSubject::new(&Mchid::new("1900007291").unwrap());
        let public_key = uncertified.public_key();
        CertificateRequest::sign(&subject, public_key, &uncertified).await.unwrap();
        let of_the_key = PrivateKey::from_pem_file(format!("{keys}/merchant_private_key.pem"));
        assert_eq!(public_key, of_the_key.unwrap().public_key());
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        use SignerUriError as E;
        let key = format!("{}/merchant_private_key.pem", keys());
        let other = format!("{}/wechat_pay_certificate.pem", keys());
        let error = refused(&format!("file:{key}?certificate={other}")).await;
        assert!(matches!(error, E::Material(wxpay_auth::KeyError::CertificateMismatch { .. })));
        let error = refused(&format!("file:/no/such/key?serial_no={SERIAL_NO}")).await;
        assert!(matches!(error, E::Material(wxpay_auth::KeyError::NotFound { .. })), "{error}");
        let error = refused(&format!("file:{key}?certificate=/no/such/certificate")).await;
        assert!(matches!(error, E::Material(wxpay_auth::KeyError::NotFound { .. })), "{error}");

        for (uri, text) in [
            ("file:", "the address names no key: write file:PATH, percent-encoded"),
            ("file:%2", "the address names no key: write file:PATH, percent-encoded"),
            ("file:a?serial_no=7", "serial_no is not a serial: 40 hexadecimal digits"),
            ("file:a?backend=openssl", "backend is neither ring nor aws-lc-rs"),
            (
                "file:a?password=hunter2",
                "the address has a parameter that is not known here: password",
            ),
            ("file:a?sessions=4", "the address has a parameter that is not known here: sessions"),
            ("file:a?backend=ring&backend=ring", "backend is given twice"),
            ("file:a?hunter2", "parameter 1 of the address is not name=value"),
        ] {
            let error = parse(uri).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), text, "{uri}");
            assert!(!error.hint().is_empty());
        }
        let both = format!("file:a?certificate=b&serial_no={SERIAL_NO}");
        assert!(matches!(parse(&both), Err(E::Value { parameter: "serial_no", .. })));
    }

    #[test]
    fn backends_are_chosen() {
        assert!(parse("file:a?backend=ring").is_ok());
        let aws_lc_rs = parse("file:a?backend=aws-lc-rs");
        assert_eq!(aws_lc_rs.is_ok(), cfg!(feature = "aws-lc-rs"));
    }
}

#[cfg(feature = "pkcs11")]
mod pkcs11 {
    use super::*;

    #[tokio::test]
    async fn the_rest_is_rfc_7512() {
        let uri = "pkcs11:token=wxpay%20live;object=merchant;type=private?module-path=/no/such/module.so\
                   &sessions=2&mechanism=CKM_SHA256_RSA_PKCS&pin-value=hunter2";
        let address = parse(uri).unwrap();
        assert!(!address.names_certificate());
        let shown = format!("{address:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let error = address.connect().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, SignerUriError::Pkcs11(_)), "{error}");
        assert!(error.to_string().contains("/no/such/module.so"), "{error}");

        for uri in [
            "pkcs11:token=a;x-vendor=b",
            "pkcs11:?slot-id=1",
            "pkcs11:?no-such-parameter=1",
            "pkcs11:?sessions=many",
            "pkcs11:?mechanism=CKM_RSA_PKCS_PSS",
        ] {
            assert_eq!(parse(uri).map(|_| ()).unwrap_err().kind(), SignErrorKind::Configuration);
        }
    }
}

#[cfg(feature = "_access-key")]
#[tokio::test]
async fn clouds_are_addressed_by_key_and_region() {
    for (uri, text) in [
        (
            "tencent-kms:?region=ap-guangzhou",
            "the address names no key: write its name or id there, percent-encoded",
        ),
        ("tencent-kms:id", "the address has no parameter region"),
        ("tencent-kms:id?region=", "the address has no parameter region"),
        (
            "tencent-kms:id?region=r&key_version_id=v",
            "the address has a parameter that is not known here: key_version_id",
        ),
        (
            "tencent-kms:id?region=r&secret_key=hunter2",
            "the address has a parameter that is not known here: secret_key",
        ),
        ("tencent-kms:id?region=r&metadata=http://127.0.0.1", "metadata is given without role"),
        (
            "tencent-kms:id?region=a.example/b",
            "region is empty, or has other characters than letters, digits and -",
        ),
        (
            "tencent-kms:id?region=r&client_key=/key",
            "client_key is given without client_certificate",
        ),
        (
            "tencent-kms:id?region=r&client_certificate=/c",
            "the address has no parameter client_key",
        ),
        (
            "tencent-kms:id?region=r&endpoint=kms",
            "the endpoint is not a URL with a scheme and a host",
        ),
        ("alibaba-kms:id?region=r", "the address has no parameter key_version_id"),
        ("alibaba-kms:id?region=r&key_version_id=v&concurrency=-1", "concurrency is not a number"),
    ] {
        let error = refused(uri).await;
        let compiled_in = !matches!(error, SignerUriError::NotCompiledIn { .. });
        assert!(!compiled_in || error.to_string() == text, "{uri}: {error}");
    }
}

#[cfg(feature = "kms-vault")]
#[tokio::test]
async fn vault_is_addressed_by_key_and_login() {
    for (uri, text) in [
        (
            "vault:?address=https://vault",
            "the address names no key: write its name or id there, percent-encoded",
        ),
        ("vault:k?address=http://vault", "the endpoint is plain http to another machine"),
        ("vault:k?key_version=v2", "key_version is not a number"),
        ("vault:k?auth=userpass", "auth is neither token nor approle nor kubernetes"),
        ("vault:k?auth=approle&role_id=r", "the address has no parameter secret_id_file"),
        (
            "vault:k?auth=approle&role_id=r&secret_id=hunter2",
            "the address has no parameter secret_id_file",
        ),
        ("vault:k?auth=kubernetes", "the address has no parameter role"),
        ("vault:k?token=hunter2", "the address has a parameter that is not known here: token"),
        ("vault:k?client_key=/key", "client_key is given without client_certificate"),
        (
            "vault:k?auth=approle&role_id=r&secret_id_file=s&token_file=t",
            "token_file is given without auth=token",
        ),
        ("vault:k?role_id=r&secret_id_file=s", "role_id is given without auth=approle"),
        ("vault:k?secret_id_file=s", "secret_id_file is given without auth=approle"),
        ("vault:k?auth=token&role=r", "role is given without auth=kubernetes"),
        (
            "vault:k?auth=approle&role_id=r&secret_id_file=s&jwt_file=j",
            "jwt_file is given without auth=kubernetes",
        ),
        ("vault:k?auth_mount=m", "auth_mount is given without auth=approle or auth=kubernetes"),
        ("vault:k?ca=-----BEGIN%20CERTIFICATE-----", "ca is not the path of a file"),
    ] {
        let error = refused(uri).await;
        assert_eq!(error.to_string(), text, "{uri}");
        assert_eq!(error.kind(), SignErrorKind::Configuration);
    }
}

/// A wrong path is detected when the signer connects, so that settings can be parsed and checked elsewhere.
#[cfg(feature = "kms-vault")]
#[tokio::test]
async fn files_are_read_when_the_signer_connects() {
    let nothing = "/no/such/file.pem";
    for parameters in [
        format!("ca={nothing}"),
        format!("client_certificate={nothing}&client_key={nothing}"),
        format!("certificate={nothing}"),
    ] {
        let serial = if parameters.starts_with("certificate") {
            String::new()
        } else {
            format!("&serial_no={SERIAL_NO}")
        };
        let uri =
            format!("vault:k?address=http://127.0.0.1:1&token_file={nothing}&{parameters}{serial}");
        let address = parse(&uri).unwrap_or_else(|e| panic!("{uri}: {e}"));
        let error = address.connect().await.map(|_| ()).unwrap_err();
        assert!(
            chain(&error).contains("/no/such/file.pem does not exist"),
            "{uri}: {}",
            chain(&error)
        );
    }
}

/// The secret is put in place of its file, or into another parameter.
#[cfg(feature = "kms-vault")]
#[tokio::test]
async fn no_value_is_quoted_that_may_be_a_secret() {
    let good = format!("address=http://127.0.0.1:1&serial_no={SERIAL_NO}");
    for parameters in [
        "token_file=hunter2",
        "auth=approle&role_id=r&secret_id_file=hunter2",
        "auth=kubernetes&role=r&jwt_file=hunter2",
        "token_file=t&mount=hunter2//",
        "token_file=t&namespace=hunter2//",
        "auth=kubernetes&role=r&auth_mount=hunter2//",
    ] {
        let error = refused(&format!("vault:k?{good}&{parameters}")).await;
        assert_eq!(error.kind(), SignErrorKind::Configuration, "{parameters}: {}", chain(&error));
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("hunter2"), "{parameters}: {shown}");
    }
    let error = refused(&format!("vault:hunter2%2F?{good}&token_file=t")).await;
    let shown = format!("{} {error:?}", chain(&error));
    assert!(!shown.contains("hunter2"), "{shown}");
    #[cfg(feature = "file-key")]
    {
        let key = "-----BEGIN%20PRIVATE%20KEY-----hunter2";
        let error = refused(&format!("file:{key}?serial_no={SERIAL_NO}")).await;
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[cfg(feature = "kms-aws-config")]
#[test]
fn aws_is_addressed_by_key_region_and_endpoint() {
    let address = parse(
        "aws-kms:alias/wxpay?region=cn-north-1&endpoint=https://vpce.example&concurrency=50\
         &certificate=apiclient_cert.pem",
    );
    assert!(address.unwrap().names_certificate());
    for uri in [
        "aws-kms:",
        "aws-kms:a?endpoint=http://vpce.example",
        "aws-kms:a?concurrency=x",
        "aws-kms:a?region=",
        "aws-kms:a?region=cn-north-1.example/",
    ] {
        assert_eq!(parse(uri).map(|_| ()).unwrap_err().kind(), SignErrorKind::Configuration);
    }
}
