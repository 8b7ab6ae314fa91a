//! What the gateway keeps beside the delivery plans, and how it shows them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::plan::Plan;
use crate::wechat_pay::WechatPay;

/// Request numbers, authorisations, and the manner in which plans are shown.
#[derive(Debug, Default)]
pub(crate) struct PlanDesk {
    /// Brands and the request numbers that they have used.
    pub(crate) request_numbers: HashSet<(String, String)>,
    /// Brands that have withdrawn their authorisation.
    pub(crate) withdrawn: HashSet<String>,
    pub(crate) notify_url: Option<String>,
    /// Product coupons, as they are shown.
    pub(crate) coupons: Vec<Value>,
    /// Stocks, as they are shown.
    pub(crate) stocks: Vec<Value>,
    /// Number of created plans.
    pub(crate) created: u64,
    is_of_2025: bool,
    has_both_stock_ids: bool,
    /// How many lists show a terminated plan as `PLAN_TERMINATING`.
    slow_reads: usize,
    /// Plans that are still shown so, and how often.
    terminating: HashMap<String, usize>,
}

impl PlanDesk {
    /// Notes that a plan was terminated.
    pub(crate) fn terminated(&mut self, plan_id: &str) {
        if self.slow_reads > 0 {
            self.terminating.insert(plan_id.to_owned(), self.slow_reads);
        }
    }

    /// Returns a plan as a response shows it. `is_read` is whether that counts as a read of its state.
    pub(crate) fn shown(&mut self, plan: &Plan, is_read: bool) -> Value {
        let mut json = plan.to_json();
        let Some(fields) = json.as_object_mut() else { return json };
        if self.is_of_2025 {
            fields.remove("usage_mode");
            fields.remove("stock_bundle_id");
            if let Some(Value::String(state)) = fields.get_mut("plan_state")
                && !state.starts_with("PLAN_")
            {
                *state = format!("PLAN_{state}");
            }
        }
        if self.has_both_stock_ids {
            fields.entry("stock_id").or_insert_with(|| "100232301".into());
            fields.entry("stock_bundle_id").or_insert_with(|| "100232302".into());
        }
        if let Some(left) = self.terminating.get_mut(&plan.plan_id)
            && *left > 0
        {
            *left -= usize::from(is_read);
            fields.insert("plan_state".to_owned(), "PLAN_TERMINATING".into());
        }
        json
    }
}

impl WechatPay {
    /// Shows plans as responses of 2025 did, from now on: their states with `PLAN_`, without `usage_mode` and
    /// `stock_bundle_id`.
    pub fn show_plans_of_2025(&self) {
        self.with_desk(|_, desk| desk.is_of_2025 = true);
    }

    /// Shows `stock_id` and `stock_bundle_id` in each plan from now on, as the official sample does.
    pub fn show_both_stock_ids(&self) {
        self.with_desk(|_, desk| desk.has_both_stock_ids = true);
    }

    /// Shows each plan that is terminated from now on as `PLAN_TERMINATING` in so many lists, and only then as
    /// `TERMINATED`.
    pub fn terminate_slowly(&self, reads: usize) {
        self.with_desk(|_, desk| desk.slow_reads = reads);
    }

    /// Withdraws the authorisation of a brand: creating a plan of it is refused with 403 `NO_AUTH` from now on, and its
    /// authorisations lack what plans need.
    pub fn withdraw_authority(&self, brand_id: impl Into<String>) {
        let brand_id = brand_id.into();
        self.with_desk(|_, desk| desk.withdrawn.insert(brand_id));
    }

    /// Returns the address for notifications about plans, if it was set.
    pub fn plan_notify_url(&self) -> Option<String> {
        self.with_desk(|_, desk| desk.notify_url.clone())
    }
}
