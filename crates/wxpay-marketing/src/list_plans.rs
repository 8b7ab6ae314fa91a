//! Lists plans, one page at a time.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use wxpay_auth::BrandId;
use wxpay_transport::{RateLimit, Replay, Request, RequestError, Target, Transport};

use crate::audit_state::AuditState;
use crate::delivery_plans::{DeliveryPlans, PATH};
use crate::error::Error;
use crate::input_error::InputError;
use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;
use crate::response_check::{is_list_of, require};
use crate::rules::{self, page};

/// Which plans of a brand to list (分页查询投放计划列表).
///
/// How several filters combine, and in which order plans are listed, is not documented.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPlans {
    pub(crate) brand_id: BrandId,
    pub(crate) page_size: Option<u32>,
    pub(crate) offset: u64,
    pub(crate) plan_state: Option<PlanState>,
    pub(crate) audit_state: Option<AuditState>,
    pub(crate) plan_id: Option<PlanId>,
}

impl ListPlans {
    /// The largest page.
    pub const MAX_PAGE_SIZE: u32 = 50;

    /// Creates a request for the first page of all plans of a brand.
    pub fn new(brand_id: BrandId) -> Self {
        Self {
            brand_id,
            page_size: None,
            offset: 0,
            plan_state: None,
            audit_state: None,
            plan_id: None,
        }
    }

    /// Sets the size of a page, 1 to 50. The default is 10.
    #[must_use]
    pub fn page_size(mut self, page_size: u32) -> Self {
        self.page_size = Some(page_size);
        self
    }

    /// Sets how many plans to leave out at the beginning. The default is 0.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Lists only plans in this state. Such a list shrinks while plans leave the state:
    /// [`ids_in_state`](DeliveryPlans::ids_in_state) collects them first.
    #[must_use]
    pub fn plan_state(mut self, plan_state: PlanState) -> Self {
        self.plan_state = Some(plan_state);
        self
    }

    /// Lists only plans whose audit is in this state.
    #[must_use]
    pub fn audit_state(mut self, audit_state: AuditState) -> Self {
        self.audit_state = Some(audit_state);
        self
    }

    /// Lists only this plan. See [`find`](DeliveryPlans::find).
    #[must_use]
    pub fn plan_id(mut self, plan_id: PlanId) -> Self {
        self.plan_id = Some(plan_id);
        self
    }

    /// Checks the documented rules, as [`DeliveryPlans::list`] does before it sends.
    ///
    /// # Errors
    /// [`InputError`] if the size of a page is not 1 to 50.
    pub fn check(&self) -> Result<(), InputError> {
        match self.page_size {
            Some(size) => rules::range(
                "page_size",
                size.into(),
                1,
                Some(Self::MAX_PAGE_SIZE.into()),
                page::LIST,
            ),
            None => Ok(()),
        }
    }

    fn target(&self) -> Result<Target, RequestError> {
        let Self { brand_id, page_size, offset, plan_state, audit_state, plan_id } = self;
        let mut target =
            Target::new(PATH)?.segment(brand_id.as_str())?.segment("delivery-plans")?;
        if let Some(page_size) = page_size {
            target = target.query("page_size", page_size)?;
        }
        if *offset > 0 {
            target = target.query("offset", offset)?;
        }
        for (name, value) in [
            ("plan_state", plan_state.as_ref().map(PlanState::as_str)),
            ("audit_state", audit_state.as_ref().map(AuditState::as_str)),
            ("plan_id", plan_id.as_ref().map(PlanId::as_str)),
        ] {
            if let Some(value) = value {
                target = target.query(name, value)?;
            }
        }
        Ok(target)
    }
}

/// A page of a list of plans.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanPage {
    /// The number of plans on all pages. It is not the number of coupons, which has the same name in a plan.
    pub total_count: i64,
    /// The plans of this page.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub plan_list: Vec<Plan>,
    /// Other fields, as received. The documentation has none.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Plan>, D::Error> {
    Option::<Vec<Plan>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

