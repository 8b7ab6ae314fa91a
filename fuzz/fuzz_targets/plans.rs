//! Delivery plans in responses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_fuzz::assert_one_line;
use wxpay_marketing::{PlanPage, ProductAuthorities};

fuzz_target!(|input: &[u8]| {
    if let Ok(page) = serde_json::from_slice::<PlanPage>(input) {
        let written = serde_json::to_vec(&page).expect("what was read is written");
        let again: PlanPage = serde_json::from_slice(&written).expect("and is read again");
        assert_eq!(again.total_count, page.total_count);
        assert_eq!(again.plan_list.len(), page.plan_list.len());
        for (mut again, mut plan) in again.plan_list.into_iter().zip(page.plan_list) {
            assert_one_line(&plan.plan_state.to_string(), 64);
            assert!(plan.shares_stock_with(&again) == again.shares_stock_with(&plan));
            // Numbers with a fraction may differ in their last digit.
            (again.extra, plan.extra) = Default::default();
            assert_eq!(again, plan);
        }
    }
    if let Ok(authorities) = serde_json::from_slice::<ProductAuthorities>(input) {
        let written = serde_json::to_vec(&authorities).expect("what was read is written");
        let again: ProductAuthorities =
            serde_json::from_slice(&written).expect("and is read again");
        assert_eq!(again.authorization_product, authorities.authorization_product);
    }
});
