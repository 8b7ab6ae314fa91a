//! Whose job it is.

use wxpay_auth::Mchid;
use wxpay_transport::BaseUrl;

/// The `mchid` that signs, and where its calls go. A journal is bound to both.
///
/// ```
/// use wxpay_auth::Mchid;
/// use wxpay_marketing::JobOwner;
/// use wxpay_transport::BaseUrl;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let owner = JobOwner::new(Mchid::new("1900007291")?, &BaseUrl::new(BaseUrl::MAIN)?);
/// assert_eq!(owner.base_url(), "https://api.mch.weixin.qq.com");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOwner {
    mchid: Mchid,
    base_url: String,
}

impl JobOwner {
    /// Names the service provider and the main domain, those of the client that runs the job.
    pub fn new(mchid: Mchid, base_url: &BaseUrl) -> Self {
        Self { mchid, base_url: base_url.to_string() }
    }

    /// Returns the merchant number.
    pub fn mchid(&self) -> &Mchid {
        &self.mchid
    }

    /// Returns the main domain.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}