pub(crate) const OPERATION: &str = "delivery_plans.list";

impl<T: Transport> DeliveryPlans<T> {
    /// Lists plans of a brand (分页查询投放计划列表), one page.
    ///
    /// `GET /v3/marketing/partner/delivery-plan/delivery-plans/{brand_id}/delivery-plans`, 100 calls per second and
    /// `mchid`.
    ///
    /// A response is taken for the one to this request if all its plans are of this brand (and are the plan that was
    /// asked for). An empty list names no brand, so it is asked for once more, on a connection that has carried no
    /// other request.
    ///
    /// # Errors
    /// [`Error::Input`] if the size of a page is not 1 to 50. [`Error::Transport`]. [`Error::Body`] if the response is
    /// not a list of plans. [`Error::ForeignResponse`] if it has another brand's plan.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
    pub async fn list(&self, query: &ListPlans) -> Result<PlanPage, Error> {
        query.check()?;
        let brand_id = query.brand_id.to_string();
        let plan_id = query.plan_id.as_ref().map(ToString::to_string);
        let recognise = move |body: &[u8]| is_list_of(body, &brand_id, plan_id.as_deref());
        let request = Self::list_request(query)?.recognised_by(recognise);
        let page = self.page(query, request).await?;
        if !page.plan_list.is_empty() {
            return Ok(page);
        }
        // Without a check of its response it gets a connection that has carried no other request.
        self.page(query, Self::list_request(query)?).await
    }

    fn list_request(query: &ListPlans) -> Result<Request, Error> {
        let request = Request::get(OPERATION, query.target()?).with_replay(Replay::Safe);
        Ok(request.with_rate_limit(RateLimit::per_second(100)))
    }

    async fn page(&self, query: &ListPlans, request: Request) -> Result<PlanPage, Error> {
        let page: PlanPage = self.ok(OPERATION, request).await?.json()?;
        for plan in &page.plan_list {
            require(OPERATION, true, plan, Some(&query.brand_id), None)?;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input_error::InputFault;

    fn list() -> ListPlans {
        ListPlans::new(BrandId::new("70001").unwrap())
    }

    #[test]
    fn the_target_is_the_documented_one() {
        let path =
            "/v3/marketing/partner/delivery-plan/delivery-plans/70001/delivery-plans".to_owned();
        assert_eq!(list().target().unwrap().to_string(), path);
        let all = list()
            .page_size(5)
            .offset(10)
            .plan_state(PlanState::from("PLAN_CREATED"))
            .audit_state(AuditState::Passed)
            .plan_id(PlanId::new("a&b").unwrap());
        assert_eq!(
            all.target().unwrap().to_string(),
            path + "?page_size=5&offset=10&plan_state=CREATED&audit_state=AUDIT_PASSED&plan_id=a%26b"
        );
    }

    #[test]
    fn a_page_has_1_to_50_plans() {
        for (size, is_allowed) in [(0, false), (1, true), (50, true), (51, false)] {
            match list().page_size(size).check() {
                Ok(()) => assert!(is_allowed, "{size}"),
                Err(error) => {
                    assert!(!is_allowed, "{size}");
                    assert_eq!(error.field(), "page_size");
                    let range =
                        InputFault::OutOfRange { found: size.into(), least: 1, most: Some(50) };
                    assert_eq!(*error.fault(), range);
                }
            }
        }
    }

    #[test]
    fn nothing_found_has_no_list() {
        for body in [r#"{"total_count":0}"#, r#"{"total_count":0,"plan_list":null}"#] {
            let page: PlanPage = serde_json::from_str(body).unwrap();
            assert_eq!((page.total_count, page.plan_list.len()), (0, 0));
            assert_eq!(serde_json::to_string(&page).unwrap(), r#"{"total_count":0}"#);
        }
    }
}
