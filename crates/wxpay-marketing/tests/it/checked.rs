//! Terminations that look first, and confirm the end.

use std::time::Duration;

use wxpay_marketing::{DeliveryPlans, Error, PlanState, TerminateExpectation, TerminateOutcome};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, Plan, PlanState as State, WechatPay};
use wxpay_transport::{Method, Outcome, Request, Response, Transport, async_trait};

use crate::common::{Before, BeforePost, brand, client, plan_id, plans, requests};

fn expected(id: &str) -> TerminateExpectation {
    let expected = TerminateExpectation::new(brand("1004"), plan_id(id));
    expected.confirm_within(Duration::from_secs(20)).without_impact()
}

/// Returns a service that misbehaves on the termination alone.
fn misbehaving(
    gateway: &Gateway,
    misbehaviour: Misbehaviour,
) -> DeliveryPlans<impl Transport + use<>> {
    let wechat_pay = gateway.wechat_pay().clone();
    let hook = move || wechat_pay.misbehave_once(misbehaviour.clone());
    DeliveryPlans::new(BeforePost(client(gateway, &gateway.base_url()), hook))
}

fn status(status: u16, code: &str, executed: bool) -> Misbehaviour {
    let body = ErrorBody::json(code, "told to");
    Misbehaviour::Status { status, body, signed: true, executed }
}

fn posts(wechat_pay: &WechatPay) -> usize {
    requests(wechat_pay, "POST").len()
}

#[tokio::test]
async fn the_expected_plan_is_terminated_and_confirmed() {
    let gateway = Gateway::start().await;
    let field = |id: &str, name: &str, value: &str| Plan::new(id, "1004").with_field(name, value);
    gateway.add_plan(field("7", "stock_id", "100232399"));
    gateway.add_plan(field("8", "product_coupon_id", "9").with_field("stock_id", "100232399"));
    gateway.add_plan(Plan::new("9", "1004").with_state(State::Expired));
    gateway.add_plan(Plan::new("10", "2008"));
    let plans = plans(&gateway, &gateway.base_url());
    let expected = TerminateExpectation::new(brand("1004"), plan_id("12000"))
        .plan_name("满100减10")
        .product_coupon_id("200000001")
        .plan_state(PlanState::Paused)
        .plan_state(PlanState::Delivering);
    let outcome = plans.terminate_checked(&expected).await.unwrap();
    assert!(outcome.has_ended());
    let TerminateOutcome::Terminated(confirmed) = outcome else { panic!("{outcome:?}") };
    assert_eq!(confirmed.plan.plan_state, PlanState::Terminated);
    assert!(confirmed.response.is_some());
    let impact = confirmed.impact.unwrap();
    assert_eq!(impact.same_stock, [plan_id("12001"), plan_id("12002")], "they go on");
    assert_eq!(
        impact.same_coupon,
        [plan_id("12001"), plan_id("12002"), plan_id("7")],
        "neither ended ones, nor those of another coupon or brand"
    );
    assert_eq!((posts(&gateway), gateway.executions()), (1, 1));
}

#[tokio::test]
async fn a_plan_that_differs_is_not_touched() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    for (expected, field, wanted, found) in [
        (expected("12000").plan_name("x"), "plan_name", "x", "满100减10"),
        (expected("12000").product_coupon_id("7"), "product_coupon_id", "7", "200000001"),
        (
            expected("12000").plan_state(PlanState::Paused).plan_state(PlanState::Created),
            "plan_state",
            "PAUSED or CREATED",
            "DELIVERING",
        ),
    ] {
        let outcome = plans.terminate_checked(&expected).await.unwrap();
        assert!(!outcome.has_ended());
        let TerminateOutcome::Mismatch(plan, differences) = outcome else { panic!("{outcome:?}") };
        assert_eq!(plan.plan_id, plan_id("12000"));
        let [difference] = differences.as_slice() else { panic!("{differences:?}") };
        let told = (difference.field, difference.expected.as_str(), difference.found.as_str());
        assert_eq!(told, (field, wanted, found));
        assert_eq!(
            difference.to_string(),
            format!("{field} is {found:?}, {wanted:?} was expected")
        );
    }
    let both = expected("12000").plan_name("x").product_coupon_id("7");
    let outcome = plans.terminate_checked(&both).await.unwrap();
    assert!(matches!(&outcome, TerminateOutcome::Mismatch(_, d) if d.len() == 2), "{outcome:?}");
    assert_eq!(posts(&gateway), 0);
}

