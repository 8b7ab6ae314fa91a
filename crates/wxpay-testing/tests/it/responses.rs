//! Plans change their states, and every response to an authentic request is signed.

use crate::common::{Call, Credentials, PLANS, Response, terminate};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wxpay_auth::{Certificate, SystemClock, verify_response};
use wxpay_testing::{Gateway, Plan, PlanState, WechatPay};

async fn post(gateway: &Gateway, target: &str) -> Response {
    Call::post(gateway, target).send(&gateway.base_url()).await
}

async fn list(gateway: &Gateway, brand_id: &str, query: &str) -> Response {
    let target = format!("{PLANS}/{brand_id}/delivery-plans{query}");
    Call::get(gateway, &target).send(&gateway.base_url()).await
}

fn ids(response: &Response) -> Vec<String> {
    let body = response.json();
    let plans = body["plan_list"].as_array().map(Vec::as_slice).unwrap_or_default();
    plans.iter().map(|plan| plan["plan_id"].as_str().unwrap().to_owned()).collect()
}

async fn assert_verifies(wechat_pay: &WechatPay, response: &Response, serial: &str) {
    let (ring, body) = (wechat_pay.key_ring(), response.body.as_slice());
    let verified = verify_response(&ring, &SystemClock, &response.headers, body).await.unwrap();
    assert_eq!(verified.serial().as_str(), serial);
}

#[tokio::test]
async fn success_and_failure_are_signed_by_the_chosen_key() {
    let gateway = Gateway::start().await;
    let certificate = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
    let public_key_id = gateway.public_key_id();
    for (serial, plan_id) in
        [(public_key_id.as_str(), "12000"), (certificate.serial_no().as_str(), "12001")]
    {
        if !serial.starts_with("PUB_KEY_ID_") {
            gateway.sign_with_platform_certificate();
        }
        for (response, status) in [
            (post(&gateway, &terminate(plan_id)).await, 204),
            (post(&gateway, &terminate(plan_id)).await, 400),
            (post(&gateway, &terminate("99999")).await, 404),
            (post(&gateway, "/v3/elsewhere").await, 404),
            (list(&gateway, "1004", "").await, 200),
            (list(&gateway, "1004", "?page_size=51").await, 400),
        ] {
            assert_eq!(response.status, status);
            assert_verifies(&gateway, &response, serial).await;
            let kind = response.header("wechatpay-signature-type");
            assert_eq!(kind, Some("WECHATPAY2-SHA256-RSA2048"));
            assert_eq!(response.header("keep-alive"), Some("timeout=8"));
        }
    }
}

#[tokio::test]
async fn each_response_has_a_request_id_of_its_own() {
    let gateway = Gateway::start().await;
    let first = list(&gateway, "1004", "").await;
    let second = list(&gateway, "1004", "").await;
    assert!(first.header("request-id").is_some_and(|id| id.len() > 20));
    assert_ne!(first.header("request-id"), second.header("request-id"));
}

#[tokio::test]
async fn a_plan_is_terminated_once_from_any_state_but_a_final_one() {
    let gateway = Gateway::start().await;
    for (state, status) in [
        (PlanState::Created, 204),
        (PlanState::Delivering, 204),
        (PlanState::Paused, 204),
        (PlanState::Terminated, 400),
        (PlanState::Expired, 400),
    ] {
        gateway.add_plan(Plan::new("7", "1004").with_state(state));
        let executions = gateway.executions();
        assert_eq!(post(&gateway, &terminate("7")).await.status, status, "{state}");
        let executed = usize::from(status == 204);
        assert_eq!(gateway.executions() - executions, executed, "{state}");
        let after = if status == 204 { PlanState::Terminated } else { state };
        assert_eq!(gateway.plan_state("7"), Some(after));
    }
    let unknown = post(&gateway, &terminate("8")).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &json!("RESOURCE_NOT_EXISTS")));
}

#[tokio::test]
async fn a_termination_has_no_body() {
    let gateway = Gateway::start().await;
    let call = Call::new("POST", &terminate("12000"), "{}");
    let call = call.signed(&Credentials::of(&gateway));
    let response = call.send(&gateway.base_url()).await;
    assert_eq!((response.status, &response.json()["code"]), (400, &json!("PARAM_ERROR")));
    assert_eq!(gateway.executions(), 0);
}

