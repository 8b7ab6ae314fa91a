//! The published test vectors: a directory for each case, a file for each stage.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use wxpay_auth_core::http::{HeaderMap, HeaderName};
use wxpay_auth_core::{
    Algorithm, Authorization, Backend, Certificate, Identity, KeyRing, Mchid, Nonce, PrivateKey,
    PublicKey, Signature, Timestamp, VerifyError, WechatpaySerial, authorization, request_message,
    response_message, verify_response,
};

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");

/// Every compiled back end.
const BACKENDS: &[Backend] = &[
    Backend::Ring,
    #[cfg(feature = "aws-lc-rs")]
    Backend::AwsLcRs,
];

/// Returns the directories of a kind, and checks their number.
fn cases(kind: &str, count: usize) -> Vec<Case> {
    let folder = Path::new(TESTDATA).join(kind);
    let mut cases: Vec<Case> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| Case(entry.expect("an entry").path()))
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(cases.len(), count, "cases in {}", folder.display());
    cases
}

struct Case(PathBuf);

impl Case {
    fn name(&self) -> String {
        self.0.file_name().unwrap().to_string_lossy().into_owned()
    }

    fn bytes(&self, stage: &str) -> Vec<u8> {
        fs::read(self.0.join(stage)).unwrap_or_else(|e| panic!("{} {stage}: {e}", self.name()))
    }

    fn text(&self, stage: &str) -> String {
        String::from_utf8(self.bytes(stage)).unwrap()
    }

    fn json(&self, stage: &str) -> Value {
        serde_json::from_slice(&self.bytes(stage)).unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let json = self.json("headers.json");
        let pairs = json.as_object().unwrap().iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.as_str().unwrap().parse().unwrap())
        });
        pairs.collect()
    }
}

fn key_file(name: &str) -> PathBuf {
    Path::new(TESTDATA).join("keys").join(name)
}

fn private_key(backend: Backend, name: &str) -> PrivateKey {
    PrivateKey::from_pem_file_with(backend, key_file(name)).unwrap()
}

/// Reads a public key, possibly from a certificate.
fn public_key(name: &str) -> PublicKey {
    if name.contains("certificate") {
        Certificate::from_pem_file(key_file(name)).unwrap().public_key().clone()
    } else {
        PublicKey::from_pem_file(key_file(name)).unwrap()
    }
}

/// Returns a copy for each byte, with one bit of that byte changed.
fn one_bit_off(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).map(|position| {
        let mut changed = bytes.to_vec();
        changed[position] ^= 1 << (position % 8);
        changed
    })
}

#[test]
fn requests() {
    for case in cases("request", 6) {
        let (name, given) = (case.name(), case.json("case.json"));
        let text = |field: &str| given[field].as_str().unwrap();
        let timestamp = Timestamp::from_unix_secs(given["timestamp"].as_u64().unwrap());
        let (method, url, nonce) = (text("method"), text("url"), text("nonce"));

        let message = request_message(method, url, timestamp, nonce, &case.bytes("body.bin"));
        assert_eq!(message, case.bytes("1-message.txt"), "{name}: message");

        for backend in BACKENDS {
            let key = private_key(*backend, text("key"));
            let bytes = key.sign(&message).unwrap();
            let signature = STANDARD.encode(&bytes);
            assert_eq!(signature, case.text("2-signature.txt"), "{name}: signature, {backend}");
            assert!(key.public_key().verifies(&message, &bytes), "{name}: check, {backend}");

            let identity = Identity::Merchant(Mchid::new(text("mchid")).unwrap());
            let serial_no = text("serial_no").parse().unwrap();
            let signature = Signature::new(serial_no, bytes);
            let header = authorization(
                &identity,
                Algorithm::Sha256Rsa2048,
                &Nonce::new(nonce).unwrap(),
                timestamp,
                &signature,
            )
            .unwrap();
            assert_eq!(header, case.text("3-authorization.txt"), "{name}: authorization");
            let read = Authorization::parse(&header).unwrap();
            assert_eq!(read.signature(), &signature, "{name}: authorization, read back");
            assert_eq!(read.identity(), &identity, "{name}: authorization, read back");
            assert_eq!(read.timestamp(), timestamp, "{name}: authorization, read back");
            assert_eq!(read.nonce_str(), nonce, "{name}: authorization, read back");
        }
    }
}

