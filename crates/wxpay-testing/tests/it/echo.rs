//! The echo call: what comes back, and what is refused.

use serde_json::{Value, json};
use wxpay_auth::Certificate;
use wxpay_testing::Gateway;

use crate::common::{Call, Credentials, Response};

async fn echo(gateway: &Gateway, serial: Option<&str>, body: &str) -> Response {
    let call = Call::new("POST", "/v3/security/echo", body).signed(&Credentials::of(gateway));
    let call = match serial {
        Some(serial) => call.with("Wechatpay-Serial", serial),
        None => call,
    };
    call.send(&gateway.base_url()).await
}

fn serials(gateway: &Gateway) -> [String; 2] {
    let certificate = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
    [gateway.public_key_id().to_string(), certificate.serial_no().to_string()]
}

#[tokio::test]
async fn a_text_comes_back() {
    let gateway = Gateway::start().await;
    for serial in serials(&gateway) {
        for body in [
            json!({ "echo_message": "自检-0001" }),
            json!({ "echo_message": "", "notify_url": "https://notify.example.test/echo" }),
        ] {
            let response = echo(&gateway, Some(&serial), &body.to_string()).await;
            assert_eq!(response.status, 200, "{body}");
            assert_eq!(response.json(), json!({ "echo_message": body["echo_message"] }));
            assert!(response.header("wechatpay-signature").is_some());
        }
    }
    assert_eq!(gateway.executions(), 0, "no plan was changed");
}

async fn refused(gateway: &Gateway, serial: Option<&str>, body: &str) -> (u16, String, String) {
    let response = echo(gateway, serial, body).await;
    let json: Value = response.json();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (response.status, text("code"), text("message"))
}

#[tokio::test]
async fn the_serial_of_the_request_is_checked() {
    let gateway = Gateway::start().await;
    let body = json!({ "echo_message": "x" }).to_string();
    let (status, code, message) = refused(&gateway, None, &body).await;
    assert_eq!((status, code.as_str()), (400, "PARAM_ERROR"));
    assert_eq!(message, "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)");
    let expired = Certificate::from_pem(gateway.expired_certificate_pem()).unwrap();
    for serial in [
        gateway.serial_no().as_str(),
        expired.serial_no().as_str(),
        "PUB_KEY_ID_0000000000000024101100397200000006",
        // A decimal one.
        "549077366471063563157393186063461394394399244669",
    ] {
        let (status, code, message) = refused(&gateway, Some(serial), &body).await;
        assert_eq!((status, code.as_str()), (400, "PARAM_ERROR"), "{serial}");
        assert_eq!(message, "平台证书序列号Wechatpay-Serial错误", "{serial}");
    }
}

#[tokio::test]
async fn other_bodies_are_refused() {
    let gateway = Gateway::start().await;
    let [serial, _] = serials(&gateway);
    for body in [
        "",
        "[]",
        "{}",
        r#"{"echo_message":7}"#,
        r#"{"echo_message":null}"#,
        r#"{"echo_message":"x","encrypted_echo_message":7}"#,
        r#"{"echo_message":"x","notify_url":[]}"#,
    ] {
        let (status, code, _) = refused(&gateway, Some(&serial), body).await;
        assert_eq!((status, code.as_str()), (400, "PARAM_ERROR"), "{body}");
    }
}

#[cfg(not(feature = "fields"))]
#[tokio::test]
async fn an_encrypted_field_needs_the_feature() {
    let gateway = Gateway::start().await;
    let body = json!({ "echo_message": "x", "encrypted_echo_message": "AAAA" }).to_string();
    let (status, _, message) = refused(&gateway, Some(&serials(&gateway)[0]), &body).await;
    assert_eq!((status, message.contains("`fields`")), (501, true));
}

#[cfg(feature = "fields")]
mod fields {
    use wxpay_auth_core::{
        Backend, FieldDecryptor, FieldEncryptor, FileKeyDecryptor, PrivateKey, PublicKey,
    };

    use super::*;

    fn encryptors(gateway: &Gateway) -> [FieldEncryptor; 2] {
        let key = PublicKey::from_pem(gateway.public_key_pem()).unwrap();
        let certificate = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
        [
            FieldEncryptor::with_public_key(gateway.public_key_id(), &key).unwrap(),
            FieldEncryptor::with_certificate(&certificate).unwrap(),
        ]
    }

    #[tokio::test]
    async fn an_encrypted_text_comes_back_for_the_merchants_key() {
        let gateway = Gateway::start().await;
        let key = PrivateKey::from_pem_with(Backend::AwsLcRs, gateway.merchant_key_pem()).unwrap();
        let decryptor = FileKeyDecryptor::new(&key, gateway.serial_no()).unwrap();
        for encryptor in encryptors(&gateway) {
            for text in ["张三", "", &"x".repeat(214)] {
                let field = encryptor.encrypt(text).unwrap();
                let body = json!({
                    "echo_message": "x", "encrypted_echo_message": field.ciphertext(),
                });
                let serial = field.serial().as_str();
                let response = echo(&gateway, Some(serial), &body.to_string()).await;
                assert_eq!(response.status, 200);
                let json = response.json();
                let came_back = json["encrypted_echo_message"].as_str().unwrap();
                assert_eq!(decryptor.decrypt(came_back).await.unwrap().expose(), text);
            }
        }
    }

    #[tokio::test]
    async fn what_the_named_key_cannot_decrypt_is_refused() {
        let gateway = Gateway::start().await;
        let [of_key, of_certificate] = encryptors(&gateway).map(|e| e.encrypt("张三").unwrap());
        for (serial, field) in [
            (of_key.serial(), of_certificate.ciphertext()),
            (of_certificate.serial(), of_key.ciphertext()),
            (of_key.serial(), "AAAA"),
            (of_key.serial(), "no Base64!"),
            (of_key.serial(), ""),
        ] {
            let body = json!({ "echo_message": "x", "encrypted_echo_message": field }).to_string();
            let (status, code, _) = refused(&gateway, Some(serial.as_str()), &body).await;
            assert_eq!((status, code.as_str()), (400, "PARAM_ERROR"), "{serial}");
        }
    }
}