/// The search for other plans may take a while.
#[tokio::test]
async fn a_plan_that_changes_during_the_search_is_compared_again() {
    for (state, has_ended) in [(State::Paused, false), (State::Expired, true)] {
        let gateway = Gateway::start().await;
        let wechat_pay = gateway.wechat_pay().clone();
        let change = move |request: &Request| {
            if !request.target().as_str().contains("plan_id=") {
                wechat_pay.move_plan("12000", state);
            }
        };
        let plans = DeliveryPlans::new(Before(client(&gateway, &gateway.base_url()), change));
        let expected = TerminateExpectation::new(brand("1004"), plan_id("12000"))
            .plan_state(PlanState::Delivering);
        let outcome = plans.terminate_checked(&expected).await.unwrap();
        assert_eq!(outcome.has_ended(), has_ended, "{outcome:?}");
        assert_eq!(posts(&gateway), 0, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_plan_that_has_ended_is_not_touched() {
    let gateway = Gateway::start().await;
    gateway.add_plan(Plan::new("7", "1004").with_state(State::Terminated));
    gateway.add_plan(Plan::new("8", "1004").with_state(State::Expired));
    gateway.add_plan(Plan::new("9", "1004").with_field("plan_state", "PLAN_TERMINATED"));
    let plans = plans(&gateway, &gateway.base_url());
    for (id, state) in
        [("7", PlanState::Terminated), ("8", PlanState::Expired), ("9", PlanState::Terminated)]
    {
        let expected = expected(id).plan_state(PlanState::Delivering);
        let outcome = plans.terminate_checked(&expected).await.unwrap();
        assert!(outcome.has_ended());
        let TerminateOutcome::AlreadyEnded(ended) = outcome else { panic!("{outcome:?}") };
        assert_eq!((ended.plan.plan_state, ended.is_sent), (state, false));
    }
    // That it has ended does not hide that it is another one.
    let outcome = plans.terminate_checked(&expected("7").plan_name("x")).await.unwrap();
    assert!(matches!(outcome, TerminateOutcome::Mismatch(..)), "{outcome:?}");
    assert_eq!(posts(&gateway), 0);
}

#[tokio::test]
async fn nothing_is_sent_if_the_plan_is_not_found_or_cannot_be_looked_up() {
    let gateway = Gateway::start().await;
    gateway.add_plan(Plan::new("7", "2008"));
    let plans = plans(&gateway, &gateway.base_url());
    for id in ["99999", "7"] {
        let error = plans.terminate_checked(&expected(id)).await.unwrap_err();
        assert!(matches!(error, Error::PlanNotFound(_)), "{error:?}");
        assert_eq!((error.outcome(), error.is_input()), (Outcome::NotSent, true));
    }
    for misbehaviour in [
        Misbehaviour::Probe,
        Misbehaviour::UnsignedSuccess,
        status(500, "SYSTEM_ERROR", true),
        status(403, "NO_AUTH", false),
        Misbehaviour::UnexpectedSuccess { status: 200, body: r#"{"total_count":1}"#.into() },
        Misbehaviour::UnexpectedSuccess { status: 200, body: "{}".into() },
    ] {
        gateway.misbehave(misbehaviour.clone());
        let error = plans.terminate_checked(&expected("12000")).await.unwrap_err();
        assert!(matches!(error, Error::Lookup(_)), "{misbehaviour:?}: {error:?}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{misbehaviour:?}: {error:?}");
        assert!(error.to_string().contains("was not terminated"), "{error}");
        gateway.behave();
    }
    assert_eq!(posts(&gateway), 0);
}

#[tokio::test]
async fn a_refusal_is_told_with_the_plan() {
    let gateway = Gateway::start().await;
    let plans = misbehaving(&gateway, status(403, "NO_AUTH", false));
    let outcome = plans.terminate_checked(&expected("12000")).await.unwrap();
    assert!(!outcome.has_ended());
    let TerminateOutcome::Refused(plan, error) = outcome else { panic!("{outcome:?}") };
    assert_eq!((plan.plan_state, error.outcome()), (PlanState::Delivering, Outcome::Rejected));
    assert_eq!(gateway.executions(), 0);
}

#[tokio::test]
async fn a_plan_that_another_caller_ends_meanwhile_has_ended() {
    let gateway = Gateway::start().await;
    let wechat_pay = gateway.wechat_pay().clone();
    let end = move || assert!(wechat_pay.move_plan("12000", State::Expired));
    let plans = DeliveryPlans::new(BeforePost(client(&gateway, &gateway.base_url()), end));
    let outcome = plans.terminate_checked(&expected("12000")).await.unwrap();
    let TerminateOutcome::AlreadyEnded(ended) = outcome else { panic!("{outcome:?}") };
    assert_eq!((ended.plan.plan_state, gateway.executions()), (PlanState::Expired, 0));
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_by_reading() {
    for misbehaviour in [
        Misbehaviour::Probe,
        Misbehaviour::UnsignedSuccess,
        Misbehaviour::UnknownSerial,
        Misbehaviour::UnexpectedSuccess { status: 202, body: String::new() },
        status(500, "SYSTEM_ERROR", true),
        status(504, "SYSTEM_ERROR", true),
    ] {
        let gateway = Gateway::start().await;
        let plans = misbehaving(&gateway, misbehaviour.clone());
        let outcome = plans.terminate_checked(&expected("12000")).await.unwrap();
        let TerminateOutcome::Terminated(confirmed) = outcome else {
            panic!("{misbehaviour:?}: {outcome:?}")
        };
        assert_eq!(confirmed.response, None, "{misbehaviour:?}");
        assert_eq!((posts(&gateway), gateway.executions()), (1, 1), "{misbehaviour:?}");
    }
}

#[tokio::test]
async fn a_termination_that_takes_its_time_is_waited_for() {
    let gateway = Gateway::start().await;
    gateway.terminate_slowly(3);
    let plans = plans(&gateway, &gateway.base_url());
    let outcome = plans.terminate_checked(&expected("12000")).await.unwrap();
    let TerminateOutcome::Terminated(confirmed) = outcome else { panic!("{outcome:?}") };
    assert_eq!(confirmed.plan.plan_state, PlanState::Terminated);
    assert_eq!(requests(&gateway, "GET").len(), 5, "the lookup, three reads, and the last one");
}

#[tokio::test]
async fn a_termination_of_another_caller_is_waited_for_and_not_repeated() {
    let gateway = Gateway::start().await;
    gateway.terminate_slowly(3);
    let plans = plans(&gateway, &gateway.base_url());
    plans.terminate(&plan_id("12000")).await.unwrap();
    let expected = expected("12000").plan_state(PlanState::Delivering);
    let outcome = plans.terminate_checked(&expected).await.unwrap();
    let TerminateOutcome::AlreadyEnded(ended) = outcome else { panic!("{outcome:?}") };
    assert_eq!((ended.plan.plan_state, ended.is_sent), (PlanState::Terminated, false));
    assert_eq!(posts(&gateway), 1, "the other caller's");
}

/// Sends terminations with the second transport, and the rest with the first.
#[derive(Debug)]
struct Split<A, B>(A, B);
#[async_trait]
impl<A: Transport, B: Transport> Transport for Split<A, B> {
    async fn send(&self, request: Request) -> Result<Response, wxpay_transport::Error> {
        if *request.method() == Method::POST {
            self.1.send(request).await
        } else {
            self.0.send(request).await
        }
    }
}

#[tokio::test]
async fn a_termination_that_cannot_be_sent_is_an_error() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let client = client(&gateway, "http://127.0.0.1:1");
    let plans = DeliveryPlans::new(Split(plans.transport(), client));
    let error = plans.terminate_checked(&expected("12000")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error:?}");
    assert_eq!(posts(&gateway), 0);
    let forever = expected("12000").confirm_within(Duration::MAX);
    assert!(plans.terminate_checked(&forever).await.is_err(), "no overflow");
}
