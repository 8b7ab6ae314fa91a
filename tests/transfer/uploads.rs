//! Uploads: what is sent and signed, and what becomes of them.

use std::time::Duration;

use wxpay_auth::{FileKeySigner, Mchid, Nonce, NonceError, NonceSource, PrivateKey, Timestamp};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, ServerTls, Verdict, WireServer};
use wxpay_tests::builder;
use wxpay_transport::{
    Backoff, BaseUrl, Client, Error, Outcome, Proxy, Replay, Request, RequestError, Response,
    Target, Transport, UnverifiedCause, Upload,
};

const INTERFACES: [(&str, &str); 3] = [
    ("/v3/marketing/partner/product-coupon/media/upload-image", "image_url"),
    ("/v3/marketing/favor/media/image-upload", "media_url"),
    ("/v3/merchant/media/upload", "media_id"),
];

/// Another merchant's key: the published test key of the documentation.
const DOC_KEY: &str =
    include_str!("../../crates/wxpay-auth-core/testdata/keys/apiclient_test_key.pem");

/// Returns a file that looks like a PNG, and contains everything that a boundary consists of.
fn png() -> Vec<u8> {
    let all = (0..=255_u8).cycle().take(5000);
    let parts = b"\r\n--wxpay--\r\n\r\nContent-Disposition: form-data; name=\"meta\"\r\n";
    b"\x89PNG\r\n\x1a\n".iter().copied().chain(parts.iter().copied()).chain(all).collect()
}

fn upload_to(path: &str, upload: Upload) -> Request {
    Request::upload("media.upload", Target::new(path).unwrap(), upload).unwrap()
}

