//! Uploads are signed over their part `meta`; bills are offered by a signed response, and are not signed themselves.

use std::sync::Arc;

use crate::common::{Call, Credentials, Response};
use serde_json::{Value, json};
use wxpay_auth::{SystemClock, is_signed, verify_response};
use wxpay_testing::{Bill, BillFault, Gateway, Misbehaviour, Refusal, Verdict, WechatPay};

const IMAGE: &str = "/v3/marketing/favor/media/image-upload";
const MEDIA: &str = "/v3/merchant/media/upload";
const TYPE: &str = "multipart/form-data; boundary=b0undary";

/// A BMP, which is text.
const BMP: &str = "BM: this is a picture";
/// The SHA-256 of something else.
const OTHER: &str = "8c2ad9ad9b01a9dbfb3b4b1f2c7ce4f2c4bb1c80a6ac7ff6f7d45f7e2d2dbb41";

fn meta(file_name: &str, sha256: &str) -> String {
    json!({ "filename": file_name, "sha256": sha256 }).to_string()
}

fn body(meta: &str, file: &str) -> String {
    format!(
        "--b0undary\r\nContent-Disposition: form-data; name=\"meta\";\r\n\
         Content-Type: application/json\r\n\r\n{meta}\r\n--b0undary\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.bmp\";\r\n\
         Content-Type: image/bmp\r\n\r\n{file}\r\n--b0undary--\r\n"
    )
}

/// Returns an upload of which this is signed.
fn signed(wechat_pay: &WechatPay, path: &str, body: &str, meta: &str) -> Call {
    let authorization = Credentials::of(wechat_pay).sign("POST", path, meta);
    Call::new("POST", path, body).with("Content-Type", TYPE).with("Authorization", &authorization)
}

async fn upload(gateway: &Gateway, path: &str, meta: &str, file: &str) -> Response {
    signed(gateway, path, &body(meta, file), meta).send(&gateway.base_url()).await
}

