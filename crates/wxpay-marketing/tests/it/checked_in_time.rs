//! Checked terminations while the plan changes, in paused time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wxpay_marketing::{
    DeliveryPlans, EndedPlan, Error, PlanState, TerminateExpectation, TerminateOutcome,
    UnconfirmedTermination,
};
use wxpay_transport::{Outcome, Transport};

use crate::fake::{Answer, Asked, Fake, expected, named, plan, with_impact};

async fn unconfirmed<T: Transport>(
    plans: &DeliveryPlans<T>,
    expected: &TerminateExpectation,
) -> UnconfirmedTermination {
    match plans.terminate_checked(expected).await.unwrap() {
        TerminateOutcome::Unconfirmed(unconfirmed) => *unconfirmed,
        other => panic!("{other:?}"),
    }
}

async fn ended<T: Transport>(
    plans: &DeliveryPlans<T>,
    expected: &TerminateExpectation,
) -> EndedPlan {
    match plans.terminate_checked(expected).await.unwrap() {
        TerminateOutcome::AlreadyEnded(ended) => *ended,
        other => panic!("{other:?}"),
    }
}

/// The list of all plans may have hundreds of pages.
#[tokio::test(start_paused = true)]
async fn a_plan_that_changes_while_others_are_listed_is_not_touched() {
    for (changed, is_mismatch) in [(named("another", "DELIVERING"), true), (plan("EXPIRED"), false)]
    {
        let is_listed = AtomicBool::new(false);
        let plans = Fake::service(|asked, _| match asked {
            Asked::AllPlans => {
                is_listed.store(true, Ordering::Relaxed);
                Answer::Plan(plan("DELIVERING"))
            }
            Asked::Plan(_) if is_listed.load(Ordering::Relaxed) => Answer::Plan(changed.clone()),
            Asked::Plan(_) => Answer::Plan(plan("DELIVERING")),
            Asked::Termination => Answer::NoContent,
        });
        let outcome = plans.terminate_checked(&with_impact()).await.unwrap();
        match outcome {
            TerminateOutcome::Mismatch(plan, _) => {
                assert!(is_mismatch);
                assert_eq!(plan.plan_name, "another");
            }
            TerminateOutcome::AlreadyEnded(ended) => {
                assert!(!is_mismatch && !ended.is_sent, "{ended:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(plans.transport().posts(), 0);
    }
}

/// What others there are is for information.
#[tokio::test(start_paused = true)]
async fn a_list_of_others_that_cannot_be_read_hinders_nothing() {
    let plans = Fake::service(|asked, _| match asked {
        Asked::AllPlans => Answer::Fails,
        Asked::Plan(None) => Answer::Plan(plan("DELIVERING")),
        Asked::Plan(_) => Answer::Plan(plan("TERMINATED")),
        Asked::Termination => Answer::NoContent,
    });
    let outcome = plans.terminate_checked(&with_impact()).await.unwrap();
    let TerminateOutcome::Terminated(confirmed) = outcome else { panic!("{outcome:?}") };
    assert_eq!(confirmed.impact, None);
    assert!(confirmed.impact_error.is_some());
}

/// Another caller ends the plan, and that is why this one was refused.
#[tokio::test(start_paused = true)]
async fn a_refusal_while_another_caller_ends_the_plan_is_not_the_end() {
    for before in ["PLAN_TERMINATING", "DELIVERING"] {
        let plans = Fake::service(|asked, _| match asked {
            Asked::Plan(Some(0..3)) => Answer::Plan(plan(before)),
            Asked::Plan(Some(_)) => Answer::Plan(plan("TERMINATED")),
            Asked::Termination => Answer::Refused,
            _ => Answer::Plan(plan("DELIVERING")),
        });
        let ended = ended(&plans, &expected()).await;
        assert_eq!((ended.plan.plan_state, ended.is_sent), (PlanState::Terminated, true));
        assert_eq!(ended.error.map(|error| error.outcome()), Some(Outcome::Rejected), "{before}");
    }
    let plans = Fake::service(|asked, _| match asked {
        Asked::Plan(Some(_)) => Answer::Plan(plan("PLAN_TERMINATING")),
        Asked::Termination => Answer::Refused,
        _ => Answer::Plan(plan("DELIVERING")),
    });
    let known = unconfirmed(&plans, &expected()).await;
    assert_eq!(known.plan.plan_state, PlanState::Terminating);
    assert!(known.hint().contains("was refused"), "{}", known.hint());
    assert_eq!(plans.transport().posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_with_the_plan_that_was_read_afterwards() {
    let plans = Fake::service(|asked, _| match asked {
        Asked::Plan(Some(_)) => Answer::Plan(named("renamed meanwhile", "PAUSED")),
        Asked::Termination => Answer::Refused,
        _ => Answer::Plan(plan("DELIVERING")),
    });
    let outcome = plans.terminate_checked(&expected()).await.unwrap();
    let TerminateOutcome::Refused(plan, error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        (plan.plan_name.as_str(), error.outcome()),
        ("renamed meanwhile", Outcome::Rejected)
    );
    let log = plans.transport().log();
    let (last, at) = log.last().unwrap();
    assert_eq!(
        (*last, at.as_millis()),
        (Asked::Plan(Some(3)), 700),
        "it need not take all the time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_plan_cannot_be_read_is_unconfirmed() {
    let plans = Fake::service(|asked, _| match asked {
        Asked::Plan(Some(_)) => Answer::Fails,
        Asked::Termination => Answer::Refused,
        _ => Answer::Plan(plan("DELIVERING")),
    });
    let known = unconfirmed(&plans, &expected()).await;
    assert!(!known.is_read && known.read_error.is_some(), "{known:?}");
    assert!(known.hint().contains("was refused"), "{}", known.hint());
}

#[tokio::test(start_paused = true)]
async fn what_was_never_read_is_not_said_to_stay_as_it_was() {
    for (answer, hint) in [
        (|| Answer::NoContent, "the termination was accepted, but the state could not be read"),
        (|| Answer::Accepted, "may have been carried out, and the state could not be read"),
    ] as [(fn() -> Answer, &str); 2]
    {
        let plans = Fake::service(|asked, _| match asked {
            Asked::Plan(Some(0)) => Answer::Fails,
            Asked::Plan(Some(_)) => Answer::Hangs,
            Asked::Termination => answer(),
            _ => Answer::Plan(plan("DELIVERING")),
        });
        let known = unconfirmed(&plans, &expected()).await;
        assert!(!known.is_read);
        assert!(known.read_error.is_none(), "the last read was cut: {known:?}");
        assert!(known.hint().contains(hint), "{}", known.hint());
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_is_read_once_more_before_time_is_up() {
    let plans = Fake::service(|asked, at| match asked {
        Asked::Termination => Answer::NoContent,
        _ if at < Duration::from_secs(9) => Answer::Plan(plan("DELIVERING")),
        _ => Answer::Plan(plan("TERMINATED")),
    });
    let expected = expected().confirm_within(Duration::from_secs(11));
    let outcome = plans.terminate_checked(&expected).await.unwrap();
    assert!(matches!(outcome, TerminateOutcome::Terminated(_)), "{outcome:?}");
}

/// The verified 204 must not be lost: support asks for its `Request-ID`.
#[tokio::test(start_paused = true)]
async fn a_plan_that_expires_after_the_204_keeps_it() {
    for is_accepted in [true, false] {
        let plans = Fake::service(|asked, _| match asked {
            Asked::Termination if is_accepted => Answer::NoContent,
            Asked::Termination => Answer::Accepted,
            Asked::Plan(Some(_)) => Answer::Plan(plan("EXPIRED")),
            _ => Answer::Plan(plan("DELIVERING")),
        });
        let ended = ended(&plans, &expected()).await;
        assert_eq!((ended.plan.plan_state, ended.is_sent), (PlanState::Expired, true));
        let request_id = ended.response.and_then(|response| response.request_id);
        assert_eq!(request_id.is_some(), is_accepted);
        assert_eq!(ended.error.is_some(), !is_accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_carried_out_stays_unconfirmed_and_is_not_sent_again() {
    let plans = Fake::service(|asked, _| match asked {
        Asked::Termination => Answer::Accepted,
        _ => Answer::Plan(plan("DELIVERING")),
    });
    let outcome = plans.terminate_checked(&expected()).await.unwrap();
    assert!(!outcome.has_ended());
    let TerminateOutcome::Unconfirmed(known) = outcome else { panic!("{outcome:?}") };
    assert_eq!((known.is_sent, known.response.is_none(), known.is_read), (true, true, true));
    assert_eq!(known.plan.plan_state, PlanState::Delivering);
    assert_eq!(known.error.as_ref().map(Error::outcome), Some(Outcome::Unknown));
    assert!(known.hint().contains("may have been carried out"), "{}", known.hint());
    assert_eq!(plans.transport().posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_does_not_follow_stays_unconfirmed() {
    for state in ["DELIVERING", "PLAN_TERMINATING"] {
        let plans = Fake::service(|asked, _| match asked {
            Asked::Termination => Answer::NoContent,
            Asked::Plan(Some(_)) => Answer::Plan(plan(state)),
            _ => Answer::Plan(plan("DELIVERING")),
        });
        let known = unconfirmed(&plans, &expected()).await;
        assert_eq!(known.plan.plan_state, PlanState::from(state));
        assert!(known.response.is_some() && known.error.is_none() && known.read_error.is_none());
        assert!(known.hint().contains("do not send it again"), "{}", known.hint());
        assert_eq!(plans.transport().posts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_leave_it_unconfirmed() {
    let plans = Fake::service(|asked, _| match asked {
        Asked::Plan(None) => Answer::Plan(plan("DELIVERING")),
        Asked::Termination => Answer::Accepted,
        _ => Answer::Fails,
    });
    let known = unconfirmed(&plans, &expected()).await;
    assert!(known.error.is_some() && known.read_error.is_some(), "{known:?}");
    assert_eq!(known.plan.plan_state, PlanState::Delivering, "as it was looked up");
}

#[tokio::test(start_paused = true)]
async fn a_termination_of_another_caller_that_does_not_end_is_not_repeated() {
    let plans = Fake::service(|_, _| Answer::Plan(plan("PLAN_TERMINATING")));
    let known = unconfirmed(&plans, &expected()).await;
    assert!(!known.is_sent && known.hint().contains("nothing was sent"), "{known:?}");
    assert_eq!(plans.transport().posts(), 0);
}