fn value(response: &Response, field: &str) -> String {
    let value: serde_json::Value = response.json().unwrap();
    value[field].as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[tokio::test]
async fn a_file_arrives_as_it_is() {
    for server in [WireServer::start_plain().await, WireServer::start_tls(ServerTls::Good).await] {
        let client = builder(&server, &server.base_url()).build().unwrap();
        for (path, field) in INTERFACES {
            let request = upload_to(path, Upload::new("logo.png", png()));
            let length = request.body().len();
            let first = value(&client.send(request.clone()).await.unwrap(), field);
            let second = value(&client.send(request).await.unwrap(), field);
            assert_ne!(first, second, "repeating an upload makes another one");

            let uploads = server.uploads();
            let uploaded = uploads.last().unwrap();
            assert_eq!((&*uploaded.path, &*uploaded.file_name), (path, "logo.png"));
            assert_eq!(uploaded.content, png());
            let journal = server.journal();
            let entry = journal.last().unwrap();
            assert_eq!((entry.verdict(), entry.executed()), (&Verdict::Accepted, true), "{entry}");
            assert_eq!(entry.header("content-length"), Some(&*length.to_string()));
            let content_type = entry.header("content-type").unwrap();
            assert!(content_type.starts_with("multipart/form-data; boundary="), "{content_type}");
            assert_eq!(entry.header("transfer-encoding"), None);
        }
        assert_eq!(server.uploads().len(), 2 * INTERFACES.len());
    }
}

#[tokio::test]
async fn large_files_and_pdfs_arrive() {
    let gateway = Gateway::start().await;
    let client = builder(&gateway, &gateway.base_url()).build().unwrap();
    let (path, field) = INTERFACES[2];
    let jpg = [&[0xff, 0xd8][..], &vec![0; (2 << 20) - 2]].concat();
    let pdf = [&b"%PDF"[..], &vec![b'\r'; 7_000_000]].concat();
    for (name, content) in [("photo.jpg", jpg), ("contract.pdf", pdf)] {
        let response = client.send(upload_to(path, Upload::new(name, content.clone()))).await;
        assert!(!value(&response.unwrap(), field).is_empty());
        assert!(gateway.uploads().last().unwrap().content == content, "{name}");
    }
}

/// Returns what the documentation signed with.
#[derive(Debug)]
struct DocNonce;

impl NonceSource for DocNonce {
    fn nonce(&self) -> Result<Nonce, NonceError> {
        Ok(Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap())
    }
}

/// Two texts of the documentation: one with blanks in `meta`, the other one without.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012365863>
#[tokio::test]
async fn the_signatures_of_the_documentation_are_made() {
    let gateway = Gateway::start().await;
    let serial_no = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse().unwrap();
    let signer = FileKeySigner::new(PrivateKey::from_pem(DOC_KEY).unwrap(), serial_no);
    let client = Client::builder(Mchid::new("1900007291").unwrap(), signer, gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .clock(|| Timestamp::from_unix_secs(1_554_208_460))
        .nonce_source(DocNonce)
        .build()
        .unwrap();
    const WITHOUT_BLANKS: &str = r#"{"filename":"wechatpay_logo.png","sha256":"d2973a45b1d528c21ebb77792ef3fcea40fa9a4e04a17e35369102ba9c84c8b1"}"#;
    const WITH_BLANKS: &str = include_str!(
        "../../crates/wxpay-auth-core/testdata/request/official-image-upload-meta/body.bin"
    );
    for (meta, signature) in [
        (
            WITHOUT_BLANKS,
            "GKKF+5+eeGuZOZ6MWLn7t7sMRTNbdnCTVqwP+dRx+p+Th+FueUXUVIsY7SOGj3oHWspCrBcZPl+eB/YelgTgImbZV8LvsiJhKt5+wm4P/qssX0ziNJfqLMfp+tgaa75VY89ctNqonRKOGbzvg/TaL3PaG2IlLUHsNtkXTe1GYdeOwsXV25DeI4nU2TsV0Z+ZbryNPtofCNWK35+WG8Cb95ffDAK+4HhJ9A+GCW4FpOLiqFo1DfIV24cINcBhbI7BTD3tThb7PMagFEpFGT8Gd+kLLFNAZYyObcQ1/rmvCFffyv8Ut+Vw+wkiv6mQ0gTorINrgGbf8v1/wU/22em0lg==",
        ),
        (
            WITH_BLANKS,
            include_str!(
                "../../crates/wxpay-auth-core/testdata/request/official-image-upload-meta/2-signature.txt"
            ),
        ),
    ] {
        let upload = Upload::new("wechatpay_logo.png", png()).meta(meta);
        let refused = client.send(upload_to(INTERFACES[1].0, upload)).await.unwrap_err();
        // The gateway knows neither this key nor this time.
        assert_eq!(refused.status().map(|status| status.as_u16()), Some(401), "{refused:?}");
        let journal = gateway.journal();
        let entry = journal.last().unwrap();
        let authorization = entry.authorization().unwrap();
        assert!(
            authorization.ends_with(&format!(",signature=\"{}\"", signature.trim())),
            "{authorization}"
        );
        let body = String::from_utf8_lossy(entry.body());
        assert_eq!(body.matches(meta).count(), 1, "what was signed was sent");
    }
}

#[tokio::test]
async fn a_sign_error_is_explained_by_what_was_signed() {
    let server = WireServer::start_plain().await;
    let signer = FileKeySigner::new(PrivateKey::from_pem(DOC_KEY).unwrap(), server.serial_no());
    let client = Client::builder(server.mchid(), signer, server.key_ring())
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let request = upload_to(INTERFACES[0].0, Upload::new("logo.png", png()));
    let signed = request.signed_body().len();
    let error = client.send(request).await.unwrap_err();
    let Error::Api(api) = &error else { panic!("{error:?}") };
    let diagnosis = api.sign_diagnosis().expect("the server says what it signed");
    assert_eq!(diagnosis.differs(), None, "both built the message from meta");
    assert_eq!(diagnosis.their_length(), Some(diagnosis.our_length()));
    assert!((signed + 100..signed + 200).contains(&diagnosis.our_length()), "{diagnosis:?}");
    assert!(error.hint().contains("does not belong to the serial_no"), "{}", error.hint());
    assert!(server.uploads().is_empty());
}

#[tokio::test]
async fn an_upload_is_repeated_only_if_that_was_said_and_signed_anew() {
    for (replay, attempts) in [(None, 1), (Some(Replay::Keyed), 2), (Some(Replay::Safe), 2)] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        let retry = Backoff::new().first(Duration::from_millis(1));
        let client = builder(&server, &server.base_url()).retry(retry).build().unwrap();
        let body = ErrorBody::json("SYSTEM_ERROR", "系统错误");
        let error = Misbehaviour::Status { status: 500, body, signed: true, executed: true };
        server.misbehave_once(error);
        let request = upload_to(INTERFACES[1].0, Upload::new("logo.png", png()));
        let request = replay.into_iter().fold(request, Request::with_replay);
        let ended = client.send(request).await;
        let outcome = ended.as_ref().err().map(Error::outcome);
        assert_eq!(outcome, (attempts == 1).then_some(Outcome::Unknown), "{replay:?}");
        assert_eq!(server.uploads().len(), attempts, "{replay:?}");
        let journal = server.journal();
        let signatures: std::collections::HashSet<_> =
            journal.iter().map(|entry| entry.authorization().unwrap().to_owned()).collect();
        assert_eq!((journal.len(), signatures.len()), (attempts, attempts), "{replay:?}");
        let bodies: std::collections::HashSet<_> =
            journal.iter().map(|e| e.body().to_vec()).collect();
        assert_eq!(bodies.len(), 1, "the same bytes are sent again");
    }
}

#[tokio::test]
async fn the_response_is_verified_as_any() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    for misbehaviour in
        [Misbehaviour::UnsignedSuccess, Misbehaviour::TamperedBody, Misbehaviour::Probe]
    {
        server.misbehave_once(misbehaviour.clone());
        let request = upload_to(INTERFACES[0].0, Upload::new("logo.png", png()));
        let error = client.send(request).await.unwrap_err();
        let Error::Unverified(unverified) = &error else { panic!("{misbehaviour:?}: {error:?}") };
        assert!(matches!(unverified.cause(), UnverifiedCause::Signature(_)), "{error:?}");
        assert_eq!((error.outcome(), error.may_retry()), (Outcome::Unknown, false));
    }
    assert_eq!(server.uploads().len(), 3, "all of them were carried out");
}

