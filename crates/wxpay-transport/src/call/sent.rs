//! What was sent, so that it is not shown when a response repeats it.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::percent_decode;
use serde_json::Value;
use wxpay_auth::{Algorithm, Identity, Nonce, Signature, Timestamp, authorization};

use crate::message::secrets::Secrets;

/// Minimum length, in characters, of a body value that is redacted. Shorter ones, such as a plan number,
/// are often what an error is about.
const LONG: usize = 16;

/// Keeps what was signed until the response is read. Copies nothing.
pub(crate) struct Sent {
    pub(crate) message: Vec<u8>,
    pub(crate) nonce: Nonce,
    pub(crate) timestamp: Timestamp,
    pub(crate) algorithm: Algorithm,
    pub(crate) signature: Signature,
}

impl Sent {
    /// Collects what must not be shown, for responses that end in an error.
    pub(crate) fn secrets(&self, identity: &Identity, headers: &HeaderMap) -> Secrets {
        let Self { message, nonce, timestamp, algorithm, signature } = self;
        let written = authorization(identity, *algorithm, nonce, *timestamp, signature);
        // Without a header, nothing was sent.
        let mut secrets = vec![written.unwrap_or_default()];
        let headers = headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()));
        // The second line is the target.
        let target = message.split(|b| *b == b'\n').nth(1).unwrap_or_default();
        let query = target.splitn(2, |b| *b == b'?').nth(1).unwrap_or_default();
        let values =
            query.split(|b| *b == b'&').filter_map(|pair| pair.splitn(2, |b| *b == b'=').last());
        let values = values.map(|value| percent_decode(value).decode_utf8_lossy());
        let long = headers.chain(values).filter(|text| text.chars().count() >= LONG);
        secrets.extend(long.map(Cow::into_owned));
        // The fifth line is the body.
        let body = message.splitn(5, |b| *b == b'\n').nth(4).unwrap_or_default();
        let body = body.strip_suffix(b"\n").unwrap_or(body);
        match serde_json::from_slice(body) {
            Ok(body) => texts(body, &mut secrets),
            Err(_) => secrets.push(String::from_utf8_lossy(body).into_owned()),
        }
        Secrets::new(&secrets)
    }
}

/// Collects the string values of a body, but not its member names, which errors mention.
fn texts(body: Value, secrets: &mut Vec<String>) {
    match body {
        Value::String(text) if text.chars().count() >= LONG => secrets.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| texts(item, secrets)),
        Value::Object(members) => {
            members.into_iter().for_each(|(_, member)| texts(member, secrets));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth::{Mchid, SerialNo, request_message};

    use super::*;

    fn sent(body: &str) -> (Secrets, String) {
        sent_to("/v3/x", body)
    }

    fn sent_to(target: &str, body: &str) -> (Secrets, String) {
        let identity = Identity::Merchant(Mchid::new("1900007291").unwrap());
        let serial_no = SerialNo::new("408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB").unwrap();
        let bytes = (0..=255_u8).map(|n| n.wrapping_mul(n)).collect();
        let (nonce, timestamp) = (
            Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap(),
            Timestamp::from_unix_secs(1_554_208_460),
        );
        let message = request_message("POST", target, timestamp, nonce.as_str(), body.as_bytes());
        let algorithm = Algorithm::Sha256Rsa2048;
        let signature = Signature::new(serial_no, bytes);
        let sent = Sent { message, nonce, timestamp, algorithm, signature };
        let written =
            authorization(&identity, algorithm, &nonce, timestamp, &sent.signature).unwrap();
        (sent.secrets(&identity, &HeaderMap::new()), written)
    }

    #[test]
    fn what_was_sent_is_not_shown() {
        let body =
            r#"{"to":["a-name-that-is-long"],"a_long_name_of_a_field":"1","plan_id":"12000"}"#;
        let (secrets, authorization) = sent(body);
        let said = format!("got {authorization}");
        assert_eq!(secrets.shown(&said), "got […]");
        assert_eq!(secrets.shown("no name a-name-that-is-long"), "no name […]");
        let about = "a_long_name_of_a_field of 12000 is wrong";
        assert_eq!(secrets.shown(about), about, "what an error is about is told");
        let (secrets, _) = sent("no JSON, and long enough");
        assert_eq!(secrets.shown("got no JSON, and long enough"), "got […]");
        assert_eq!(secrets.shown_within("got that", 3), "got");
        assert_eq!(sent("").0.shown("got that"), "got that");
    }

    #[test]
    fn a_path_is_shown_and_long_values_of_its_query_are_not() {
        const PATH: &str = "/v3/a/path/that/is/long";
        assert_eq!(sent_to(PATH, "").0.shown(PATH), PATH);
        let (secrets, _) = sent_to("/v3/a/path/that/is/long?name=a-name-that-is-long", "");
        assert_eq!(
            secrets.shown("a-name-that-is-long of /v3/a/path/that/is/long"),
            "[…] of /v3/a/path/that/is/long"
        );
    }
}