#[tokio::test]
async fn plans_move_as_documented_and_not_otherwise() {
    let gateway = Gateway::start().await;
    assert!(gateway.move_plan("12000", PlanState::Paused));
    assert!(gateway.move_plan("12000", PlanState::Delivering));
    assert!(gateway.move_plan("12000", PlanState::Expired));
    assert!(!gateway.move_plan("12000", PlanState::Delivering));
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Expired));
    assert!(!gateway.move_plan("99999", PlanState::Paused));
    assert_eq!(gateway.plan_state("99999"), None);
}

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let gateway = Gateway::start().await;
    gateway.add_plan(Plan::new("20000", "2008"));
    assert_eq!(ids(&list(&gateway, "1004", "").await), ["12000", "12001", "12002"]);
    assert_eq!(ids(&list(&gateway, "2008", "").await), ["20000"]);
    assert_eq!(ids(&list(&gateway, "1004", "?plan_state=PAUSED").await), ["12001"]);
    assert_eq!(ids(&list(&gateway, "1004", "?plan_id=12002").await), ["12002"]);

    let page = list(&gateway, "1004", "?page_size=2&offset=1").await;
    assert_eq!(ids(&page), ["12001", "12002"]);
    assert_eq!(page.json()["total_count"], 3, "of all pages");

    let nothing = list(&gateway, "1004", "?plan_id=20000").await;
    assert_eq!(nothing.json(), json!({ "total_count": 0 }), "no plan_list when nothing matches");

    for query in ["?page_size=0", "?offset=x", "?plan_state=RUNNING"] {
        let response = list(&gateway, "1004", query).await;
        assert_eq!((response.status, &response.json()["code"]), (400, &json!("PARAM_ERROR")));
        assert_eq!(response.json()["detail"]["location"], "query", "{query}");
    }
}

#[tokio::test]
async fn a_list_shows_the_documented_fields_and_what_a_test_wants() {
    let gateway = Gateway::start().await;
    let plan = Plan::new("7", "2008").with_field("total_count", 9_000_000_000_u64);
    gateway.add_plan(plan.with_field("plan_state", "PLAN_TERMINATING"));
    let body = list(&gateway, "2008", "").await.json();
    let plan = body["plan_list"][0].as_object().unwrap();
    let names: Vec<&str> = plan.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "brand_id",
            "daily_limit",
            "delivery_end_time",
            "delivery_start_time",
            "plan_id",
            "plan_name",
            "plan_state",
            "product_coupon_id",
            "recommend_word",
            "reuse_coupon_config",
            "stock_id",
            "total_count",
            "usage_mode",
            "user_limit",
        ],
        "all 15 but stock_bundle_id, which goes with the other usage_mode"
    );
    assert_eq!(plan["total_count"], json!(9_000_000_000_u64));
    assert_eq!(plan["plan_state"], "PLAN_TERMINATING");
    assert_ne!(plan["plan_name"], Value::Null);
}

#[tokio::test]
async fn two_servers_share_what_is_behind_them() {
    let main = Gateway::start().await;
    let standby = Gateway::builder().wechat_pay(main.wechat_pay().clone()).start().await.unwrap();
    assert_ne!(main.base_url(), standby.base_url());
    assert_eq!(post(&main, &terminate("12000")).await.status, 204);
    assert_eq!(post(&standby, &terminate("12000")).await.status, 400, "a true second execution");
    assert_eq!(standby.journal().len(), 2);
}

#[tokio::test]
async fn a_gateway_is_set_up_as_one_likes() {
    let (sender, lines) = std::sync::mpsc::channel();
    let wechat_pay = WechatPay::builder()
        .mchid("1234567890".parse().unwrap())
        .plan(Plan::new("7", "1004"))
        .on_request(move |entry| sender.send(entry.to_string()).unwrap())
        .build();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let builder = Gateway::builder().listener(listener).wechat_pay(wechat_pay);
    let gateway = builder.start().await.unwrap();
    assert_eq!(gateway.base_url(), format!("http://{address}"));
    assert_eq!(gateway.plans(), [Plan::new("7", "1004")]);
    assert_eq!(post(&gateway, &terminate("7")).await.status, 204);
    assert_eq!(lines.recv().unwrap(), format!("POST {} 204 executed", terminate("7")));

    let taken = Gateway::builder().port(address.port()).start().await;
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn the_keys_that_are_handed_out_belong_together() {
    let gateway = Gateway::start().await;
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    assert_eq!(certificate.serial_no(), &gateway.serial_no());
    assert_eq!(gateway.signer().key().public_key(), certificate.public_key());
    assert_eq!(gateway.key_ring().serials().len(), 2);
    assert_eq!(gateway.key_ring_with_expired_certificate().serials().len(), 3);

    let der = STANDARD.encode(gateway.merchant_key_der());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let key = wxpay_auth::PrivateKey::from_pem(pem).unwrap();
    assert_eq!(key.public_key(), certificate.public_key());
}
