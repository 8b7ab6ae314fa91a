//! Long lists.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use wxpay_marketing::{DeliveryPlans, Error, ListPlans, PlanState};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, Plan, PlanState as State, WechatPay};
use wxpay_transport::{Request, Target};

use crate::common::{Changing, brand, client, plan_id, plans, requests};

/// Starts a gateway with so many plans of the brand 1004, each third one paused.
async fn gateway(count: usize) -> Gateway {
    let wechat_pay = WechatPay::builder().plan(Plan::new("0", "2008")).build();
    for n in 0..count {
        let state = if n % 3 == 0 { State::Paused } else { State::Delivering };
        wechat_pay.add_plan(Plan::new(format!("{}", 100_000 + n), "1004").with_state(state));
    }
    Gateway::builder().wechat_pay(wechat_pay).start().await.unwrap()
}

#[tokio::test]
async fn ten_thousand_plans_are_listed_with_one_page_held() {
    const COUNT: usize = 10_000;
    let gateway = gateway(COUNT).await;
    let service = plans(&gateway, &gateway.base_url());
    let mut plans = service.list_all(ListPlans::new(brand("1004")));
    let (mut ids, mut most) = (HashSet::new(), 0);
    while let Some(plan) = plans.next().await {
        ids.insert(plan.unwrap().plan_id);
        most = most.max(plans.held());
        if ids.len() == 120 {
            assert_eq!(gateway.journal().len(), 3, "only the pages that are needed");
        }
    }
    assert_eq!((ids.len(), most), (COUNT, 49), "one of the page is in the caller's hands");
    assert_eq!(gateway.journal().len(), COUNT / 50);
    assert!(plans.next().await.is_none(), "the end is the end");
    assert_eq!(gateway.journal().len(), COUNT / 50);
}

#[tokio::test]
async fn pages_of_any_size_and_offset_add_up() {
    let gateway = gateway(23).await;
    let service = plans(&gateway, &gateway.base_url());
    for (size, offset, expected) in
        [(1, 0, 23), (7, 0, 23), (23, 0, 23), (50, 0, 23), (5, 20, 3), (5, 23, 0), (5, 99, 0)]
    {
        let query = ListPlans::new(brand("1004")).page_size(size).offset(offset);
        let (mut plans, mut ids) = (service.list_all(query), HashSet::new());
        while let Some(plan) = plans.next().await {
            assert!(ids.insert(plan.unwrap().plan_id), "twice");
        }
        assert_eq!(ids.len(), expected, "{size} from {offset}");
    }
}

#[tokio::test]
async fn a_page_that_failed_is_asked_for_again() {
    let gateway = gateway(120).await;
    let service = plans(&gateway, &gateway.base_url());
    let mut plans = service.list_all(ListPlans::new(brand("1004")));
    let (mut ids, mut failed) = (HashSet::new(), 0);
    while let Some(plan) = plans.next().await {
        match plan {
            Ok(plan) => assert!(ids.insert(plan.plan_id), "twice"),
            Err(_) => failed += 1,
        }
        if ids.len() == 60 && failed == 0 {
            let body = ErrorBody::Html;
            let status = Misbehaviour::Status { status: 502, body, signed: false, executed: false };
            gateway.misbehave_once(status);
        }
    }
    assert_eq!((ids.len(), failed), (120, 1));
}

#[tokio::test]
async fn a_refusal_ends_the_list() {
    let gateway = gateway(3).await;
    let service = plans(&gateway, &gateway.base_url());
    let body = ErrorBody::json("NO_AUTH", "无权限");
    let status = Misbehaviour::Status { status: 403, body, signed: true, executed: false };
    gateway.misbehave(status);
    let mut listed = service.list_all(ListPlans::new(brand("1004")));
    assert!(listed.next().await.unwrap().is_err());
    assert!(listed.next().await.is_none());
    let mut listed = service.list_all(ListPlans::new(brand("1004")).page_size(51));
    assert!(matches!(listed.next().await, Some(Err(Error::Input(_)))));
    assert!(listed.next().await.is_none());
}