fn sha256_of(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

#[tokio::test]
async fn a_file_is_taken_when_its_description_is_signed_and_right() {
    let gateway = Gateway::start().await;
    let meta = meta("a.bmp", &sha256_of(BMP));
    for (path, field) in [
        ("/v3/marketing/partner/product-coupon/media/upload-image", "image_url"),
        (IMAGE, "media_url"),
        (MEDIA, "media_id"),
    ] {
        let response = upload(&gateway, path, &meta, BMP).await;
        assert_eq!(response.status, 200, "{path}");
        assert!(response.json()[field].is_string(), "{:?}", response.json());
        let ring = gateway.key_ring();
        let body = response.body.as_slice();
        verify_response(&ring, &SystemClock, &response.headers, body).await.unwrap();
        let uploaded = gateway.uploads().pop().unwrap();
        assert_eq!((&*uploaded.path, &*uploaded.file_name), (path, "a.bmp"));
        assert_eq!(uploaded.content, BMP.as_bytes());
    }
    assert_eq!(gateway.executions(), 3);
}

#[tokio::test]
async fn what_is_signed_is_the_description_alone() {
    let gateway = Gateway::start().await;
    let meta = meta("a.bmp", &sha256_of(BMP));
    let whole = body(&meta, BMP);
    let other = meta.replace("\":\"", "\": \"");
    for signed_as in [&whole, &other, ""] {
        let call = signed(&gateway, IMAGE, &whole, signed_as);
        let response = call.send(&gateway.base_url()).await;
        assert_eq!(response.status, 401, "{signed_as}");
        let journal = gateway.journal();
        assert_eq!(
            journal.last().unwrap().verdict(),
            &Verdict::Refused(Refusal::SignatureMismatch)
        );
        // The message that it shows ends in the first bytes of the description.
        let information = &response.json()["detail"]["sign_information"];
        let message = information["truncated_sign_message"].as_str().unwrap();
        assert!(message.ends_with("{\"filena\n"), "{message:?}");
        let authorization = journal.last().unwrap().authorization().unwrap().to_owned();
        let timestamp = authorization.split("timestamp=\"").nth(1).unwrap();
        let timestamp = timestamp.split('"').next().unwrap().len();
        let length = "POST\n".len() + IMAGE.len() + 1 + timestamp + 1 + 32 + 1 + meta.len() + 1;
        assert_eq!(information["sign_message_length"], length);
    }
    assert!(gateway.uploads().is_empty());
}

#[tokio::test]
async fn a_form_that_is_not_as_documented_is_refused() {
    let gateway = Gateway::start().await;
    let meta = meta("a.bmp", &sha256_of(BMP));
    let right = body(&meta, BMP);
    for (wrong, fault) in [
        (right.replace("\r\n", "\n"), "it does not begin with a boundary"),
        (
            right.replace("name=\"meta\"", "name=\"data\""),
            "there is a part that is neither meta nor file",
        ),
        (right.replace("--b0undary--\r\n", ""), "it does not end with a boundary"),
    ] {
        let response = signed(&gateway, IMAGE, &wrong, &meta).send(&gateway.base_url()).await;
        assert_eq!((response.status, response.json()["code"].as_str()), (400, Some("PARAM_ERROR")));
        assert!(!is_signed(&response.headers));
        let journal = gateway.journal();
        let refusal = Refusal::MalformedForm(fault);
        assert_eq!(journal.last().unwrap().verdict(), &Verdict::Refused(refusal));
    }
    let json = signed(&gateway, IMAGE, &right, &meta).with("Content-Type", "application/json");
    assert_eq!(json.send(&gateway.base_url()).await.status, 400);
    let journal = gateway.journal();
    assert_eq!(journal.last().unwrap().verdict(), &Verdict::Refused(Refusal::WrongContentType));
    // A form is for uploads only.
    let plan = crate::common::terminate("12000");
    let form = Call::post(&gateway, &plan).with("Content-Type", TYPE);
    assert_eq!(form.send(&gateway.base_url()).await.status, 400);
    assert_eq!(gateway.executions(), 0);
}

#[tokio::test]
async fn a_description_that_does_not_fit_the_file_is_refused() {
    let gateway = Gateway::start().await;
    let right = sha256_of(BMP);
    let pdf = "%PDF-1.7";
    let pdf_meta = meta("a.pdf", &sha256_of(pdf));
    let gif = "GIF89a";
    for (path, meta, file, status, code) in [
        (IMAGE, meta("a.bmp", OTHER), BMP, 403, "REQUEST_BLOCKED"),
        (MEDIA, meta("a.bmp", OTHER), BMP, 400, "PARAM_ERROR"),
        (IMAGE, meta("a.bmp", &right.to_uppercase()), BMP, 403, "REQUEST_BLOCKED"),
        (IMAGE, meta("", &right), BMP, 400, "PARAM_ERROR"),
        (IMAGE, meta(&"a".repeat(129), &right), BMP, 400, "PARAM_ERROR"),
        (IMAGE, meta("a.bmp", &sha256_of("")), "", 400, "PARAM_ERROR"),
        (IMAGE, "[]".to_owned(), BMP, 400, "PARAM_ERROR"),
        (IMAGE, meta("a.gif", &sha256_of(gif)), gif, 403, "REQUEST_BLOCKED"),
        (IMAGE, pdf_meta.clone(), pdf, 403, "REQUEST_BLOCKED"),
        (MEDIA, pdf_meta, pdf, 200, ""),
    ] {
        let response = upload(&gateway, path, &meta, file).await;
        let found = response.json()["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((response.status, &*found), (status, code), "{path} {meta}");
        assert!(is_signed(&response.headers), "{path} {meta}");
    }
}

async fn get(wechat_pay: &WechatPay, base_url: &str, target: &str) -> Response {
    let host = base_url.split_once("://").unwrap().1;
    Call::get(wechat_pay, target).with("Host", host).send(base_url).await
}

#[tokio::test]
async fn a_bill_is_named_by_a_signed_response_and_is_not_signed() {
    let gateway = Gateway::start().await;
    let base_url = gateway.base_url();
    gateway.add_bill(Bill::new("2026-11-27", "abc"));
    let named = get(&gateway, &base_url, "/v3/bill/tradebill?bill_date=2026-11-27").await;
    assert!(is_signed(&named.headers));
    let named: Value = named.json();
    assert_eq!(named["hash_type"], "SHA1");
    assert_eq!(named["hash_value"], "a9993e364706816aba3e25717850c26c9cd0d89d", "as in FIPS 180");
    let url = named["download_url"].as_str().unwrap();
    let target = url.strip_prefix(&*base_url).unwrap();
    let file = get(&gateway, &base_url, target).await;
    assert_eq!((file.status, &*file.body), (200, &b"abc"[..]));
    assert!(!is_signed(&file.headers) && file.header("request-id").is_some());

    // The token is compared as it arrives.
    let other = target.replace("%2F", "%2f");
    assert_ne!(other, target);
    let refused = get(&gateway, &base_url, &other).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("INVALID_REQUEST")));
    assert!(is_signed(&refused.headers));
    let missing = get(&gateway, &base_url, "/v3/bill/tradebill?bill_date=2026-11-26").await;
    assert_eq!(missing.json()["code"], "NO_STATEMENT_EXIST");
    // Its request is signed as any.
    let unsigned = Call::new("GET", target, "").send(&base_url).await;
    assert_eq!(unsigned.status, 401);
}

