//! No `Debug` and no `Display` shows a key, a signature, or a body.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::error::Error as StdError;
use std::fmt::Debug;

use wxpay_auth::http::{HeaderMap, HeaderName};
use wxpay_auth::{
    Algorithm, Authorization, AuthorizationError, Backend, BrandId, Certificate, Error,
    FileKeySigner, Identity, KeyError, KeyMaterial, KeyRing, Mchid, Nonce, NonceError, PrivateKey,
    PublicKey, Scheme, SerialNo, SignError, SignErrorKind, Signature, SignedMessage, SystemClock,
    SystemNonce, Timestamp, WechatpaySerial, authorization, verify_response,
};

const KEY: &str = include_str!("../testdata/keys/merchant_private_key.pem");
const CERTIFICATE: &str = include_str!("../testdata/keys/merchant_certificate.pem");
const BODY: &[u8] = b"a body that nobody may see";

/// Renders everything in the ways in which things get into logs.
fn debug(value: &dyn Debug) -> String {
    format!("{value:?} {value:#?}")
}

fn error(error: &dyn StdError) -> String {
    let chain = std::iter::successors(Some(error), |&e| e.source());
    chain.map(|e| format!("{e} {e:?} {e:#?}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it names every public type")]
async fn nothing_secret_is_shown() {
    let key = PrivateKey::from_pem(KEY).unwrap();
    let signature_bytes = key.sign(BODY).unwrap();
    let certificate = Certificate::from_pem(CERTIFICATE).unwrap();
    let signer = FileKeySigner::with_certificate(PrivateKey::from_pem(KEY).unwrap(), &certificate);
    let signature = Signature::new(certificate.serial_no().clone(), signature_bytes.clone());
    let mchid = Mchid::new("1900007291").unwrap();
    let nonce = Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap();
    let header = authorization(
        &Identity::Merchant(mchid.clone()),
        Algorithm::Sha256Rsa2048,
        &nonce,
        Timestamp::from_unix_secs(1),
        &signature,
    )
    .unwrap();
    let serial = WechatpaySerial::new("PUB_KEY_ID_0000000000000024101100397200000006").unwrap();
    let ring = KeyRing::new();
    ring.insert_public_key(serial.clone(), key.public_key().clone());
    let message = SignedMessage::new(
        &serial,
        Algorithm::Sha256Rsa2048,
        BODY,
        &signature_bytes,
        Timestamp::from_unix_secs(1),
    );
    let headers = serde_json::from_str::<serde_json::Value>(include_str!(
        "../testdata/response/official-response-native-prepay-pubkey/headers.json"
    ));
    let headers: HeaderMap = headers
        .unwrap()
        .as_object()
        .unwrap()
        .iter()
        .map(|(n, v)| {
            let name: HeaderName = n.parse().unwrap();
            (name, v.as_str().unwrap().parse().unwrap())
        })
        .collect();
    let doc_key = include_str!("../testdata/keys/wechatpay_pub_key_doc.pem");
    ring.insert_public_key(serial.clone(), PublicKey::from_pem(doc_key).unwrap());
    let clock = || Timestamp::from_unix_secs(1_722_850_421);
    let body =
        include_bytes!("../testdata/response/official-response-native-prepay-pubkey/body.bin");
    let verified = verify_response(&ring, &clock, &headers, body.to_vec()).await.unwrap();
    let refused = verify_response(&ring, &clock, &headers, BODY).await.unwrap_err();

    let damaged = KEY.replace('A', "*");
    let cut = KEY.replace("-----END", "");
    let sign_error = || {
        SignError::new(SignErrorKind::Throttled, "too many")
            .with_source("source")
            .with_request_id("id")
    };
    let shown = [
        debug(&key),
        debug(&signer),
        debug(&certificate),
        debug(key.public_key()),
        debug(&signature),
        debug(&Authorization::parse(&header).unwrap()),
        debug(&ring),
        debug(&message),
        debug(&verified),
        debug(&mchid),
        debug(&BrandId::new("1004")),
        debug(&nonce),
        debug(&serial),
        debug(&(SystemClock, SystemNonce::new(), Backend::Ring, Scheme::MerchantSha256Rsa2048)),
        debug(&(KeyMaterial::PrivateKey, SignErrorKind::Other, Algorithm::Sm2WithSm3)),
        error(&refused),
        error(&sign_error()),
        error(&Error::from(sign_error())),
        error(&Error::from(refused)),
        error(&NonceError::new()),
        error(&PrivateKey::from_pem(damaged).unwrap_err()),
        error(&PrivateKey::from_pem(cut).unwrap_err()),
        error(&PublicKey::from_pem(KEY).unwrap_err()),
        error(&Certificate::from_pem(KEY).unwrap_err()),
        error(&Mchid::new(KEY).unwrap_err()),
        error(&SerialNo::new(KEY).unwrap_err()),
        error(&WechatpaySerial::new(KEY).unwrap_err()),
        error(&Authorization::parse(&header.replace("timestamp", "time")).unwrap_err()),
        error(&AuthorizationError::UnknownScheme),
        error(&KeyError::Encrypted),
    ]
    .join("\n");

    let mut secrets: Vec<String> = KEY
        .lines()
        .chain(CERTIFICATE.lines())
        .filter(|line| !line.starts_with("-----"))
        .map(|line| line[..16.min(line.len())].to_owned())
        .collect();
    secrets.push(signature.to_base64()[..16].to_owned());
    secrets.push("nobody may see".to_owned());
    secrets.push("code_url".to_owned());
    secrets.push("BEGIN".to_owned());
    // Bytes as lists of numbers: of the signature, and of any key or body.
    secrets.push(format!("{}, {}, {}", signature_bytes[0], signature_bytes[1], signature_bytes[2]));
    secrets.push(format!("{}, {}, {}", BODY[0], BODY[1], BODY[2]));
    for secret in &secrets {
        assert!(!shown.contains(secret.as_str()), "{secret:?} is shown: {shown}");
    }
    let number_lists = shown.split('\n').filter(|line| line.contains("48, 130")).count();
    assert_eq!(number_lists, 0, "DER begins with 48, 130: {shown}");
    for expected in ["PrivateKey", "FileKeySigner", "5F1C72E2A8931B72A2E13AF8DEE92471EB397115"] {
        assert!(shown.contains(expected), "{expected} may be shown: {shown}");
    }
}
