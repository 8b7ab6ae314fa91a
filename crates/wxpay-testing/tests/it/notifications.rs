//! Notifications are what the official pages describe, and each fault is one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use wxpay_auth::{ApiV3Key, EncryptedResource, Timestamp, verify_notification};
use wxpay_testing::{NotificationFault, NotificationSchedule, OutgoingNotification, WechatPay};

const RESOURCE: &str = r#"{"plan_id":"12000","plan_state":"TERMINATED","audit_state":"PASSED"}"#;
const NOW: Timestamp = Timestamp::from_unix_secs(1_798_732_800);

fn wechat_pay() -> Arc<WechatPay> {
    WechatPay::builder().clock(|| NOW).build()
}

fn envelope(notification: &OutgoingNotification) -> serde_json::Value {
    serde_json::from_slice(notification.request().body()).unwrap()
}

#[tokio::test]
async fn a_notification_is_signed_and_encrypted() {
    let wechat_pay = wechat_pay();
    let plain = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id("EV-1");
    for notification in [
        plain.clone(),
        plain.clone().with_tabs().signed_with_certificate(),
        plain.clone().associated_data(None).original_type("delivery_plan"),
        plain.clone().associated_data(Some("")).field("further", 7),
    ] {
        let request = notification.request();
        let (headers, body) = (request.headers(), request.body().as_ref());
        let verified = verify_notification(&wechat_pay.key_ring(), &|| NOW, headers, body).await;
        assert_eq!(verified.unwrap().signed_at(), NOW);
        let envelope = envelope(&notification);
        assert_eq!(envelope["id"], "EV-1");
        assert_eq!(envelope["create_time"], "2027-01-01T00:00:00+08:00");
        let text = |name: &str| envelope["resource"][name].as_str().unwrap_or_default().to_owned();
        let sealed = EncryptedResource::aes_256_gcm(
            text("nonce"),
            Some(text("associated_data").into()),
            text("ciphertext"),
        );
        let key = ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
        assert_eq!(key.open(&sealed).unwrap(), RESOURCE.as_bytes());
    }
    assert!(plain.clone().with_tabs().request().body().windows(2).any(|two| two == b"\n\t"));
    assert_eq!(envelope(&plain.field("further", 7))["further"], 7);
}

#[tokio::test]
async fn a_fault_of_the_signature_is_one() {
    let wechat_pay = wechat_pay();
    let notification = wechat_pay.notification("A.B", RESOURCE);
    let mut causes = HashSet::new();
    for fault in NotificationFault::of_signature() {
        let request = notification.request_with(fault);
        let ring = wechat_pay.key_ring_with_expired_certificate();
        let refused =
            verify_notification(&ring, &|| NOW, request.headers(), request.body().as_ref()).await;
        causes.insert(refused.expect_err(&format!("{fault:?}")).to_string());
    }
    assert!(causes.len() >= 9, "{causes:?}");
    // This one is signed.
    let request = notification.request_with(NotificationFault::OtherApiV3Key);
    let ring = wechat_pay.key_ring();
    verify_notification(&ring, &|| NOW, request.headers(), request.body().as_ref()).await.unwrap();
}

#[test]
fn a_schedule_has_the_documented_number_of_sendings() {
    for (event_type, sendings, all_secs) in [
        ("DELIVERY_PLAN.CHANGE", 50, 1 + 4 + 600 + 36 * 300),
        ("PRODUCT_COUPON_SP.SEND", 11, 32_739),
        ("PRODUCT_COUPON_SP.IMAGE_GENERATION", 11, 600),
        ("SECURITY_ECHO.SUCCESS", 10, 11_040),
    ] {
        let schedule = NotificationSchedule::of(event_type);
        assert_eq!(schedule.pauses().len() + 1, sendings, "{event_type}");
        let all: Duration = schedule.pauses().iter().sum();
        assert_eq!(all.as_secs(), all_secs, "{event_type}");
    }
}
