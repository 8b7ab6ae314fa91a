//! Requests a certificate for the key at an address, in a file, a token or a key service.
//!
//! ```sh
//! cargo run --example certificate_request -- vault:merchant?address=http://127.0.0.1:8200 1900007291
//! ```
//!
//! What it prints is uploaded to the merchant platform (账户中心 → API安全 → 申请API证书). The address is
//! the one of `docs/kms.md`, without a certificate; add the one that you download to it later.

use std::error::Error;

use wxpay_auth::{CertificateRequest, CertificateSubject, Mchid, SignerUri};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SignerUri = arguments.next().ok_or("give the address of the key")?.parse()?;
    let mchid = Mchid::new(arguments.next().ok_or("give the merchant number")?)?;

    let signer = address.without_certificate().connect().await?;
    let subject = CertificateSubject::new(&mchid).country("CN")?;
    let request = CertificateRequest::sign(&subject, signer.public_key(), &signer).await?;
    print!("{}", request.to_pem());
    Ok(())
}
