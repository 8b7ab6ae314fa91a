//! Lookups that failed before a termination.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;
use wxpay_auth::{BrandId, write_report};

use crate::error::Error;
use crate::plan_id::PlanId;

/// The plan could not be looked up, so it was not terminated: nothing was sent but queries.
#[derive(Error)]
#[error("plan {plan_id} was not terminated: it could not be looked up")]
pub struct LookupError {
    plan_id: PlanId,
    source: Box<Error>,
}

impl LookupError {
    pub(crate) fn new(plan_id: PlanId, source: Error) -> Self {
        Self { plan_id, source: Box::new(source) }
    }

    /// Returns the plan that was to be terminated.
    pub fn plan_id(&self) -> &PlanId {
        &self.plan_id
    }

    /// Returns why the query failed.
    pub fn error(&self) -> &Error {
        &self.source
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        self.source.hint()
    }
}

/// The brand has no such plan.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("brand {brand_id} has no plan {plan_id}")]
pub struct PlanNotFoundError {
    pub(crate) brand_id: BrandId,
    pub(crate) plan_id: PlanId,
}

impl PlanNotFoundError {
    /// Returns the brand.
    pub fn brand_id(&self) -> &BrandId {
        &self.brand_id
    }

    /// Returns the plan.
    pub fn plan_id(&self) -> &PlanId {
        &self.plan_id
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "check both ids: the plan may belong to another brand"
    }
}

/// Prints one line with the causes and the hint.
impl fmt::Debug for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}

/// Prints one line with the hint.
impl fmt::Debug for PlanNotFoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
