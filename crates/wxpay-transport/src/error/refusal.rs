//! Whether a response is a refusal by WeChat Pay, and not by something in front of it.

use http::StatusCode;

use super::api_body::ErrorBody;
use super::response_signature::ResponseSignature;
use crate::error::delivery::Outcome;

/// Returns whether the response comes from WeChat Pay, as far as can be told.
///
/// A response signed with its key does. WeChat Pay does not sign all errors, so an unsigned one counts if
/// it is JSON with a code, as WeChat Pay writes it. A page, a text or an empty body may come from
/// something in front of it, possibly after the call was passed on. A response whose signature was not
/// accepted, or could not be checked, is never trusted.
pub(super) fn is_wechat_pays(
    signature: &ResponseSignature,
    body: ErrorBody,
    has_code: bool,
) -> bool {
    match signature {
        ResponseSignature::Verified(_) => true,
        ResponseSignature::Missing => body == ErrorBody::Json && has_code,
        ResponseSignature::Unchecked | ResponseSignature::Refused(_) => false,
    }
}

/// Returns the outcome of a call that got this status, which is not 2xx.
///
/// A 4xx from WeChat Pay means that the call was not carried out, except 408. With 429 it was not even
/// accepted, so it may be sent again.
pub(super) fn outcome(status: StatusCode, is_wechat_pays: bool) -> Outcome {
    let says_no = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
    if says_no && is_wechat_pays { Outcome::Rejected } else { Outcome::Unknown }
}

#[cfg(test)]
mod tests {
    use wxpay_auth::{VerifyError, WechatpaySerial};

    use super::*;

    const BODIES: [(ErrorBody, bool); 9] = [
        (ErrorBody::Json, true),
        (ErrorBody::Json, false),
        (ErrorBody::Html, false),
        (ErrorBody::Text, false),
        (ErrorBody::Empty, false),
        (ErrorBody::Binary, false),
        (ErrorBody::Encoded, false),
        (ErrorBody::Truncated, false),
        (ErrorBody::TooLarge, false),
    ];

    fn signatures() -> [ResponseSignature; 4] {
        let serial: WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
        [
            ResponseSignature::Verified(serial.clone()),
            ResponseSignature::Missing,
            ResponseSignature::Unchecked,
            ResponseSignature::Refused(VerifyError::mismatch(serial)),
        ]
    }

    /// Covers every status, with every signature, with every body.
    #[test]
    fn a_refusal_is_one_when_wechat_pay_said_it() {
        let mut rejected = 0;
        for code in 100..=999 {
            let status = StatusCode::from_u16(code).unwrap();
            for signature in &signatures() {
                for (body, has_code) in BODIES {
                    let is_own = match signature {
                        ResponseSignature::Verified(_) => true,
                        ResponseSignature::Missing => (body, has_code) == (ErrorBody::Json, true),
                        _ => false,
                    };
                    let is_no = (400..=499).contains(&code) && code != 408;
                    let expected =
                        if is_own && is_no { Outcome::Rejected } else { Outcome::Unknown };
                    let told = outcome(status, is_wechat_pays(signature, body, has_code));
                    let case = format!("{code} {signature:?} {body:?} {has_code}");
                    assert_eq!(told, expected, "{case}");
                    rejected += usize::from(told == Outcome::Rejected);
                }
            }
        }
        // 99 statuses: signed with any body, or unsigned with a code.
        assert_eq!(rejected, 99 * (BODIES.len() + 1));
    }
}
