//! Terminates a delivery plan with a key in AWS KMS, in the few lines that an application needs.
//!
//! ```sh
//! cargo run -p wxpay-examples --example kms_aws --features aws-kms -- alias/wxpay-merchant
//! ```
//!
//! Region and credentials are read as AWS tools do. The gateway runs inside this program, and its merchant
//! has a published test key; import that key to try it, or see `docs/kms.md` for a key that is generated in
//! the service.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use wxpay_auth::Certificate;
use wxpay_auth::kms::{AwsKms, KmsSigner};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([key_id], []) = arguments::arguments("kms_aws KEY_ID_ARN_OR_ALIAS");
    let gateway = Gateway::start().await;

    // Configuration and TLS belong to the application. The signer retries, so the client need not.
    let tls = Provider::Rustls(CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .load()
        .await;

    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem())?;
    let signer = KmsSigner::builder(AwsKms::new(aws_sdk_kms::Client::new(&config), key_id)?)
        .certificate(certificate)
        .connect()
        .await?;
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .build()?;
    let terminated = DeliveryPlans::new(client).terminate(&PlanId::new("12000")?).await?;
    println!("terminated {}, signed as {}", terminated.plan_id, signer.serial_no());
    Ok(())
}
