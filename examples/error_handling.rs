//! Handles each outcome of a call that cannot be undone, above all an unknown one. `DeliveryPlans::terminate_checked` does
//! it in one call.
//!
//! ```sh
//! cargo run -p wxpay-examples --example error_handling
//! ```

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error as StdError;

use wxpay_auth::BrandId;
use wxpay_marketing::{DeliveryPlans, Error, PlanId, PlanState, Terminated};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour};
use wxpay_transport::{BaseUrl, Client, Outcome, Transport};

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let ([], []) = arguments::arguments("error_handling");
    let gateway = Gateway::start().await;
    let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .build()?;
    let plans = DeliveryPlans::new(client);

    println!("-- all is well");
    stop(&plans, "1004", "12000").await?;

    println!("-- refused");
    stop(&plans, "1004", "99999").await?;

    println!("-- carried out, but the response is a signature probe");
    gateway.misbehave_once(Misbehaviour::Probe);
    stop(&plans, "1004", "12001").await?;

    println!("-- not carried out, and the server answers 500");
    gateway.misbehave_once(Misbehaviour::Status {
        status: 500,
        body: ErrorBody::Html,
        signed: false,
        executed: false,
    });
    stop(&plans, "1004", "12002").await
}

async fn stop<T: Transport>(
    plans: &DeliveryPlans<T>,
    brand_id: &str,
    plan_id: &str,
) -> Result<(), Box<dyn StdError>> {
    let plan_id = PlanId::new(plan_id)?;
    let ended: Result<Terminated, Error> = plans.terminate(&plan_id).await;
    let error = match ended {
        Ok(terminated) => {
            println!("terminated; keep the request id: {:?}", terminated.request_id);
            return Ok(());
        }
        Err(error) => error,
    };
    println!("{error}\n  hint: {}", error.hint());
    match error.outcome() {
        // The request was refused, or never sent: nothing was done.
        Outcome::Rejected | Outcome::NotSent if error.may_retry() => println!("  try again later"),
        Outcome::Rejected | Outcome::NotSent => println!("  nothing was done: fix it first"),
        // It may have been carried out: query the state, and do not send it again blindly.
        _ => {
            match plans.find(&BrandId::new(brand_id)?, &plan_id).await?.map(|plan| plan.plan_state)
            {
                Some(PlanState::Terminated) => println!("  it was carried out after all"),
                Some(state) => println!("  it is {state}: not carried out, or not yet"),
                None => println!("  the brand has no such plan"),
            }
        }
    }
    Ok(())
}
