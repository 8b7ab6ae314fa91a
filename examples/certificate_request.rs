//! Requests a certificate for the key at an address: in a file, a token or a key service.
//!
//! ```sh
//! cargo run -p wxpay-examples --example certificate_request -- 'vault:merchant?address=http://127.0.0.1:8200' 1900007291
//! ```
//!
//! Upload the output to the merchant platform (账户中心 → API安全 → 申请API证书). The address is as in
//! `docs/kms.md`, without a certificate; add the downloaded certificate to it later.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;

use wxpay_auth::{CertificateRequest, CertificateSubject, Mchid, SignerUri};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([address, mchid], []) = arguments::arguments("certificate_request ADDRESS MCHID");
    let address: SignerUri = address.parse()?;
    let mchid = Mchid::new(mchid)?;

    let signer = address.without_certificate().connect().await?;
    let subject = CertificateSubject::new(&mchid).country("CN")?;
    let request = CertificateRequest::sign(&subject, signer.public_key(), &signer).await?;
    print!("{}", request.to_pem());
    Ok(())
}
