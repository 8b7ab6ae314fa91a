//! The coupons behind plans, read only.

use serde_json::{Value, json};
use wxpay_marketing::{
    CouponState, Error, ListStocks, ProductCoupon, ProductCoupons, Stock, StockState, UsageMode,
};
use wxpay_testing::Gateway;
use wxpay_transport::{Outcome, Request};

use crate::common::{Changing, at, brand, client};

/// Every documented field.
fn coupon() -> Value {
    json!({
        "product_coupon_id": "7001", "scope": "ALL", "type": "NORMAL", "usage_mode": "SINGLE",
        "single_usage_info": {"normal_coupon": {"threshold": 10_000, "discount_amount": 1_000}},
        "display_info": {
            "name": "样例商品券", "image_url": "https://a.example/1",
            "background_url": "https://a.example/2", "detail_image_url_list": ["https://a.example/3"],
            "original_price": 10_000,
            "combo_package_list": [{"name": "样例", "pick_count": 1, "choice_list": []}],
        },
        "out_product_no": "own-1", "state": "EFFECTIVE", "brand_id": "1004",
    })
}

/// Every documented field but those of bundles.
fn stock(stock_id: &str, state: &str) -> Value {
    json!({
        "product_coupon_id": "7001", "stock_id": stock_id, "remark": "样例", "brand_id": "1004",
        "coupon_code_mode": "UPLOAD", "state": state, "store_scope": "NONE",
        "coupon_code_count_info": {"total_count": 20_000, "available_count": 9},
        "stock_send_rule": {"max_count": 100_000_000, "max_count_per_day": 7, "max_count_per_user": 2},
        "single_usage_rule": {
            "coupon_available_period": {
                "available_begin_time": "2027-01-01T00:00:00+08:00",
                "available_end_time": "2027-12-31T00:00+08:00",
                "available_days": 30, "wait_days_after_receive": 1,
                "weekly_available_period": {
                    "day_list": ["MONDAY"], "day_period_list": [{"begin_time": 0, "end_time": 86_399}],
                },
                "irregular_available_period_list": [
                    {"begin_time": "2027-01-01T00:00:00+08:00", "end_time": "2027-01-02T00:00:00+08:00"},
                ],
            },
            "exchange_coupon": {"threshold": 0, "exchange_price": 1},
        },
        "usage_rule_display_info": {"coupon_usage_method_list": ["APP"], "usage_description": "样例"},
        "coupon_display_info": {"code_display_mode": "QRCODE"},
        "notify_config": {"notify_appid": "wx0000000000000000"},
        "sent_count_info": {"total_count": 3, "today_count": 1},
    })
}

async fn gateway() -> Gateway {
    let gateway = Gateway::start().await;
    gateway.add_product_coupon(coupon());
    for (id, state) in [("1", "SENDING"), ("2", "PAUSED"), ("3", "SENDING"), ("4", "RESTING")] {
        gateway.add_stock(stock(id, state));
    }
    gateway
}

fn service(gateway: &Gateway) -> ProductCoupons<crate::common::TestClient> {
    ProductCoupons::new(client(gateway, &gateway.base_url()))
}

#[tokio::test]
async fn a_coupon_and_a_stock_are_read_without_loss() {
    let gateway = gateway().await;
    let coupons = service(&gateway);
    let read = coupons.get(&brand("1004"), "7001").await.unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), coupon());
    assert_eq!(
        (&read.state, &read.usage_mode),
        (&Some(CouponState::Effective), &Some(UsageMode::Single))
    );
    assert_eq!(read.display_info.unwrap().name.as_deref(), Some("样例商品券"));

    let read = coupons.stock(&brand("1004"), "7001", "4").await.unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), stock("4", "RESTING"));
    assert_eq!(read.state, Some(StockState::Unknown("RESTING".into())));
    let period = read.single_usage_rule.unwrap().coupon_available_period.unwrap();
    assert_eq!(period.available_end_time, Some(at("2027-12-31T00:00:00+08:00")));
    assert_eq!(read.stock_send_rule.unwrap().max_count, Some(100_000_000));
    assert_eq!(read.extra.len(), 3, "{:?}", read.extra);
}

#[tokio::test]
async fn stocks_are_listed_page_by_page() {
    let gateway = gateway().await;
    let coupons = service(&gateway);
    let all = ListStocks::new(brand("1004"), "7001").page_size(3);
    let first = coupons.stocks(&all).await.unwrap();
    assert_eq!((first.total_count, first.stock_list.unwrap().len()), (Some(4), 3));
    let token = first.next_page_token.unwrap();
    assert!(token.contains(['+', '/', '=']), "{token}");
    let last = coupons.stocks(&all.page_token(token)).await.unwrap();
    assert_eq!((last.total_count, last.next_page_token), (None, None));
    assert_eq!(last.stock_list.unwrap()[0].stock_id, "4");

    let sending = ListStocks::new(brand("1004"), "7001").state(StockState::Sending);
    assert_eq!(coupons.stocks(&sending).await.unwrap().stock_list.unwrap().len(), 2);
    let none = ListStocks::new(brand("1004"), "7001").stock_bundle_id("9");
    assert_eq!(coupons.stocks(&none).await.unwrap().stock_list, None);
    let error = coupons.stocks(&none.page_size(51)).await.unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_anothers_is_an_error() {
    let gateway = gateway().await;
    let coupons = service(&gateway);
    for ended in [
        coupons.get(&brand("1005"), "7001").await.map(drop),
        coupons.get(&brand("1004"), "7002").await.map(drop),
        coupons.stock(&brand("1004"), "7001", "9").await.map(drop),
    ] {
        let error = ended.unwrap_err();
        assert_eq!((error.outcome(), error.is_input()), (Outcome::Rejected, true), "{error:?}");
        assert_eq!(error.api().unwrap().code(), Some("NOT_FOUND"));
    }
    let other = |request: Request| {
        let target = request.target().as_str().replace("/stocks/1?", "/stocks/2?");
        Request::get("another", wxpay_transport::Target::new(target).unwrap())
    };
    let plain = ProductCoupons::new(Changing(client(&gateway, &gateway.base_url()), other));
    let error = plain.stock(&brand("1004"), "7001", "1").await.unwrap_err();
    let Error::ForeignResponse(error) = error else { panic!("{error:?}") };
    assert_eq!((error.field(), error.found()), ("stock_id", "2"));
}

/// Pages differ on what is required: only ids are.
#[test]
fn all_but_ids_may_be_missing() {
    let ids = json!({"product_coupon_id": "7", "stock_id": "1", "brand_id": "1004"});
    let stock: Stock = serde_json::from_value(ids.clone()).unwrap();
    assert_eq!(serde_json::to_value(&stock).unwrap(), ids);
    let ids = json!({"product_coupon_id": "7", "brand_id": "1004", "sequential_usage_info": {"count": 3}});
    let coupon: ProductCoupon = serde_json::from_value(ids.clone()).unwrap();
    assert_eq!(coupon.extra["sequential_usage_info"], json!({"count": 3}), "of a mirror");
    assert_eq!(serde_json::to_value(&coupon).unwrap(), ids);
}
