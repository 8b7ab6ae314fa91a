//! Another implementation makes the notifications that are received here, and reads those that the gateway sends.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wxpay_auth::http::{HeaderMap, HeaderName};
use wxpay_notification::MemoryReplayStore;

use super::receiver::{NOW, RESOURCE, endpoint, wechat_pay};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/doubles/foreign_notification.py");
const PRIVATE_KEY: &str =
    include_str!("../../crates/wxpay-testing/testdata/wechat_pay_private_key.pem");

/// Runs the other implementation.
fn foreign(what: &str, given: &Value) -> Value {
    let python =
        std::env::var_os("WXPAY_TEST_PYTHON").expect("WXPAY_TEST_PYTHON: run scripts/test");
    let mut process = Command::new(python)
        .args([PROGRAM, what])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{what}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs Python with cryptography: run scripts/test"]
async fn a_notification_of_another_implementation_is_received() {
    let wechat_pay = wechat_pay();
    let made = foreign(
        "make",
        &json!({
            "private_key": PRIVATE_KEY,
            "serial": wechat_pay.public_key_id().as_str(),
            "api_v3_key": wechat_pay.api_v3_key(),
            "timestamp": NOW.to_string(),
            "id": "EV-1",
            "resource": RESOURCE,
        }),
    );
    let mut headers = HeaderMap::new();
    for (name, value) in made["headers"].as_object().unwrap() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.as_str().unwrap().parse().unwrap());
    }
    let endpoint = endpoint(&wechat_pay, MemoryReplayStore::new());
    let body = made["body"].as_str().unwrap().to_owned();
    let notification = endpoint.receiver().receive(&headers, body).await.unwrap();
    assert_eq!(
        (notification.id(), notification.resource_bytes().as_ref()),
        ("EV-1", RESOURCE.as_bytes())
    );
}

#[tokio::test]
#[ignore = "needs Python with cryptography: run scripts/test"]
async fn a_notification_of_the_gateway_is_read_by_another_implementation() {
    let wechat_pay = wechat_pay();
    for notification in [
        wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE),
        wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).associated_data(None).with_tabs(),
    ] {
        let request = notification.request();
        let headers: serde_json::Map<String, Value> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
            .collect();
        let read = foreign(
            "read",
            &json!({
                "public_key": wechat_pay.public_key_pem(),
                "api_v3_key": wechat_pay.api_v3_key(),
                "headers": headers,
                "body": String::from_utf8(request.body().to_vec()).unwrap(),
            }),
        );
        assert_eq!(read["resource"], RESOURCE);
    }
}
