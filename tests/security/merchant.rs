//! A merchant that downloads its platform certificates from a gateway.

use wxpay_auth::{ApiV3Key, FileKeySigner, KeyRing};
use wxpay_security::{DownloadVerifier, PlatformCertificates};
use wxpay_testing::{Gateway, WechatPay};
use wxpay_transport::{BaseUrl, Client, NoRetry, Proxy};

/// The client that downloads.
pub(crate) type Downloads = Client<FileKeySigner, DownloadVerifier>;

/// Returns a client that downloads into a ring. It makes one attempt.
pub(crate) fn downloads(gateway: &Gateway, verifier: DownloadVerifier) -> Downloads {
    Client::builder(gateway.mchid(), gateway.signer(), verifier)
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .build()
        .unwrap()
}

/// Returns a verifier with an empty ring.
pub(crate) fn verifier(wechat_pay: &WechatPay) -> DownloadVerifier {
    DownloadVerifier::new(KeyRing::new(), ApiV3Key::new(wechat_pay.api_v3_key()).unwrap())
}

/// Returns the certificates of a merchant with an empty ring, and the client that downloads them.
pub(crate) fn merchant(gateway: &Gateway) -> (PlatformCertificates, Downloads) {
    let verifier = verifier(gateway);
    let downloads = downloads(gateway, verifier.clone());
    (PlatformCertificates::new(downloads.clone(), verifier), downloads)
}

/// Returns how many downloads arrived.
pub(crate) fn downloads_of(wechat_pay: &WechatPay) -> usize {
    wechat_pay.journal().iter().filter(|entry| entry.target() == "/v3/certificates").count()
}
