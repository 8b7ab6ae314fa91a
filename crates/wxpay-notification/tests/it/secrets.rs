//! No `Debug` and no error shows a key, a body or a resource.

use wxpay_auth::ApiV3Key;
use wxpay_notification::{
    Claim, MemoryReplayStore, NotificationEndpoint, NotificationReceiver, ReceiveError,
};
use wxpay_testing::NotificationFault;

use crate::receiver::{NOW, receiver, wechat_pay};

const RESOURCE: &str = r#"{"coupon_code":"Code_1234567","openid":"o-user-1234567"}"#;

#[tokio::test]
async fn nothing_is_shown_of_what_is_secret_or_personal() {
    let wechat_pay = wechat_pay();
    let (receiver, store) = (receiver(&wechat_pay), MemoryReplayStore::new());
    let sent = wechat_pay.notification("PRODUCT_COUPON_SP.SEND", RESOURCE).id("EV\r\n-1");
    let request = sent.request();
    let notification = receiver.receive_request(request.clone()).await.unwrap();
    let endpoint = NotificationEndpoint::new(receiver, store.clone());
    let handled = endpoint.handle(request.clone(), |_| async { Err::<(), _>("no") }).await;
    let error = notification.event().unwrap_err();
    let other = ApiV3Key::new("b7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb").unwrap();
    let other = NotificationReceiver::new(wechat_pay.key_ring(), other).clock(|| NOW);
    let undecryptable = other.receive_request(request.clone()).await.unwrap_err();
    assert!(matches!(undecryptable, ReceiveError::Decrypt { .. }), "{undecryptable}");
    let forged = sent.request_with(NotificationFault::TamperedBody);
    let unverified = endpoint.receiver().receive_request(forged).await.unwrap_err();
    let claim = Claim::new("EV-1").unwrap();
    let shown = format!(
        "{notification:?} {endpoint:?} {handled:?} {error:?} {error} {undecryptable:?} {unverified:?} {store:?} {claim:?}"
    );
    let envelope: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    let ciphertext = envelope["resource"]["ciphertext"].as_str().unwrap();
    let signature = request.headers()["wechatpay-signature"].to_str().unwrap();
    for secret in [
        wechat_pay.api_v3_key(),
        "b7cde1ZJ",
        "Code_1234567",
        "o-user-1234567",
        &ciphertext[..16],
        &signature[..16],
        claim.token(),
        "\r",
    ] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    for helpful in ["EV  -1", "PRODUCT_COUPON_SP.SEND", "PUB_KEY_ID_"] {
        assert!(shown.contains(helpful), "{helpful}: {shown}");
    }
}
