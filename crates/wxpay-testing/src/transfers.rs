//! What was uploaded, and what can be downloaded.

use std::collections::BTreeMap;

use crate::download::Bill;
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::upload::UploadedFile;
use crate::wechat_pay::WechatPay;

/// The state of uploads and downloads.
#[derive(Default)]
pub(crate) struct Transfers {
    pub(crate) uploads: Vec<UploadedFile>,
    /// By day.
    pub(crate) bills: BTreeMap<String, Bill>,
    /// By token, exactly as in the URL.
    pub(crate) issued: BTreeMap<String, Issued>,
    /// The origin of download URLs.
    pub(crate) download_base: Option<String>,
}

/// A download URL that was issued.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) bill: Bill,
    pub(crate) as_gzip: bool,
    /// When, in seconds.
    pub(crate) at: u64,
}

impl WechatPay {
    /// Carries out an upload or a download; `None` if the request is another call.
    pub(crate) fn transfer(&self, request: RawRequest<'_>) -> Option<RawResponse> {
        self.upload(request).or_else(|| self.download(request))
    }
}

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}