#[test]
fn a_changed_request_no_longer_verifies() {
    for case in cases("request", 6) {
        let key = private_key(Backend::Ring, case.json("case.json")["key"].as_str().unwrap());
        for backend in BACKENDS {
            let key = key.public_key().clone().with_backend(*backend).unwrap();
            assert_changes_are_noticed(&case, &key, *backend);
        }
    }
}

fn assert_changes_are_noticed(case: &Case, key: &PublicKey, backend: Backend) {
    let (name, message) = (case.name(), case.bytes("1-message.txt"));
    let signature = STANDARD.decode(case.bytes("2-signature.txt")).unwrap();
    assert!(key.verifies(&message, &signature), "{name}: unchanged, {backend}");
    for changed in one_bit_off(&message) {
        assert!(!key.verifies(&changed, &signature), "{name}: message, {backend}");
    }
    for changed in one_bit_off(&signature) {
        assert!(!key.verifies(&message, &changed), "{name}: signature, {backend}");
    }
    for wrong_length in [&signature[1..], &signature[..255], &[signature.as_slice(), &[0]].concat()]
    {
        assert!(!key.verifies(&message, wrong_length), "{name}: length, {backend}");
    }
}

#[test]
fn bare_signatures() {
    for case in cases("signature", 4) {
        let (name, given) = (case.name(), case.json("case.json"));
        let message = case.bytes("1-message.txt");
        let signature = STANDARD.decode(case.bytes("2-signature.txt")).unwrap();
        for backend in BACKENDS {
            if let Some(key) = given["key"].as_str() {
                let key = private_key(*backend, key);
                let signed = key.sign(&message).unwrap();
                assert_eq!(signed, signature, "{name}: signature, {backend}");
                assert_changes_are_noticed(&case, key.public_key(), *backend);
            }
            if let Some(key) = given["verify_with"].as_str() {
                let key = public_key(key).with_backend(*backend).unwrap();
                let expected = given["expect"].as_bool().unwrap();
                assert_eq!(key.verifies(&message, &signature), expected, "{name}: {backend}");
            }
        }
    }
}

/// Returns a ring with this key, as a public key or in a platform certificate.
fn ring_with(serial: &str, key: PublicKey, backend: Backend) -> KeyRing {
    let ring = KeyRing::with_clock(|| Timestamp::from_unix_secs(1_700_000_000));
    let serial: WechatpaySerial = serial.parse().unwrap();
    if serial.is_public_key_id() {
        ring.insert_public_key(serial, key).unwrap();
        return ring;
    }
    let path = Path::new(TESTDATA).join("keys/wechat_pay_certificate.pem");
    let certificate = Certificate::from_pem_file(path).unwrap();
    assert_eq!(certificate.public_key(), &key);
    match backend {
        #[cfg(feature = "aws-lc-rs")]
        Backend::AwsLcRs => ring.insert_certificate_on(backend, &certificate).unwrap(),
        _ => ring.insert_certificate(&certificate).unwrap(),
    }
    assert_eq!(ring.serials(), [serial]);
    ring
}

/// Issues a platform certificate with this serial.
fn issue(serial: &str) -> Certificate {
    let key = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
    let mut params = rcgen::CertificateParams::default();
    let digits = serial.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    let serial: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    params.serial_number = Some(serial.into());
    let certificate = params.self_signed(&rcgen::KeyPair::from_pem(key).unwrap()).unwrap();
    Certificate::from_pem(certificate.pem()).unwrap()
}

