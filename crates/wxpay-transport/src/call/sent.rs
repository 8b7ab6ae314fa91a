//! What was sent, so that it is not shown when a response repeats it.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use serde_json::Value;
use wxpay_auth::{Algorithm, Identity, Nonce, Signature, Timestamp, authorization};

use crate::message::request::Request;
use crate::message::secrets::Secrets;

/// Minimum length, in characters, of a body value that is redacted. Shorter ones, such as a plan number,
/// are often what an error is about.
const LONG: usize = 16;

/// The same of a value in a query that contains a token.
const TOKEN: usize = 8;

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
    pub(crate) fn secrets(&self, identity: &Identity, request: &Request) -> Secrets {
        let Self { message, nonce, timestamp, algorithm, signature } = self;
        let written = authorization(identity, *algorithm, nonce, *timestamp, signature);
        // Without a header, nothing was sent.
        let mut secrets = vec![written.unwrap_or_default()];
        let headers = request.headers().values();
        let headers = headers.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let headers = headers.filter(|text| text.chars().count() >= LONG);
        // The second line is the target.
        let target = message.split(|b| *b == b'\n').nth(1).unwrap_or_default();
        let query = target.splitn(2, |b| *b == b'?').nth(1).unwrap_or_default();
        let values =
            query.split(|b| *b == b'&').filter_map(|pair| pair.splitn(2, |b| *b == b'=').last());
        let values = values.map(|value| percent_decode(value).decode_utf8_lossy());
        let shortest = if request.has_secret_query() { TOKEN } else { LONG };
        let values = values.filter(|text| text.chars().count() >= shortest);
        secrets.extend(headers.chain(values).map(Cow::into_owned));
        if request.is_upload() {
            secrets.extend(texts_within(request.body()).map(str::to_owned));
        }
        // The fifth line is the body, or the signed part of it.
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

/// Returns the texts in a body that was not signed, such as a file: its long lines that are UTF-8.
fn texts_within(body: &[u8]) -> impl Iterator<Item = &str> {
    let lines = body.utf8_chunks().flat_map(|chunk| chunk.valid().split(char::is_control));
    lines.filter(|line| line.chars().count() >= LONG)
}

#[cfg(test)]
mod tests {
    use wxpay_auth::{Mchid, SerialNo, request_message};

    use super::*;
    use crate::message::target::Target;
    use crate::message::upload::Upload;

    fn sent(body: &str) -> (Secrets, String) {
        sent_to("/v3/x", body)
    }

    fn sent_to(target: &str, body: &str) -> (Secrets, String) {
        let target = Target::new(target).unwrap();
        sent_as(&Request::post("x", target).with_body(body.to_owned()))
    }

    fn sent_as(request: &Request) -> (Secrets, String) {
        let identity = Identity::Merchant(Mchid::new("1900007291").unwrap());
        let serial_no = SerialNo::new("408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB").unwrap();
        let bytes = (0..=255_u8).map(|n| n.wrapping_mul(n)).collect();
        let (nonce, timestamp) = (
            Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap(),
            Timestamp::from_unix_secs(1_554_208_460),
        );
        let (target, body) = (request.target().as_str(), request.signed_body());
        let message = request_message("POST", target, timestamp, nonce.as_str(), body);
        let algorithm = Algorithm::Sha256Rsa2048;
        let signature = Signature::new(serial_no, bytes);
        let sent = Sent { message, nonce, timestamp, algorithm, signature };
        let written =
            authorization(&identity, algorithm, &nonce, timestamp, &sent.signature).unwrap();
        (sent.secrets(&identity, request), written)
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

    #[test]
    fn a_token_in_a_query_is_not_shown_however_short() {
        let get = || {
            let target = Target::new("/v3/x?token=aZ09%2Bbc1&tartype=gzip").unwrap();
            Request::get("x", target)
        };
        let said = "no token aZ09+bc1, or aZ09%2Bbc1, for gzip";
        assert_eq!(sent_as(&get()).0.shown(said), said);
        let shown = sent_as(&get().with_secret_query()).0.shown(said);
        assert_eq!(shown, "no token […], or […], for gzip");
    }

    #[test]
    fn nothing_of_a_file_is_shown_though_it_was_not_signed() {
        let file = b"\xff\xd8\0Exif\0the address of a somebody\0\xff\xfe\nsmall\n".as_slice();
        let upload = Upload::new("photo-of-somebody.jpg", file);
        let request = Request::upload("x", Target::new("/v3/x").unwrap(), upload).unwrap();
        let (secrets, _) = sent_as(&request);
        for (said, shown) in [
            ("found the address of a somebody in it", "found […] in it"),
            ("photo-of-somebody.jpg is no image", "[…] is no image"),
            ("small", "small"),
        ] {
            assert_eq!(secrets.shown(said), shown);
        }
        let body = String::from_utf8_lossy(request.body());
        let shown = secrets.shown(&body);
        assert!(!shown.contains("somebody"), "{shown}");
    }
}
