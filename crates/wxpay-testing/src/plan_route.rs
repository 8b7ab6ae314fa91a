//! The calls about delivery plans, but for listing and terminating them.

use crate::route::decoded;

/// A call with its decoded parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PlanRoute {
    /// 创建投放计划: <https://pay.weixin.qq.com/doc/v3/partner/4016184554>
    Create,
    /// 更新投放计划: <https://pay.weixin.qq.com/doc/v3/partner/4016184594>
    Update { plan_id: String },
    /// 设置投放计划回调地址: <https://pay.weixin.qq.com/doc/v3/partner/4016184598>
    NotifyUrl { sp_mchid: String },
    /// 获得品牌已授权且在生效中的产品权限信息: <https://pay.weixin.qq.com/doc/v3/partner/4017410365>
    Authorities { brand_id: String },
}

const FAMILY: &str = "/v3/marketing/partner/delivery-plan/";
const BRANDS: &str = "/v3/brand-basic/partner/brands/";

impl PlanRoute {
    /// Finds the call. A path segment is percent-decoded exactly once.
    pub(crate) fn find(method: &str, path: &str) -> Option<Self> {
        let id = |segment: &str| decoded(segment).filter(|id| !id.is_empty());
        if let Some(rest) = path.strip_prefix(BRANDS) {
            let (segment, last) = rest.split_once('/')?;
            return match (method, last) {
                ("GET", "product-authorities") => {
                    Some(Self::Authorities { brand_id: id(segment)? })
                }
                _ => None,
            };
        }
        let rest = path.strip_prefix(FAMILY)?;
        match (method, rest.split_once('/')) {
            ("POST", None) if rest == "delivery-plans" => Some(Self::Create),
            ("PATCH", Some(("delivery-plans", segment))) if !segment.contains('/') => {
                Some(Self::Update { plan_id: id(segment)? })
            }
            ("POST", Some((segment, "notify-url"))) => {
                Some(Self::NotifyUrl { sp_mchid: id(segment)? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_method_and_path() {
        let at = |method, rest: &str| PlanRoute::find(method, &format!("{FAMILY}{rest}"));
        assert_eq!(at("POST", "delivery-plans"), Some(PlanRoute::Create));
        let plan_id = "a/b".to_owned();
        assert_eq!(at("PATCH", "delivery-plans/a%2Fb"), Some(PlanRoute::Update { plan_id }));
        let sp_mchid = "1900007291".to_owned();
        assert_eq!(at("POST", "1900007291/notify-url"), Some(PlanRoute::NotifyUrl { sp_mchid }));
        for (method, rest) in [
            ("GET", "delivery-plans"),
            ("PATCH", "delivery-plans"),
            ("PATCH", "delivery-plans/"),
            ("PATCH", "delivery-plans/1/2"),
            ("POST", "delivery-plans/1"),
            ("GET", "1900007291/notify-url"),
            ("POST", "/notify-url"),
        ] {
            assert_eq!(at(method, rest), None, "{method} {rest}");
        }
        let brand = |method, rest: &str| PlanRoute::find(method, &format!("{BRANDS}{rest}"));
        let brand_id = "1004".to_owned();
        let authorities = Some(PlanRoute::Authorities { brand_id });
        assert_eq!(brand("GET", "1004/product-authorities"), authorities);
        assert_eq!(brand("POST", "1004/product-authorities"), None);
        assert_eq!(brand("GET", "1004"), None);
    }
}
