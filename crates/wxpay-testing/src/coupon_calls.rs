//! Product coupons and their stocks, read only.

use serde_json::{Map, Value, json};

use crate::response::RawResponse;
use crate::route::decoded;
use crate::wechat_pay::WechatPay;

/// A call with its decoded parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CouponRoute {
    product_coupon_id: String,
    stocks: Stocks,
    query: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stocks {
    /// 查询商品券: <https://pay.weixin.qq.com/doc/v3/partner/4015781292>
    None,
    /// 查询商品券批次列表: <https://pay.weixin.qq.com/doc/v3/partner/4015781553>
    All,
    /// 查询商品券批次详情: <https://pay.weixin.qq.com/doc/v3/partner/4015781542>
    One(String),
}

const COUPONS: &str = "/v3/marketing/partner/product-coupon/product-coupons/";

impl CouponRoute {
    /// Finds the call. Each path segment and parameter is percent-decoded exactly once.
    pub(crate) fn find(method: &str, path: &str, query: &str) -> Option<Self> {
        let rest = path.strip_prefix(COUPONS).filter(|_| method == "GET")?;
        let segments: Vec<String> = rest
            .split('/')
            .map(decoded)
            .collect::<Option<_>>()
            .filter(|all: &Vec<String>| all.iter().all(|segment| !segment.is_empty()))?;
        let (product_coupon_id, stocks) = match segments.as_slice() {
            [id] => (id, Stocks::None),
            [id, stocks] if stocks == "stocks" => (id, Stocks::All),
            [id, stocks, stock] if stocks == "stocks" => (id, Stocks::One(stock.clone())),
            _ => return None,
        };
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| Some((decoded(name)?, decoded(value)?)));
        let query = query.collect::<Option<_>>()?;
        Some(Self { product_coupon_id: product_coupon_id.clone(), stocks, query })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl WechatPay {
    /// Adds a product coupon: the JSON object of its response, with `product_coupon_id` and `brand_id`.
    pub fn add_product_coupon(&self, coupon: Value) {
        self.with_desk(|_, desk| desk.coupons.push(coupon));
    }

    /// Adds a stock of a product coupon: the JSON object of its response, with `product_coupon_id`, `stock_id` and
    /// `brand_id`.
    pub fn add_stock(&self, stock: Value) {
        self.with_desk(|_, desk| desk.stocks.push(stock));
    }

    /// Carries out a call.
    pub(crate) fn carry_out_coupon_call(&self, route: &CouponRoute) -> RawResponse {
        let Some(brand_id) = route.parameter("brand_id") else {
            return wrong("brand_id", &Value::Null);
        };
        let is_of = |json: &&Value| {
            json["product_coupon_id"] == route.product_coupon_id && json["brand_id"] == brand_id
        };
        self.with_desk(|_, desk| {
            let Some(coupon) = desk.coupons.iter().find(is_of) else { return not_found() };
            let mut stocks = desk.stocks.iter().filter(is_of);
            match &route.stocks {
                Stocks::None => RawResponse::json(200, coupon),
                Stocks::One(id) => match stocks.find(|stock| stock["stock_id"] == id.as_str()) {
                    Some(stock) => RawResponse::json(200, stock),
                    None => not_found(),
                },
                Stocks::All => list(route, stocks),
            }
        })
    }
}

/// Lists the stocks that a request selects. A token is not a number, so that clients must encode it.
fn list<'a>(route: &CouponRoute, stocks: impl Iterator<Item = &'a Value>) -> RawResponse {
    let size = route.parameter("page_size").map_or(Some(20), |size| size.parse::<usize>().ok());
    let Some(size) = size.filter(|size| (1..=50).contains(size)) else {
        return wrong("page_size", &json!(route.parameter("page_size")));
    };
    let token = route.parameter("page_token");
    let offset = token.map_or(Some(0), |token| {
        token.strip_prefix('+')?.strip_suffix("/=")?.parse::<usize>().ok()
    });
    let Some(offset) = offset else { return wrong("page_token", &json!(token)) };
    let matches = |stock: &&Value| {
        route.parameter("state").is_none_or(|state| stock["state"] == state)
            && route.parameter("stock_bundle_id").is_none_or(|id| {
                stock.pointer("/stock_bundle_info/stock_bundle_id") == Some(&id.into())
            })
    };
    let found: Vec<&Value> = stocks.filter(matches).collect();
    let page: Vec<&Value> = found.iter().skip(offset).take(size).copied().collect();
    let mut body = Map::new();
    if token.is_none() {
        body.insert("total_count".to_owned(), found.len().into());
    }
    if offset + page.len() < found.len() {
        let next = format!("+{}/=", offset + page.len());
        body.insert("next_page_token".to_owned(), next.into());
    }
    if !page.is_empty() {
        body.insert("stock_list".to_owned(), json!(page));
    }
    RawResponse::json(200, &body.into())
}

fn not_found() -> RawResponse {
    RawResponse::error(404, "NOT_FOUND", "商品券或批次不存在")
}

fn wrong(field: &str, value: &Value) -> RawResponse {
    let detail = json!({
        "field": field, "value": value, "issue": "the value is not allowed", "location": "query",
    });
    RawResponse::json(
        400,
        &json!({ "code": "PARAM_ERROR", "message": "参数错误", "detail": detail }),
    )
}
