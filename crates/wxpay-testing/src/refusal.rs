//! Why a request was refused without being carried out.

use std::fmt;

use wxpay_auth_core::{AuthorizationError, Mchid, SerialNo};

use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::sign_error;

/// Why the gateway refused a request, without carrying anything out.
///
/// Status and message of each response are those of WeChat Pay, as far as they are known; the
/// [crate documentation](crate#what-it-answers) says which are the gateway's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A `POST` came without `Content-Length`.
    NoContentLength,
    /// The header is missing, empty, or occurs twice: `User-Agent` or `Accept`.
    MissingHeader(&'static str),
    /// `Accept` names neither `application/json` nor `*/*`.
    WrongAccept,
    /// The `Content-Type` of a `POST` is not `application/json`, or, for an upload, `multipart/form-data`.
    WrongContentType,
    /// The body of an upload is not `multipart/form-data` as documented.
    MalformedForm(&'static str),
    /// `Authorization` is missing, or occurs twice.
    NoAuthorization,
    /// `Authorization` is malformed.
    MalformedAuthorization(AuthorizationError),
    /// `Authorization` has a scheme other than `WECHATPAY2-SHA256-RSA2048`.
    WrongScheme,
    /// `mchid` is not the gateway's merchant.
    #[non_exhaustive]
    WrongMchid {
        /// The value in the request.
        given: String,
        /// The gateway's merchant.
        expected: Mchid,
    },
    /// `serial_no` does not belong to a certificate of the merchant.
    #[non_exhaustive]
    WrongSerialNo {
        /// The value in the request.
        given: SerialNo,
        /// The serials of the merchant's certificates, the oldest first.
        expected: Vec<SerialNo>,
    },
    /// `timestamp` is too far from the gateway's clock.
    #[non_exhaustive]
    ClockSkew {
        /// The request's timestamp minus the gateway's clock, in seconds.
        seconds: i64,
    },
    /// `nonce_str` is not 32 characters of `[0-9A-Za-z]`.
    MalformedNonce,
    /// The signature does not match the request.
    SignatureMismatch,
    /// `nonce_str` was used before.
    Replay,
}

impl Refusal {
    /// Returns the message of the response, and the `issue` in its detail, if there is one.
    fn words(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::NoContentLength => ("", None),
            Self::MissingHeader(_) | Self::WrongAccept => ("Http头缺少Accept或User-Agent", None),
            Self::WrongContentType => ("Http头Content-Type不是application/json", None),
            Self::MalformedForm(_) => ("上传请求格式错误", None),
            Self::NoAuthorization | Self::MalformedAuthorization(_) => {
                ("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》", None)
            }
            Self::WrongScheme => ("Http头Authorization认证类型不正确", None),
            Self::WrongMchid { .. } => ("商户号有误", Some("mchid not match")),
            Self::WrongSerialNo { .. } => {
                ("商户证书序列号有误。请使用签名私钥匹配的证书序列号", Some("serial_no not match"))
            }
            Self::ClockSkew { .. } => (
                "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟",
                Some("timestamp expired"),
            ),
            Self::MalformedNonce => ("Http头Authorization值格式错误", Some("nonce_str invalid")),
            Self::SignatureMismatch => ("错误的签名，验签失败", Some("sign not match")),
            Self::Replay => ("nonce_str重复", Some("nonce_str used before")),
        }
    }

    /// Builds the response, which is not signed.
    pub(crate) fn response(&self, request: RawRequest<'_>, nested_detail: bool) -> RawResponse {
        let (message, issue) = self.words();
        match self {
            Self::NoContentLength => RawResponse::html(411),
            Self::MissingHeader(_) | Self::WrongAccept | Self::WrongContentType => {
                RawResponse::error(400, "INVALID_REQUEST", message)
            }
            Self::MalformedForm(_) => RawResponse::error(400, "PARAM_ERROR", message),
            _ => match issue {
                Some(issue) => {
                    let body = sign_error::body(request, message, issue, nested_detail);
                    RawResponse::json(401, &body)
                }
                None => RawResponse::error(401, "SIGN_ERROR", message),
            },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoContentLength => f.write_str("a POST without Content-Length"),
            Self::MissingHeader(name) => write!(f, "{name} is not there exactly once"),
            Self::WrongAccept => f.write_str("Accept is neither application/json nor */*"),
            Self::WrongContentType => f.write_str("Content-Type is not that of the call"),
            Self::MalformedForm(fault) => write!(f, "the form of the upload: {fault}"),
            Self::NoAuthorization => f.write_str("Authorization is not there exactly once"),
            Self::MalformedAuthorization(error) => error.fmt(f),
            Self::WrongScheme => f.write_str("the scheme is not WECHATPAY2-SHA256-RSA2048"),
            Self::WrongMchid { given, expected } => write!(f, "mchid {given} is not {expected}"),
            Self::WrongSerialNo { given, expected } => {
                let expected: Vec<_> = expected.iter().map(SerialNo::as_str).collect();
                write!(f, "serial_no {given} is not {}", expected.join(" or "))
            }
            Self::ClockSkew { seconds } => {
                write!(f, "timestamp is {seconds:+} s off the gateway's clock")
            }
            Self::MalformedNonce => f.write_str("nonce_str is not 32 characters of [0-9A-Za-z]"),
            Self::SignatureMismatch => f.write_str("the signature does not fit the request"),
            Self::Replay => f.write_str("nonce_str was used before"),
        }
    }
}
