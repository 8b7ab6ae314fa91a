//! Bills on a gateway, and their download.

use serde_json::Value;
use wxpay_testing::{Bill, WechatPay};
use wxpay_tests::{TestClient, builder};
use wxpay_transport::{Download, ExpectedHash, Request, Target, Transport};

pub(super) const DATE: &str = "2026-11-27";

/// Returns a bill of some kilobytes.
pub(super) fn content() -> String {
    let head = "\u{feff}交易时间,公众账号ID,商户号\r\n".to_owned();
    let line = |n: u32| format!("`2026-11-27 10:00:00,`wx0000000000000000,`{:010}\r\n", n * 7919);
    head + &(0..200).map(line).collect::<String>()
}

/// Offers this content as a bill.
pub(super) fn offer(wechat_pay: &WechatPay) -> String {
    let content = content();
    wechat_pay.add_bill(Bill::new(DATE, content.clone()));
    content
}

/// Asks for the URL and the hash of the bill.
pub(super) async fn ask(client: &TestClient, as_gzip: bool) -> (String, ExpectedHash) {
    let target = Target::new("/v3/bill/tradebill").unwrap().query("bill_date", DATE).unwrap();
    let target = if as_gzip { target.query("tar_type", "GZIP").unwrap() } else { target };
    let response = client.send(Request::get("bills.trade", target)).await.unwrap();
    let named: Value = response.json().unwrap();
    let text = |name: &str| named[name].as_str().unwrap();
    let hash = ExpectedHash::of_type(text("hash_type"), text("hash_value")).unwrap();
    (text("download_url").to_owned(), hash)
}

/// Asks for the bill, and returns its download.
pub(super) async fn bill(client: &TestClient, as_gzip: bool) -> Download {
    let (url, hash) = ask(client, as_gzip).await;
    Download::new("bills.download", &url, hash).unwrap()
}

pub(super) fn client(wechat_pay: &WechatPay, base_url: &str) -> TestClient {
    builder(wechat_pay, base_url).build().unwrap()
}
