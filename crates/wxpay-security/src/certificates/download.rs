//! The call that downloads platform certificates.

use wxpay_transport::{RateLimit, Request, Target, Transport};

use crate::certificates::download_verifier::DownloadVerifier;
use crate::certificates::error::CertificateError;
use crate::certificates::list::CertificateList;

/// Downloads the platform certificates (下载平台证书), once for each call.
///
/// `T` is a [`Client`](wxpay_transport::Client) whose verifier is the [`DownloadVerifier`]. To keep a key ring up to
/// date there is [`PlatformCertificates`](crate::PlatformCertificates).
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
#[derive(Debug, Clone)]
pub struct CertificateDownload<T> {
    transport: T,
    verifier: DownloadVerifier,
}

impl<T: Transport> CertificateDownload<T> {
    /// Creates the service. `verifier` is (a clone of) the verifier of the client.
    pub fn new(transport: T, verifier: DownloadVerifier) -> Self {
        Self { transport, verifier }
    }

    /// Returns the verifier.
    pub fn verifier(&self) -> &DownloadVerifier {
        &self.verifier
    }

    /// Downloads the list, verifies it, decrypts it and checks each certificate. The key ring is not changed.
    ///
    /// `GET /v3/certificates`. The limit is 1000 calls per second and `mchid`. It is a query, so it may be repeated.
    ///
    /// Expired certificates are left out, and so are those of another kind than RSA with 2048 bits, or encrypted with an
    /// algorithm that the decryptor does not know (SM4); each is logged. Any other fault of any certificate refuses the
    /// whole list.
    ///
    /// # Errors
    /// [`CertificateError::PublicKeyMode`] if the merchant has none, [`CertificateError::List`] if the list was not accepted,
    /// [`CertificateError::Transport`] for everything else that can fail on the way.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
    ///
    /// ```
    /// use wxpay_auth::{ApiV3Key, KeyRing};
    /// use wxpay_security::{CertificateDownload, DownloadVerifier};
    /// use wxpay_testing::Gateway;
    /// use wxpay_transport::{BaseUrl, Client};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// let verifier = DownloadVerifier::new(KeyRing::new(), ApiV3Key::new(gateway.api_v3_key())?);
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), verifier.clone())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    /// gateway.sign_with_platform_certificate();
    ///
    /// let list = CertificateDownload::new(client, verifier).list().await?;
    /// println!("{} until {}", list.certificates[0].serial, list.covered_until());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(&self) -> Result<CertificateList, CertificateError> {
        let target = Target::new("/v3/certificates").map_err(wxpay_transport::Error::from)?;
        let request = Request::get("certificates.list", target)
            .with_rate_limit(RateLimit::per_second(1000))
            .recognised_by(is_list);
        let response = self.transport.send(request).await?;
        let body = response.body();
        // It was verified, so it is at most five minutes off the local clock.
        let now = body.signed_at();
        let certificates = self.verifier.read(body.body(), now).await?;
        Ok(CertificateList {
            certificates,
            request_id: response.request_id().map(str::to_owned),
            signed_by: body.serial().clone(),
            signed_at: now,
        })
    }
}

/// Returns whether a body may be the response. Its form is checked in detail later, where it has an error of its own.
fn is_list(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Outline {
        #[expect(dead_code, reason = "only its presence counts")]
        data: Vec<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Outline>(body).is_ok()
}
