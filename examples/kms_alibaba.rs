//! Terminates a delivery plan with a key in Alibaba Cloud KMS, in the few lines that an application needs.
//!
//! ```sh
//! export ALIBABA_CLOUD_ACCESS_KEY_ID=LTAI… ALIBABA_CLOUD_ACCESS_KEY_SECRET=…
//! cargo run -p wxpay-examples --example kms_alibaba -- cn-hangzhou KEY_ID KEY_VERSION_ID [ENDPOINT]
//! ```
//!
//! On a machine with a role, use `.credentials(AlibabaRole::new()?)` instead of the environment.
//!
//! The gateway runs inside this program: it issues a certificate for the key, as the merchant platform does
//! (商户平台 → 账户中心 → API安全 → 申请API证书), and accepts the call signed with it.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;

use wxpay_auth::kms::{AlibabaKms, Endpoint, KmsSigner};
use wxpay_auth::{Certificate, CertificateRequest, CertificateSubject};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([region, key_id, version], [endpoint]) =
        arguments::arguments("kms_alibaba REGION KEY_ID KEY_VERSION_ID [ENDPOINT]");
    let gateway = Gateway::start().await;

    let mut kms = AlibabaKms::builder(region, key_id, version).credentials_from_env()?;
    if let Some(endpoint) = endpoint {
        kms = kms.endpoint(Endpoint::new(endpoint)?);
    }
    let kms = kms.build()?;

    // Once, for a key that was made in the service: request a certificate.
    let signer = KmsSigner::builder(kms.clone()).without_certificate().connect().await?;
    let subject = CertificateSubject::new(&gateway.mchid()).country("CN")?;
    let request = CertificateRequest::sign(&subject, signer.public_key(), &signer).await?;
    let certificate = Certificate::from_pem(gateway.issue_certificate(&request.to_pem())?)?;

    // From then on:
    let signer = KmsSigner::builder(kms).certificate(certificate).connect().await?;
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .build()?;
    let terminated = DeliveryPlans::new(client).terminate(&PlanId::new("12000")?).await?;
    println!("terminated {}, signed as {}", terminated.plan_id, signer.serial_no());
    Ok(())
}
