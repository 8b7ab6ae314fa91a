//! The bodies of error responses: JSON as documented, or anything else.

use serde_json::{Map, Value};

use super::sign_diagnosis::SignInformation;
use crate::message::secrets::Secrets;

/// The kind of body of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorBody {
    /// A JSON object, as documented.
    Json,
    /// A web page, from a server in front of WeChat Pay, or from a proxy.
    Html,
    /// Empty.
    Empty,
    /// Other text.
    Text,
    /// Bytes that are not UTF-8 text.
    Binary,
    /// A body that ended too early.
    Truncated,
    /// A body larger than the limit, of which nothing was kept.
    TooLarge,
    /// A body with a coding (such as `Content-Encoding: gzip`) that was not requested.
    Encoded,
}

/// The `detail` of an error: which field was wrong, and why.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012081709>
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ErrorDetail {
    /// The field that is wrong.
    pub field: Option<String>,
    /// What is wrong with it.
    pub issue: Option<String>,
    /// Where the field is: `body`, `query`, `uri`, `authorization` …
    pub location: Option<String>,
}

/// What was parsed from the body of an error response.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) detail: Option<ErrorDetail>,
    pub(crate) sign_information: Option<SignInformation>,
}

impl Parsed {
    /// Returns whether there is a code, as in every error of WeChat Pay.
    pub(crate) fn has_code(&self) -> bool {
        self.code.as_deref().is_some_and(|code| !code.trim().is_empty())
    }
}

/// Parses a body. Accepts any input.
pub(crate) fn parse(body: &[u8], secrets: &Secrets) -> (ErrorBody, Parsed) {
    if body.is_empty() {
        return (ErrorBody::Empty, Parsed::default());
    }
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        return (ErrorBody::Json, from_object(&object, secrets));
    }
    let kind = match str::from_utf8(body) {
        Err(_) => ErrorBody::Binary,
        Ok(text) if text.trim().is_empty() => ErrorBody::Empty,
        Ok(text) if text.trim_start().starts_with('<') => ErrorBody::Html,
        Ok(_) => ErrorBody::Text,
    };
    (kind, Parsed::default())
}

fn from_object(object: &Map<String, Value>, secrets: &Secrets) -> Parsed {
    // On one line and limited in length, for logs.
    let text = |object: &Map<String, Value>, name| {
        Some(secrets.shown(object.get(name).and_then(Value::as_str)?))
    };
    let detail = object.get("detail").and_then(Value::as_object);
    Parsed {
        code: text(object, "code"),
        message: text(object, "message"),
        detail: detail.map(|detail| ErrorDetail {
            field: text(detail, "field"),
            // Some responses nest the issue one level deeper.
            issue: text(detail, "issue")
                .or_else(|| text(detail.get("detail").and_then(Value::as_object)?, "issue")),
            location: text(detail, "location"),
        }),
        sign_information: detail
            .and_then(|detail| detail.get("sign_information")?.as_object())
            .and_then(SignInformation::from_object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> (ErrorBody, Parsed) {
        super::parse(body, &Secrets::default())
    }

    #[test]
    fn every_kind_of_body_is_told_apart() {
        for (body, kind) in [
            (&b""[..], ErrorBody::Empty),
            (b" \r\n", ErrorBody::Empty),
            (b"{}", ErrorBody::Json),
            (b"\n<html>502</html>", ErrorBody::Html),
            (b"upstream timed out", ErrorBody::Text),
            (b"[1]", ErrorBody::Text),
            (b"\"x\"", ErrorBody::Text),
            (b"{\"code\":", ErrorBody::Text),
            (b"\xff\xfe", ErrorBody::Binary),
        ] {
            assert_eq!(parse(body).0, kind, "{body:?}");
        }
    }

    #[test]
    fn code_message_and_both_shapes_of_detail_are_read() {
        let flat = br#"{"code":"PARAM_ERROR","message":"bad\nid","detail":{"field":"plan_id","value":1,"issue":"too long","location":"uri"}}"#;
        let parsed = parse(flat).1;
        assert_eq!(parsed.code.as_deref(), Some("PARAM_ERROR"));
        assert_eq!(parsed.message.as_deref(), Some("bad id"), "on one line");
        let detail = parsed.detail.unwrap();
        assert_eq!(detail.field.as_deref(), Some("plan_id"));
        assert_eq!(detail.issue.as_deref(), Some("too long"));
        assert_eq!(detail.location.as_deref(), Some("uri"));

        let nested = br#"{"detail":{"detail":{"issue":"sign not match"}}}"#;
        assert_eq!(parse(nested).1.detail.unwrap().issue.as_deref(), Some("sign not match"));
    }

    #[test]
    fn every_text_is_one_line() {
        let parsed = parse(br#"{"code":"A\r\nB","message":"a\u2028b\u2029c\u0085d"}"#).1;
        assert_eq!(parsed.code.as_deref(), Some("A  B"));
        assert_eq!(parsed.message.as_deref(), Some("a b c d"));
    }

    #[test]
    fn a_code_is_a_text_in_which_something_stands() {
        for (body, has_code) in [
            (r#"{"code":"PARAM_ERROR"}"#, true),
            (r#"{"code":""}"#, false),
            (r#"{"code":" \u0000\u2028"}"#, false),
            (r#"{"code":404}"#, false),
            (r#"{"code":null}"#, false),
            (r#"{"Code":"PARAM_ERROR"}"#, false),
            (r#"{"message":"no"}"#, false),
            (r#"[{"code":"PARAM_ERROR"}]"#, false),
            ("", false),
        ] {
            assert_eq!(parse(body.as_bytes()).1.has_code(), has_code, "{body}");
        }
    }

    #[test]
    fn odd_types_are_left_out() {
        let parsed = parse(br#"{"code":7,"message":null,"detail":"x"}"#).1;
        assert!(parsed.code.is_none() && parsed.message.is_none() && parsed.detail.is_none());
        let long = format!(r#"{{"code":"{}"}}"#, "x".repeat(5000));
        assert_eq!(parse(long.as_bytes()).1.code.unwrap().len(), 300);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let (kind, parsed) = parse(&body);
            proptest::prop_assert!(kind == ErrorBody::Json || parsed.code.is_none());
        }
    }
}