/// A list that ends early, or begins anew on each page, must not pass for a whole one.
#[tokio::test]
async fn a_list_that_is_not_whole_is_an_error() {
    let gateway = gateway(120).await;
    let first_page = |request: Request| {
        let target = request.target().as_str().replace("&offset=50", "");
        Request::get("first", Target::new(target).unwrap())
    };
    let service = DeliveryPlans::new(Changing(client(&gateway, &gateway.base_url()), first_page));
    let mut listed = service.list_all(ListPlans::new(brand("1004")));
    let mut count = 0;
    let error = loop {
        match listed.next().await.unwrap() {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    let Error::IncompleteList(error) = error else { panic!("{error:?}") };
    assert_eq!((count, error.total_count(), error.offset()), (50, 120, 50));
    assert!(listed.next().await.is_none(), "it does not go on for ever");

    let service = plans(&gateway, &gateway.base_url());
    let body = json!({"total_count": 9}).to_string();
    gateway.misbehave(Misbehaviour::UnexpectedSuccess { status: 200, body });
    let mut listed = service.list_all(ListPlans::new(brand("1004")));
    let error = listed.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::IncompleteList(_)), "{error:?}");
    assert!(listed.next().await.is_none());
    let error = service.ids_in_state(&brand("1004"), &PlanState::Paused).await.unwrap_err();
    assert!(matches!(error, Error::IncompleteList(_)), "{error:?}");
}

/// The list of paused plans shrinks while they are ended; none may be skipped.
#[tokio::test]
async fn all_plans_of_a_state_are_ended() {
    let gateway = gateway(330).await;
    let service = plans(&gateway, &gateway.base_url());
    let ids = service.ids_in_state(&brand("1004"), &PlanState::Paused).await.unwrap();
    assert_eq!(ids.len(), 110);
    for id in &ids {
        service.terminate(id).await.unwrap();
    }
    let states = gateway.plans();
    let count = |state| states.iter().filter(|plan| plan.state() == state).count();
    assert_eq!((count(State::Paused), count(State::Terminated)), (0, 110));
    assert_eq!(requests(&gateway, "GET").len(), 3, "collected before the first one was ended");
    // The filter may be lost: what is in another state is not in the result.
    let unfiltered = |request: Request| {
        let target = request.target().as_str().replace("&plan_state=TERMINATED", "");
        Request::get("unfiltered", Target::new(target).unwrap())
    };
    let service = DeliveryPlans::new(Changing(client(&gateway, &gateway.base_url()), unfiltered));
    let ended = service.ids_in_state(&brand("1004"), &PlanState::Terminated).await.unwrap();
    assert_eq!(ended, ids);
    assert!(!ended.contains(&plan_id("100001")));
}

/// A plan that leaves the state lets the others move up, past what was read.
#[tokio::test]
async fn a_list_that_shrinks_between_two_pages_skips_nothing() {
    let gateway = gateway(0).await;
    for n in 0..60 {
        gateway.add_plan(Plan::new(format!("{}", 200_000 + n), "1004").with_state(State::Paused));
    }
    let (wechat_pay, is_moved) = (gateway.wechat_pay().clone(), AtomicBool::new(false));
    let move_once = move |request: Request| {
        if request.target().as_str().contains("offset=50")
            && !is_moved.swap(true, Ordering::Relaxed)
        {
            assert!(wechat_pay.move_plan("200007", State::Terminated));
        }
        request
    };
    let service = DeliveryPlans::new(Changing(client(&gateway, &gateway.base_url()), move_once));
    let mut ids = service.ids_in_state(&brand("1004"), &PlanState::Paused).await.unwrap();
    ids.retain(|id| id.as_str() != "200007");
    ids.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    let others = (0..60).filter(|n| *n != 7).map(|n| plan_id(&format!("{}", 200_000 + n)));
    assert_eq!(ids, others.collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_list_that_shrinks_again_and_again_is_an_error() {
    let gateway = gateway(0).await;
    for n in 0..120 {
        gateway.add_plan(Plan::new(format!("{}", 200_000 + n), "1004").with_state(State::Paused));
    }
    let (wechat_pay, moved) = (gateway.wechat_pay().clone(), AtomicUsize::new(200_000));
    let move_each = move |request: Request| {
        if request.target().as_str().contains("offset=50") {
            let id = moved.fetch_add(1, Ordering::Relaxed).to_string();
            assert!(wechat_pay.move_plan(&id, State::Terminated));
        }
        request
    };
    let service = DeliveryPlans::new(Changing(client(&gateway, &gateway.base_url()), move_each));
    let query = || ListPlans::new(brand("1004")).plan_state(PlanState::Paused);
    let mut plans = service.list_all(query());
    let error = loop {
        if let Err(error) = plans.next().await.unwrap() {
            break error;
        }
    };
    assert!(matches!(error, Error::IncompleteList(_)), "{error:?}");
    assert!(plans.next().await.is_none());
}
