//! What was read of a plan, and whether it is called.

use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;
use crate::lookup_error::PlanNotFoundError;
use crate::plan::Plan;
use crate::plan_state::PlanState;

/// What follows from the state that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Settled(PlanOutcome),
    /// Its termination has begun (`PLAN_TERMINATING`).
    IsEnding,
    /// It may be called.
    Goes,
}

/// Decides by what was read whether a plan is called. One that is in doubt may have been called before.
pub(super) fn judge(plan: &BulkPlan, found: Option<&Plan>, in_doubt: bool) -> Judgement {
    let Some(found) = found else {
        let (brand_id, plan_id) = (plan.brand_id().clone(), plan.plan_id().clone());
        let error = PlanNotFoundError { brand_id, plan_id }.to_string();
        return differing(vec![error], None, in_doubt);
    };
    let state = &found.plan_state;
    if in_doubt && state.is_final() {
        return Judgement::Settled(ended(state, true));
    }
    let mut differences = plan.expected().differences(found);
    if differences.is_empty() {
        if state.is_final() {
            return Judgement::Settled(ended(state, false));
        }
        if *state == PlanState::Terminating {
            return Judgement::IsEnding;
        }
        differences.extend(plan.expected().state_difference(found));
    }
    if differences.is_empty() {
        return Judgement::Goes;
    }
    differing(differences.iter().map(ToString::to_string).collect(), Some(state), in_doubt)
}

fn differing(differences: Vec<String>, state: Option<&PlanState>, in_doubt: bool) -> Judgement {
    Judgement::Settled(if in_doubt {
        let error = format!("it is not called again: {}", differences.join("; "));
        PlanOutcome::Unconfirmed { error, is_sent: true, state: state.cloned(), request_id: None }
    } else {
        PlanOutcome::Mismatch { differences }
    })
}

/// Returns the outcome of a plan in a final state. One that this job has called was terminated by it, as far as can be
/// known.
pub(super) fn ended(state: &PlanState, is_called: bool) -> PlanOutcome {
    match state {
        PlanState::Terminated if is_called => {
            PlanOutcome::Terminated { request_id: None, is_confirmed: true }
        }
        state => PlanOutcome::AlreadyEnded { state: state.clone() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wxpay_auth::BrandId;

    use super::*;
    use crate::plan_id::PlanId;

    fn plan() -> BulkPlan {
        BulkPlan::new(BrandId::new("70001").unwrap(), PlanId::new("50001").unwrap())
    }

    fn judged(plan: &BulkPlan, state: &str, in_doubt: bool) -> String {
        let found = serde_json::from_value(json!({
            "plan_id": "50001", "plan_name": "样例计划", "plan_state": state,
            "delivery_start_time": "2027-01-01T00:00:00+08:00",
            "delivery_end_time": "2027-01-31T00:00:00+08:00",
            "product_coupon_id": "7000000001", "brand_id": "70001",
        }))
        .unwrap();
        name(&judge(plan, Some(&found), in_doubt)).to_owned()
    }

    fn name(judgement: &Judgement) -> &'static str {
        match judgement {
            Judgement::Settled(outcome) => outcome.name(),
            Judgement::IsEnding => "is ending",
            Judgement::Goes => "goes",
        }
    }

    #[test]
    fn the_state_decides_and_what_may_have_been_called_was_ended_by_this_job() {
        for (state, first, in_doubt) in [
            ("CREATED", "goes", "goes"),
            ("DELIVERING", "goes", "goes"),
            ("PAUSED", "goes", "goes"),
            ("RESTING", "goes", "goes"),
            ("PLAN_TERMINATING", "is ending", "is ending"),
            ("TERMINATED", "already_ended", "terminated"),
            ("PLAN_TERMINATED", "already_ended", "terminated"),
            ("EXPIRED", "already_ended", "already_ended"),
        ] {
            assert_eq!(judged(&plan(), state, false), first, "{state}");
            assert_eq!(judged(&plan(), state, true), in_doubt, "{state}");
        }
    }

    #[test]
    fn what_differs_is_not_called() {
        let other_name = plan().plan_name("another");
        let other_state = plan().plan_state(PlanState::Created);
        for (plan, ended) in [(other_name, "mismatch"), (other_state, "already_ended")] {
            assert_eq!(judged(&plan, "DELIVERING", false), "mismatch");
            assert_eq!(judged(&plan, "DELIVERING", true), "unconfirmed");
            assert_eq!(judged(&plan, "TERMINATED", false), ended);
            assert_eq!(judged(&plan, "TERMINATED", true), "terminated");
        }
        assert_eq!(name(&judge(&plan(), None, false)), "mismatch");
        assert_eq!(name(&judge(&plan(), None, true)), "unconfirmed");
    }
}