#[tokio::test]
async fn a_bill_is_gzip_on_request_or_what_it_was_told_to_be() {
    let gateway = Gateway::start().await;
    let base_url = gateway.base_url();
    let file = async |query: &str| {
        let target = format!("/v3/bill/tradebill?bill_date=1{query}");
        let named = get(&gateway, &base_url, &target).await.json();
        let url = named["download_url"].as_str().unwrap().to_owned();
        let file = get(&gateway, &base_url, url.strip_prefix(&*base_url).unwrap()).await;
        (named["hash_value"].as_str().unwrap().to_owned(), file.body)
    };
    gateway.add_bill(Bill::new("1", "abc"));
    let ((plain_hash, plain), (hash, gzip)) = (file("").await, file("&tar_type=GZIP").await);
    assert_eq!((plain_hash == hash, &*plain), (true, &b"abc"[..]));
    assert_eq!(gzip[..2], [0x1f, 0x8b]);
    gateway.add_bill(Bill::new("1", "abc").sent_as("xyz"));
    assert_eq!(file("").await, (hash.clone(), b"xyz".to_vec()));
    gateway.add_bill(Bill::new("1", "abc").with_fault(BillFault::Altered));
    assert_eq!(file("").await, (hash.clone(), b"acc".to_vec()));
    gateway.add_bill(Bill::new("1", "abc").with_fault(BillFault::WrongHash));
    let (other, content) = file("").await;
    assert_ne!((other, &*content), (hash, &b"xyz"[..]));
    assert_eq!(content, b"abc");
}

#[tokio::test]
async fn two_servers_have_the_same_files_and_misbehave_alike() {
    let main = Gateway::start().await;
    let standby =
        Gateway::builder().wechat_pay(Arc::clone(main.wechat_pay())).start().await.unwrap();
    main.add_bill(Bill::new("1", "abc"));
    main.download_from(standby.base_url());
    let target = "/v3/bill/tradebill?bill_date=1";
    let named = get(&main, &main.base_url(), target).await.json();
    let url = named["download_url"].as_str().unwrap();
    let target = url.strip_prefix(&*standby.base_url()).unwrap();
    main.misbehave_once(Misbehaviour::Redirect);
    assert_eq!(get(&main, &standby.base_url(), target).await.status, 302);
    assert_eq!(get(&main, &standby.base_url(), target).await.body, b"abc");
}
