//! Terminates a delivery plan with a key in an HSM, in the few lines that an application needs.
//!
//! ```sh
//! cargo run -p wxpay-examples --example hsm -- 'pkcs11:token=wxpay;object=merchant?module-path=…&pin-source=/run/secrets/pin'
//! ```
//!
//! The gateway runs inside this program, and its merchant has a published test key; import that key to
//! try it, or see `hsm_born_key` for a key that is generated in the token.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;

use wxpay_auth::Certificate;
use wxpay_auth::pkcs11::Pkcs11Signer;
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([uri], []) = arguments::arguments("hsm PKCS11_URI");
    let gateway = Gateway::start().await;

    // The certificate may lie beside the key on the token instead: Pkcs11Signer::connect(&uri).
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem())?;
    let signer = Pkcs11Signer::builder(uri.parse()?).certificate(certificate).connect().await?;
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .build()?;
    let terminated = DeliveryPlans::new(client).terminate(&PlanId::new("12000")?).await?;
    println!("terminated {}, signed as {}", terminated.plan_id, signer.serial_no());
    signer.shut_down().await?;
    Ok(())
}
