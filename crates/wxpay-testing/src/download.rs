//! Bills, which are asked for in a signed call and downloaded in another one, whose response is not signed.

use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::json;

use crate::gzip::gzip;
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::transfers::{Issued, hex};
use crate::wechat_pay::WechatPay;
use crate::wire_body::Manner;

/// A bill of one day (交易账单), which [`WechatPay::add_bill`] offers for download.
///
/// A request with `tar_type=GZIP` gets it as gzip; the hash is that of the original bill in both cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    pub(crate) date: String,
    content: Vec<u8>,
    sent: Option<Vec<u8>>,
    fault: Option<BillFault>,
}

/// What is wrong with a bill. For files that are cut short or stall, see [`Fault`](crate::Fault).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BillFault {
    /// The signed response names the hash of another file.
    WrongHash,
    /// One bit of the file is changed on its way.
    Altered,
    /// The file never ends.
    Endless,
    /// Each byte of the file takes this long.
    Slow(Duration),
}

const BILL: &str = "/v3/bill/tradebill";
const FILE: &str = "/v3/billdownload/file";

/// How long a download URL is valid, in seconds.
const VALID: u64 = 300;

impl Bill {
    /// Creates a bill of this day (`yyyy-MM-DD`) with this content.
    pub fn new(date: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { date: date.into(), content: content.into(), sent: None, fault: None }
    }

    /// Sends these bytes instead of the content, such as a gzip of your own. The hash remains that of the content.
    #[must_use]
    pub fn sent_as(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.sent = Some(bytes.into());
        self
    }

    /// Has something wrong with the bill.
    #[must_use]
    pub fn with_fault(mut self, fault: BillFault) -> Self {
        self.fault = Some(fault);
        self
    }

    fn hash(&self) -> String {
        let mut hashed = self.content.clone();
        if self.fault == Some(BillFault::WrongHash) {
            hashed.push(b' ');
        }
        hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed).as_ref())
    }

    fn file(&self, as_gzip: bool) -> RawResponse {
        let mut body = match &self.sent {
            Some(sent) => sent.clone(),
            None if as_gzip => gzip(&self.content),
            None => self.content.clone(),
        };
        let middle = body.len() / 2;
        if let (Some(BillFault::Altered), Some(byte)) = (self.fault, body.get_mut(middle)) {
            *byte ^= 1;
        }
        let manner = match self.fault {
            Some(BillFault::Endless) => Manner::Endless,
            Some(BillFault::Slow(pause)) => Manner::Slow(pause),
            _ => Manner::Whole,
        };
        let content_type = if as_gzip { "application/x-gzip" } else { "text/plain" };
        let response = RawResponse::new(200, body).with_header("Content-Type", content_type);
        RawResponse { file: Some(manner), ..response }
    }
}

impl WechatPay {
    /// Offers a bill for download, or replaces the one of that day.
    pub fn add_bill(&self, bill: Bill) {
        self.with_transfers(|transfers| {
            transfers.bills.insert(bill.date.clone(), bill);
        });
    }

    /// Sets the origin of download URLs, such as that of another server. The default is `http` and the `Host` of the
    /// request for the URL.
    pub fn download_from(&self, base_url: impl Into<String>) {
        self.with_transfers(|transfers| transfers.download_base = Some(base_url.into()));
    }

    /// Returns a URL or a file; `None` if the request is another call.
    pub(crate) fn download(&self, request: RawRequest<'_>) -> Option<RawResponse> {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        match (request.method, path) {
            ("GET", BILL) => {
                let date = parameter("bill_date").unwrap_or_default();
                let as_gzip = parameter("tar_type") == Some("GZIP");
                let host = request.header("host").unwrap_or_default();
                Some(self.issue(date, as_gzip, host))
            }
            ("GET", FILE) => Some(self.file(parameter("token").unwrap_or_default())),
            _ => None,
        }
    }

    fn issue(&self, date: &str, as_gzip: bool, host: &str) -> RawResponse {
        let now = self.now().as_unix_secs();
        self.with_transfers(|transfers| {
            let Some(bill) = transfers.bills.get(date) else {
                return RawResponse::error(400, "NO_STATEMENT_EXIST", "账单不存在");
            };
            let number = transfers.issued.len().to_be_bytes();
            let id = hex(digest(&SHA256, &[bill.date.as_bytes(), &number].concat()).as_ref());
            // Encoded in both cases, so that a client that decodes and encodes again sends another one.
            let token = format!("{id}%2B%2Fa+/=");
            let base = transfers.download_base.clone();
            let base = base.unwrap_or_else(|| format!("http://{host}"));
            let tail = if as_gzip { "&tartype=gzip" } else { "" };
            let body = json!({
                "hash_type": "SHA1",
                "hash_value": bill.hash(),
                "download_url": format!("{base}{FILE}?token={token}{tail}"),
            });
            let issued = Issued { bill: bill.clone(), as_gzip, at: now };
            transfers.issued.insert(token, issued);
            RawResponse::json(200, &body)
        })
    }

    fn file(&self, token: &str) -> RawResponse {
        let now = self.now().as_unix_secs();
        let issued = self.with_transfers(|transfers| transfers.issued.get(token).cloned());
        match issued.filter(|issued| now.abs_diff(issued.at) <= VALID) {
            Some(Issued { bill, as_gzip, .. }) => bill.file(as_gzip),
            None => RawResponse::error(400, "INVALID_REQUEST", "下载链接无效"),
        }
    }
}
