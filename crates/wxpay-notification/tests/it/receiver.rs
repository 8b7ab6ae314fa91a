//! A receiver for tests, and what it makes of a notification.

use std::sync::Arc;

use wxpay_auth::{
    ApiV3Key, DecryptError, EncryptedResource, KeyRing, ResourceDecryptor, Timestamp,
};
use wxpay_notification::events::Event;
use wxpay_notification::{
    EventType, Notification, NotificationReceiver, ReceiveError, async_trait,
};
use wxpay_testing::{NotificationFault, OutgoingNotification, WechatPay};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_secs(1_798_732_800);
pub(crate) const RESOURCE: &str =
    r#"{"plan_id":"12000","plan_state":"TERMINATED","audit_state":"PASSED"}"#;

pub(crate) fn wechat_pay() -> Arc<WechatPay> {
    WechatPay::builder().clock(|| NOW).build()
}

pub(crate) fn receiver(wechat_pay: &WechatPay) -> NotificationReceiver<KeyRing, ApiV3Key> {
    let key = ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
    NotificationReceiver::new(wechat_pay.key_ring(), key).clock(|| NOW)
}

async fn received(notification: &OutgoingNotification) -> Notification {
    receiver(&wechat_pay()).receive_request(notification.request()).await.unwrap()
}

#[tokio::test]
async fn everything_of_a_notification_is_there() {
    let sent = wechat_pay()
        .notification("DELIVERY_PLAN.CHANGE", RESOURCE)
        .id("EV-1")
        .field("further", vec![1, 2])
        .with_tabs();
    let notification = received(&sent).await;
    assert_eq!(
        (notification.id(), notification.event_type().as_str()),
        ("EV-1", "DELIVERY_PLAN.CHANGE")
    );
    assert_eq!(notification.event_type(), &EventType::DELIVERY_PLAN_CHANGE);
    assert_eq!(notification.create_time(), Some("2027-01-01T00:00:00+08:00"));
    assert_eq!(notification.created_at().unwrap().unwrap().timestamp(), NOW);
    assert_eq!(notification.resource_type(), Some("encrypt-resource"));
    assert_eq!(
        (notification.summary(), notification.original_type()),
        (Some("通知"), Some("delivery"))
    );
    assert_eq!(
        (notification.signed_at(), notification.resource_bytes().as_ref()),
        (NOW, RESOURCE.as_bytes())
    );
    assert!(notification.serial().is_public_key_id());
    let envelope: serde_json::Value =
        serde_json::from_slice(notification.envelope().body()).unwrap();
    assert_eq!(envelope["further"], serde_json::json!([1, 2]));
    let Event::DeliveryPlanChange(change) = notification.event().unwrap() else { panic!() };
    assert_eq!((change.plan_id.as_str(), change.plan_state_name()), ("12000", "TERMINATED"));
}

#[tokio::test]
async fn events_are_told_apart_by_their_type_alone() {
    let event = async |event_type: &str, resource: &str| {
        let sent = wechat_pay().notification(event_type, resource);
        received(&sent.original_type("x").associated_data(Some("y"))).await.event()
    };
    let echo = r#"{"echo_message":"self-test-0001"}"#;
    assert!(matches!(event("SECURITY_ECHO.SUCCESS", echo).await, Ok(Event::SecurityEcho(_))));
    let coupon = r#"{"coupon_code":"1","brand_id":"2","product_coupon_id":"3","stock_id":"4"}"#;
    assert!(matches!(event("PRODUCT_COUPON_SP.SEND", coupon).await, Ok(Event::CouponSent(_))));
    let image = r#"{"task_id":"1","brand_id":"2","image_generation_type":"3","task_state":"4"}"#;
    let generated = event("PRODUCT_COUPON_SP.IMAGE_GENERATION", image).await;
    assert!(matches!(generated, Ok(Event::CouponImageGenerated(_))));
    assert!(matches!(
        event("BRAND_MEMBER_CARD_SP.USER_CARD.CREATE", "no JSON").await,
        Ok(Event::Other)
    ));
    let error = event("DELIVERY_PLAN.CHANGE", echo).await.unwrap_err().to_string();
    assert!(error.contains("missing field `plan_id`"), "{error}");
}

#[tokio::test]
async fn causes_come_in_their_documented_order() {
    let (wechat_pay, tiny) = (wechat_pay(), 10);
    let forged = wechat_pay
        .notification("A.B", RESOURCE)
        .id("")
        .request_with(NotificationFault::TamperedBody);
    let small = receiver(&wechat_pay).body_limit(tiny);
    let error = small.receive_request(forged.clone()).await.unwrap_err();
    assert!(matches!(error, ReceiveError::TooLarge { limit: 10, .. }), "{error}");
    let error = receiver(&wechat_pay).receive_request(forged).await.unwrap_err();
    assert!(matches!(error, ReceiveError::Unverified(_)), "{error}");
    let other_key = wechat_pay.notification("A.B", RESOURCE).id("");
    let error = receiver(&wechat_pay)
        .receive_request(other_key.request_with(NotificationFault::OtherApiV3Key))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the notification is verified, and has no valid envelope: id is empty"
    );
    let error = receiver(&wechat_pay)
        .receive_request(other_key.id("EV-1").request_with(NotificationFault::OtherApiV3Key))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the resource of the notification EV-1 cannot be decrypted");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_received() {
    let wechat_pay = wechat_pay();
    let request = wechat_pay.notification("A.B", RESOURCE).request();
    let length = request.body().len();
    let limited = |limit| receiver(&wechat_pay).body_limit(limit);
    assert!(limited(length).receive_request(request.clone()).await.is_ok());
    assert!(limited(length - 1).receive_request(request).await.is_err());
}

#[tokio::test]
async fn another_decryptor_gets_every_field() {
    #[derive(Debug)]
    struct Sm4;
    #[async_trait]
    impl ResourceDecryptor for Sm4 {
        async fn decrypt(&self, resource: &EncryptedResource<'_>) -> Result<Vec<u8>, DecryptError> {
            Ok(format!("{} {}", resource.algorithm, resource.associated_data.is_some()).into())
        }
    }
    let wechat_pay = wechat_pay();
    let receiver = NotificationReceiver::new(wechat_pay.key_ring(), Box::new(Sm4)).clock(|| NOW);
    for (associated_data, expected) in
        [(None, "AEAD_AES_256_GCM false"), (Some(""), "AEAD_AES_256_GCM true")]
    {
        let sent = wechat_pay.notification("A.B", RESOURCE).associated_data(associated_data);
        let notification = receiver.receive_request(sent.request()).await.unwrap();
        assert_eq!(notification.resource_bytes(), expected);
    }
}
