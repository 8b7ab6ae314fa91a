//! Uploads: files with a signed description.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::form::{Form, is_form};
use crate::refusal::Refusal;
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::transfers::hex;
use crate::wechat_pay::WechatPay;

/// A file that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadedFile {
    /// The path it was sent to.
    pub path: String,
    /// The name in the part `meta`.
    pub file_name: String,
    /// The content.
    pub content: Vec<u8>,
}

/// An interface that takes files.
struct Interface {
    path: &'static str,
    /// The field of the response with the URL or id.
    field: &'static str,
    /// The longest file name, in characters.
    file_name: usize,
    /// Code and status when `meta` does not fit the file.
    mismatch: (u16, &'static str),
    takes_pdf: bool,
}

const INTERFACES: [Interface; 3] = [
    // 图片上传（商品券）: <https://pay.weixin.qq.com/doc/v3/partner/4015781275>
    Interface {
        path: "/v3/marketing/partner/product-coupon/media/upload-image",
        field: "image_url",
        file_name: 150,
        mismatch: (400, "PARAM_ERROR"),
        takes_pdf: false,
    },
    // 图片上传（营销专用）: <https://pay.weixin.qq.com/doc/v3/partner/4012759802>
    Interface {
        path: "/v3/marketing/favor/media/image-upload",
        field: "media_url",
        file_name: 128,
        mismatch: (403, "REQUEST_BLOCKED"),
        takes_pdf: false,
    },
    // 图片上传: <https://pay.weixin.qq.com/doc/v3/partner/4012760432>
    Interface {
        path: "/v3/merchant/media/upload",
        field: "media_id",
        file_name: 128,
        mismatch: (400, "PARAM_ERROR"),
        takes_pdf: true,
    },
];

/// The largest image, and the largest PDF, in bytes.
const LARGEST_IMAGE: usize = 2 << 20;
const LARGEST_PDF: usize = 7_500_000;

fn interface(request: RawRequest<'_>) -> Option<&'static Interface> {
    let is_this =
        |interface: &&Interface| request.method == "POST" && interface.path == request.target;
    INTERFACES.iter().find(is_this)
}

impl<'a> RawRequest<'a> {
    /// Returns the parts of an upload; `None` if it is another call. The error says what is wrong with its body.
    pub(crate) fn form(self) -> Option<Result<Form<'a>, &'static str>> {
        interface(self)?;
        let content_type = self.header("content-type").unwrap_or_default();
        Some(Form::parse(content_type, self.body))
    }

    /// Returns what is signed of the body: the part `meta` of an upload, else all of it.
    pub(crate) fn signed_body(self) -> &'a [u8] {
        match self.form() {
            Some(Ok(form)) => form.meta,
            _ => self.body,
        }
    }
}

/// Returns whether the call is an upload, and refuses one that is not written as documented.
pub(crate) fn check_form(request: RawRequest<'_>) -> Result<bool, Refusal> {
    let Some(form) = request.form() else { return Ok(false) };
    if !request.header("content-type").is_some_and(is_form) {
        return Err(Refusal::WrongContentType);
    }
    form.map(|_| true).map_err(Refusal::MalformedForm)
}

impl WechatPay {
    /// Returns the files that were uploaded, the first one first.
    pub fn uploads(&self) -> Vec<UploadedFile> {
        self.with_transfers(|transfers| transfers.uploads.clone())
    }

    /// Takes an uploaded file; `None` if the request is another call.
    pub(crate) fn upload(&self, request: RawRequest<'_>) -> Option<RawResponse> {
        let (interface, form) = (interface(request)?, request.form()?.ok()?);
        let file_name = match checked(interface, form) {
            Ok(file_name) => file_name,
            Err((status, code, message)) => return Some(RawResponse::error(status, code, message)),
        };
        let number = self.with_transfers(|transfers| {
            let (path, content) = (interface.path.to_owned(), form.file.to_vec());
            transfers.uploads.push(UploadedFile { path, file_name, content });
            transfers.uploads.len()
        });
        // Another URL or id each time.
        let id = hex(digest(&SHA256, &[form.file, &number.to_be_bytes()].concat()).as_ref());
        let value = match interface.field {
            "media_id" => id,
            _ => format!("https://wxpaylogo.qpic.cn/wxpaylogo/{id}/0"),
        };
        let response = RawResponse::json(200, &json!({ (interface.field): value }));
        Some(RawResponse { executed: true, ..response })
    }
}

/// Checks `meta` and file; returns the file name.
fn checked(
    interface: &Interface,
    form: Form<'_>,
) -> Result<String, (u16, &'static str, &'static str)> {
    let wrong = |message| (400, "PARAM_ERROR", message);
    let meta: Value = serde_json::from_slice(form.meta).map_err(|_| wrong("meta不是JSON"))?;
    let text = |name: &str| -> Option<String> { meta.get(name)?.as_str().map(str::to_owned) };
    let file_name = text("filename").filter(|name| !name.is_empty());
    let file_name = file_name.ok_or(wrong("filename缺失"))?;
    if file_name.chars().count() > interface.file_name {
        return Err(wrong("filename过长"));
    }
    if form.file.is_empty() {
        return Err(wrong("文件为空"));
    }
    let (status, code) = interface.mismatch;
    if text("sha256") != Some(hex(digest(&SHA256, form.file).as_ref())) {
        return Err((status, code, "meta信息与文件不一致"));
    }
    let largest = match form.file {
        [0xff, 0xd8, ..] | [0x89, b'P', b'N', b'G', ..] | [b'B', b'M', ..] => LARGEST_IMAGE,
        [b'%', b'P', b'D', b'F', ..] if interface.takes_pdf => LARGEST_PDF,
        _ => return Err((status, code, "文件类型不支持")),
    };
    if form.file.len() > largest {
        return Err(wrong("文件过大"));
    }
    Ok(file_name)
}