#[tokio::test]
async fn responses() {
    for case in cases("response", 2) {
        let (name, headers, body) = (case.name(), case.headers(), case.bytes("body.bin"));
        let header = |name: &str| headers[name].to_str().unwrap();
        let (timestamp, nonce) = (header("wechatpay-timestamp"), header("wechatpay-nonce"));
        let message = response_message(timestamp, nonce, &body);
        assert_eq!(message, case.bytes("1-message.txt"), "{name}: message");

        let signature = STANDARD.decode(header("wechatpay-signature")).unwrap();
        let signed_at = Timestamp::from_unix_secs(timestamp.parse().unwrap());
        for backend in BACKENDS {
            let key = public_key(&case.text("public_key.txt")).with_backend(*backend).unwrap();
            assert!(key.verifies(&message, &signature), "{name}: signature, {backend}");

            let ring = ring_with(header("wechatpay-serial"), key, *backend);
            let verified = verify_response(&ring, &|| signed_at, &headers, &body).await;
            let verified = verified.unwrap_or_else(|e| panic!("{name}: verification: {e}"));
            assert_eq!(verified.body(), &&body, "{name}: body");
            assert_eq!(verified.signed_at(), signed_at, "{name}: time");
            assert_eq!(verified.serial().as_str(), header("wechatpay-serial"), "{name}: serial");
        }
    }
}

#[tokio::test]
async fn a_changed_response_no_longer_verifies() {
    for case in cases("response", 2) {
        let (name, headers, body) = (case.name(), case.headers(), case.bytes("body.bin"));
        let header = |name: &str| headers[name].to_str().unwrap();
        let signed_at = Timestamp::from_unix_secs(header("wechatpay-timestamp").parse().unwrap());
        for backend in BACKENDS {
            let key = public_key(&case.text("public_key.txt")).with_backend(*backend).unwrap();
            let ring = ring_with(header("wechatpay-serial"), key, *backend);
            let verify = async |headers: &HeaderMap, body: &[u8], what: &str| {
                let refused = verify_response(&ring, &|| signed_at, headers, body).await;
                let mismatch = matches!(refused, Err(VerifyError::Mismatch { .. }));
                assert!(mismatch, "{name}: {what}, {backend}: {refused:?}");
            };
            for changed in one_bit_off(&body) {
                verify(&headers, &changed, "body").await;
            }
            verify(&headers, &[body.as_slice(), b"\n"].concat(), "a longer body").await;

            let signature = STANDARD.decode(header("wechatpay-signature")).unwrap();
            let later = (signed_at.as_unix_secs() + 1).to_string();
            let other_nonce = format!("x{}", &header("wechatpay-nonce")[1..]);
            let mut replacements =
                vec![("wechatpay-timestamp", later), ("wechatpay-nonce", other_nonce)];
            replacements.extend(
                one_bit_off(&signature).map(|s| ("wechatpay-signature", STANDARD.encode(s))),
            );
            for (header, value) in replacements {
                let mut changed = headers.clone();
                changed.insert(header, value.parse().unwrap());
                verify(&changed, &body, header).await;
            }
        }
    }
}

#[tokio::test]
async fn the_real_probe_is_named_as_one() {
    for case in cases("probe", 1) {
        let headers = case.headers();
        let serial = headers["wechatpay-serial"].to_str().unwrap().to_owned();
        let sent: u64 = headers["wechatpay-timestamp"].to_str().unwrap().parse().unwrap();
        for held in [false, true] {
            let ring = KeyRing::new();
            if held {
                ring.insert_certificate(&issue(&serial)).unwrap();
            }
            for now in [sent, sent + 100_000, 0] {
                let clock = || Timestamp::from_unix_secs(now);
                let refused = verify_response(&ring, &clock, &headers, b"{}").await.unwrap_err();
                let VerifyError::Probe { serial: named, .. } = &refused else {
                    panic!("{}: {refused:?}", case.name())
                };
                assert_eq!(named, &serial, "{}", case.name());
                assert!(refused.to_string().contains("probe"), "{refused}");
            }
        }
    }
}
