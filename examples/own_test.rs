//! Tests an application's own code against the gateway: no network, no keys, no mocks of the library.
//!
//! ```sh
//! cargo test --example own_test
//! ```

#[path = "shared/arguments.rs"]
mod arguments;

use wxpay_marketing::{DeliveryPlans, Error, PlanId};
use wxpay_transport::{Outcome, Transport};

/// The application's code: ends a campaign, and returns the message for the operator.
async fn end_campaign<T: Transport>(plans: &DeliveryPlans<T>, plan_id: &PlanId) -> &'static str {
    match plans.terminate(plan_id).await.as_ref().map_err(Error::outcome) {
        Ok(_) => "ended",
        Err(Outcome::Rejected | Outcome::NotSent) => "still running",
        Err(_) => "please check",
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ([], []) = arguments::arguments("own_test");
    let gateway = wxpay_testing::Gateway::start().await;
    let plans = DeliveryPlans::new(client(&gateway)?);
    println!("{}", end_campaign(&plans, &PlanId::new("12000")?).await);
    println!("now run: cargo test --example own_test");
    Ok(())
}

type Client = wxpay_transport::Client<wxpay_auth::FileKeySigner, wxpay_auth::KeyRing>;

fn client(gateway: &wxpay_testing::Gateway) -> Result<Client, Box<dyn std::error::Error>> {
    let base_url = wxpay_transport::BaseUrl::new(gateway.base_url())?;
    let builder = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring());
    Ok(builder.base_url(base_url).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxpay_testing::{Gateway, Misbehaviour};

    #[tokio::test]
    async fn a_campaign_ends() {
        let gateway = Gateway::start().await;
        let plans = DeliveryPlans::new(client(&gateway).unwrap());
        let plan_id = PlanId::new("12000").unwrap();
        assert_eq!(end_campaign(&plans, &plan_id).await, "ended");
        assert_eq!(gateway.plan_state("12000").unwrap().as_str(), "TERMINATED");
    }

    #[tokio::test]
    async fn a_response_that_is_not_signed_is_not_believed() {
        let gateway = Gateway::start().await;
        gateway.misbehave(Misbehaviour::UnsignedSuccess);
        let plans = DeliveryPlans::new(client(&gateway).unwrap());
        let plan_id = PlanId::new("12000").unwrap();
        assert_eq!(end_campaign(&plans, &plan_id).await, "please check");
    }
}
