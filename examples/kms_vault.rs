//! Terminates a delivery plan with a key in the Transit engine of Vault or OpenBao, in the few lines that
//! an application needs.
//!
//! ```sh
//! cargo run -p wxpay-examples --example kms_vault -- https://vault.internal:8200 merchant /run/vault/token
//! ```
//!
//! The gateway runs inside this program, and its merchant has a published test key; import that key to try
//! it. docs/kms.md explains how to set up a service.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;

use wxpay_auth::Certificate;
use wxpay_auth::kms::{Endpoint, KmsSigner, Secret, VaultAuth, VaultTransit};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([address, key, token_file], []) = arguments::arguments("kms_vault ADDRESS KEY TOKEN_FILE");
    let gateway = Gateway::start().await;

    // Or VaultAuth::app_role(role_id, Secret::file(…)), or VaultAuth::kubernetes(role).
    let auth = VaultAuth::token(Secret::file(token_file));
    let vault = VaultTransit::builder(Endpoint::new(address)?, key).auth(auth).build()?;
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem())?;
    let signer = KmsSigner::builder(vault).certificate(certificate).connect().await?;
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .build()?;
    let terminated = DeliveryPlans::new(client).terminate(&PlanId::new("12000")?).await?;
    println!("terminated {}, signed as {}", terminated.plan_id, signer.serial_no());
    Ok(())
}
