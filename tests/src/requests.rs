//! The requests of most tests, as untyped requests.

use wxpay_transport::{Request, Target};

const PLANS: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

/// Returns a repeatable request: lists the plans of a brand. It recognises its response, a list of them, so
/// it is sent on kept connections.
pub fn list() -> Request {
    let target = Target::new(format!("{PLANS}/1004/delivery-plans")).expect("a target");
    Request::get("delivery_plans.list", target).recognised_by(|body| {
        serde_json::from_slice::<serde_json::Value>(body)
            .is_ok_and(|list| list["total_count"].is_u64())
    })
}

/// Returns a request that must not be repeated: terminates a plan.
pub fn terminate(plan_id: &str) -> Request {
    let target = Target::new(format!("{PLANS}/{plan_id}/terminate")).expect("a target");
    Request::post("delivery_plans.terminate", target)
}
