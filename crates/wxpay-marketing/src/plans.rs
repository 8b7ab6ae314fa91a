//! All plans of a list, page by page.

use std::collections::HashSet;
use std::vec;

use wxpay_auth::BrandId;
use wxpay_transport::Transport;

use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::incomplete_list_error::IncompleteListError;
use crate::list_plans::ListPlans;
use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;

/// How often a list is begun anew because it shrank. One that shrinks more often is ended by somebody at the same time.
const RESTARTS: u32 = 10;

/// The plans of a list, one after the other ([`DeliveryPlans::list_all`]). It holds one page at a time.
#[derive(Debug)]
pub struct Plans<'a, T> {
    service: &'a DeliveryPlans<T>,
    query: ListPlans,
    /// The offset of the first page.
    begin: u64,
    page: vec::IntoIter<Plan>,
    /// How many plans the list had at the page before.
    total_count: i64,
    restarts: u32,
    /// The first plan of the page before.
    first: Option<PlanId>,
    is_last: bool,
}

impl<T: Transport> Plans<'_, T> {
    /// Returns the next plan, and asks for the next page when the last one is used up; `None` at the end.
    ///
    /// It can be dropped while it waits: no plan is lost. After an error that [may be
    /// retried](Error::may_retry) it asks for the same page again; after any other, and after
    /// [`Error::IncompleteList`], it returns `None`.
    ///
    /// If the list has become shorter since the page before, plans have moved up, past what was read: it begins anew, and
    /// returns plans a second time.
    ///
    /// # Errors
    /// Those of [`list`](DeliveryPlans::list), and [`Error::IncompleteList`] if the list ends before its `total_count`,
    /// repeats a page, or becomes shorter again and again.
    pub async fn next(&mut self) -> Option<Result<Plan, Error>> {
        loop {
            if let Some(plan) = self.page.next() {
                return Some(Ok(plan));
            }
            if self.is_last {
                return None;
            }
            let page = match self.service.list(&self.query).await {
                Ok(page) => page,
                Err(error) => {
                    // The same request would meet the same refusal for ever.
                    self.is_last = !error.may_retry();
                    return Some(Err(error));
                }
            };
            let offset = self.query.offset;
            let total_count = page.total_count;
            let has_shrunk = offset != self.begin && total_count < self.total_count;
            self.total_count = total_count;
            if has_shrunk && self.restarts < RESTARTS {
                self.restarts += 1;
                self.query.offset = self.begin;
                self.first = None;
                continue;
            }
            let is_all = |offset: u64| i64::try_from(offset).is_ok_and(|n| n >= total_count);
            let first = page.plan_list.first().map(|plan| plan.plan_id.clone());
            // Whatever follows cannot be told from what came before.
            let is_repeated = first.is_some() && first == self.first;
            if has_shrunk || is_repeated || (first.is_none() && !is_all(offset)) {
                self.is_last = true;
                return Some(Err(IncompleteListError { total_count, offset }.into()));
            }
            self.query.offset = offset.saturating_add(page.plan_list.len() as u64);
            self.is_last = first.is_none() || is_all(self.query.offset);
            self.first = first;
            self.page = page.plan_list.into_iter();
        }
    }

    /// Returns how many plans it holds: at most one page.
    pub fn held(&self) -> usize {
        self.page.len()
    }
}

impl<T: Transport> DeliveryPlans<T> {
    /// Lists all plans that a request selects, beginning at its offset, page by page. The default size of a page is 50
    /// here.
    ///
    /// The order of plans is not documented. Plans that are created, or that enter or leave the state of a filter, while
    /// pages are read may come twice; those may be missed that move while the list stays as long as it was. So do not end
    /// plans while you read a list that is filtered by state: collect their ids first
    /// ([`ids_in_state`](Self::ids_in_state)).
    ///
    /// ```
    /// use wxpay_auth::BrandId;
    /// use wxpay_marketing::{DeliveryPlans, ListPlans};
    /// use wxpay_testing::Gateway;
    /// use wxpay_transport::{BaseUrl, Client};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    /// let service = DeliveryPlans::new(client);
    ///
    /// let mut plans = service.list_all(ListPlans::new(BrandId::new("1004")?));
    /// while let Some(plan) = plans.next().await {
    ///     let plan = plan?;
    ///     println!("{} is {}", plan.plan_id, plan.plan_state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_all(&self, query: ListPlans) -> Plans<'_, T> {
        let page_size = query.page_size.unwrap_or(ListPlans::MAX_PAGE_SIZE);
        Plans {
            service: self,
            begin: query.offset,
            query: query.page_size(page_size),
            page: Vec::new().into_iter(),
            total_count: 0,
            restarts: 0,
            first: None,
            is_last: false,
        }
    }

    /// Collects the ids of all plans of a brand in a state, each once.
    ///
    /// A list that is filtered by state shrinks while its plans are ended: what moves up to fill the gap is skipped by
    /// the next page. Collect the ids first, then end the plans. If others end plans meanwhile, the list is read again.
    ///
    /// # Errors
    /// Those of [`Plans::next`].
    pub async fn ids_in_state(
        &self,
        brand_id: &BrandId,
        plan_state: &PlanState,
    ) -> Result<Vec<PlanId>, Error> {
        let query = ListPlans::new(brand_id.clone()).plan_state(plan_state.clone());
        let (mut plans, mut seen, mut ids) = (self.list_all(query), HashSet::new(), Vec::new());
        while let Some(plan) = plans.next().await {
            let plan = plan?;
            // The filter may be lost on the way.
            if plan.plan_state == *plan_state && seen.insert(plan.plan_id.clone()) {
                ids.push(plan.plan_id);
            }
        }
        Ok(ids)
    }
}
