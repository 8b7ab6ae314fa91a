//! Finds one plan of a brand. The list call has no typed form yet, so this uses an untyped request, which is
//! signed and verified in the same way.

use std::error::Error as StdError;

use wxpay_marketing::PlanId;
use wxpay_transport::{Request, Target, Transport};

/// Returns the plan as WeChat Pay describes it.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
pub async fn find_plan<T: Transport>(
    transport: &T,
    brand_id: &str,
    plan_id: &PlanId,
) -> Result<Option<serde_json::Value>, Box<dyn StdError>> {
    let target = Target::new("/v3/marketing/partner/delivery-plan/delivery-plans")?
        .segment(brand_id)?
        .segment("delivery-plans")?
        .query("plan_id", plan_id.as_str())?;
    let response = transport.send(Request::get("delivery_plans.list", target)).await?;
    let list: serde_json::Value = serde_json::from_slice(response.body().body())?;
    let plans = list["plan_list"].as_array().map(Vec::as_slice).unwrap_or_default();
    // The filter may have been lost on the way: only the requested plan counts.
    Ok(plans.iter().find(|plan| plan["plan_id"] == plan_id.as_str()).cloned())
}
