//! Bodies of uploads: `multipart/form-data` with the parts `meta` and `file`.

use bytes::Bytes;
use http::HeaderValue;

use crate::message::hash::sha256_hex;

/// What is known of a body that is not JSON.
#[derive(Clone)]
pub(crate) struct Form {
    /// The content of the part `meta`: exactly these bytes are signed.
    pub(crate) meta: Bytes,
    /// `multipart/form-data` with the boundary.
    pub(crate) content_type: HeaderValue,
}

/// The part `file`.
#[derive(Clone, Copy)]
pub(crate) struct FilePart<'a> {
    /// Printable ASCII, without quotes.
    pub(crate) name: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) content: &'a [u8],
}

/// Builds a body, and returns it with what is known of it.
///
/// The parts are written as RFC 7578 says. The examples of WeChat Pay have a `;` more at the end of a
/// `Content-Disposition`, which that grammar does not allow and other official clients do not send.
pub(crate) fn encoded(meta: Bytes, file: FilePart<'_>) -> (Form, Bytes) {
    let seed = sha256_hex(file.content);
    let candidates = (0_u64..).map(|n| boundary(n, &seed, &meta));
    let boundary = first_free(candidates, [&meta, file.content]);
    let FilePart { name, media_type, content } = file;
    let meta_head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"meta\"\r\n\
         Content-Type: application/json\r\n\r\n"
    );
    let file_head = format!(
        "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {media_type}\r\n\r\n"
    );
    let end = format!("\r\n--{boundary}--\r\n");
    let parts = [meta_head.as_bytes(), &meta, file_head.as_bytes(), content, end.as_bytes()];
    let body = parts.concat();
    #[expect(clippy::expect_used, reason = "a boundary consists of ASCII letters and digits")]
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))
        .expect("a header value");
    (Form { meta, content_type }, body.into())
}

/// Returns a boundary that follows from the content, so that an attempt sends the same bytes as the one before.
fn boundary(n: u64, seed: &str, meta: &[u8]) -> String {
    let digits = sha256_hex(&[seed.as_bytes(), &n.to_be_bytes(), meta].concat());
    format!("wxpay{}", digits.get(..32).unwrap_or_default())
}

/// Returns the first boundary that occurs in none of the parts. Parts of finite length contain a finite number of them.
fn first_free(mut candidates: impl Iterator<Item = String>, parts: [&[u8]; 2]) -> String {
    let is_free = |boundary: &String| parts.iter().all(|part| !contains(part, boundary.as_bytes()));
    candidates.find(is_free).unwrap_or_default()
}

/// Returns whether some bytes occur in others.
fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window.first() == wanted.first() && window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &[u8] = br#"{"filename":"logo.png","sha256":"00"}"#;

    fn encode(content: &[u8]) -> (Form, Bytes) {
        let file = FilePart { name: "logo.png", media_type: "image/png", content };
        encoded(Bytes::from_static(META), file)
    }

    fn boundary_of(form: &Form) -> String {
        let content_type = form.content_type.to_str().unwrap();
        content_type.strip_prefix("multipart/form-data; boundary=").unwrap().to_owned()
    }

    #[test]
    fn every_line_ends_with_cr_and_lf() {
        let (form, body) = encode(b"\x89PNG\n\r\0");
        let boundary = boundary_of(&form);
        let written = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"meta\"\r\n\
             Content-Type: application/json\r\n\r\n\
             {{\"filename\":\"logo.png\",\"sha256\":\"00\"}}\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"logo.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        let end = format!("\r\n--{boundary}--\r\n");
        assert_eq!(body, [written.as_bytes(), b"\x89PNG\n\r\0", end.as_bytes()].concat());
        assert_eq!(form.meta, META);
    }

    #[test]
    fn a_boundary_follows_from_the_content() {
        let (one, same, other) = (encode(b"1").0, encode(b"1").0, encode(b"2").0);
        assert_eq!(boundary_of(&one), boundary_of(&same));
        assert_ne!(boundary_of(&one), boundary_of(&other));
        let boundary = boundary_of(&one);
        // RFC 2046 allows 70 characters.
        assert!((30..=70).contains(&boundary.len()), "{boundary}");
        assert!(boundary.bytes().all(|b| b.is_ascii_alphanumeric()), "{boundary}");
    }

    #[test]
    fn a_boundary_does_not_occur_in_the_parts() {
        let candidates = || ["first", "second", "third"].map(str::to_owned).into_iter();
        for (parts, free) in [
            ([&b"firs"[..], b"irst"], "first"),
            ([b"--first--", b""], "second"),
            ([b"", b"first"], "second"),
            ([b"x second", b"\0first"], "third"),
        ] {
            assert_eq!(first_free(candidates(), parts), free);
        }
        let boundaries = (0..100).map(|n| boundary(n, "seed", META));
        let different: std::collections::HashSet<_> = boundaries.collect();
        assert_eq!(different.len(), 100, "there is always another one");
    }
}