#[tokio::test]
async fn a_description_that_does_not_fit_is_refused_by_the_server() {
    let gateway = Gateway::start().await;
    let client = builder(&gateway, &gateway.base_url()).build().unwrap();
    let wrong = format!(r#"{{"filename":"logo.png","sha256":"{}"}}"#, "0".repeat(64));
    for ((path, _), code) in
        INTERFACES.into_iter().zip(["PARAM_ERROR", "REQUEST_BLOCKED", "PARAM_ERROR"])
    {
        let upload = Upload::new("logo.png", png()).meta(wrong.clone());
        let error = client.send(upload_to(path, upload)).await.unwrap_err();
        let Error::Api(api) = &error else { panic!("{error:?}") };
        assert_eq!((api.code(), error.outcome()), (Some(code), Outcome::Rejected), "{error:?}");
    }
    assert!(gateway.uploads().is_empty());
}

#[test]
fn what_no_interface_takes_is_not_sent() {
    let target = || Target::new(INTERFACES[0].0).unwrap();
    for (upload, error) in [
        (Upload::new("logo.png", ""), RequestError::EmptyFile),
        (Upload::new("logo.gif", png()), RequestError::MediaType),
    ] {
        assert_eq!(Request::upload("media.upload", target(), upload).err(), Some(error));
    }
    let large = Upload::new("logo.png", png()).max_bytes(100);
    let error = Error::from(Request::upload("media.upload", target(), large).unwrap_err());
    assert_eq!((error.outcome(), error.is_input()), (Outcome::NotSent, true));
    assert!(error.hint().contains("Upload::max_bytes"), "{}", error.hint());
}
