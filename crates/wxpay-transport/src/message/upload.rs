//! Files to upload.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::message::hash::sha256_hex;
use crate::message::multipart::{self, FilePart, Form};
use crate::message::request_error::RequestError;

/// A file to upload, for [`Request::upload`](crate::Request::upload).
///
/// The part `meta` is `{"filename":"…","sha256":"…"}` with the SHA-256 of the file, unless it is set by
/// [`meta`](Self::meta).
///
/// ```
/// use wxpay_transport::{Replay, Request, Target, Upload};
///
/// # let png = b"\x89PNG".to_vec();
/// let target = Target::new("/v3/marketing/favor/media/image-upload")?;
/// let upload = Upload::new("logo.png", png).max_bytes(2 << 20);
/// let request = Request::upload("media.image_upload", target, upload)?;
/// assert_eq!(request.replay(), Replay::Never);
/// assert!(request.signed_body().starts_with(br#"{"filename":"logo.png","sha256":""#));
/// # Ok::<(), wxpay_transport::RequestError>(())
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012365863>
#[derive(Clone)]
pub struct Upload {
    file_name: String,
    file: Bytes,
    /// `None` is by the extension of the file name.
    media_type: Option<String>,
    /// `None` is the usual one.
    meta: Option<Bytes>,
    max_bytes: usize,
    max_file_name: usize,
}

/// Default for the size of a file, in bytes. The largest documented one has 7.5 MB.
const MAX_BYTES: usize = 10 << 20;

/// Default for the length of a file name, in characters: the shortest of the documented limits.
const MAX_FILE_NAME: usize = 128;

/// The usual part `meta`.
#[derive(Serialize)]
struct Meta<'a> {
    filename: &'a str,
    sha256: &'a str,
}

impl Upload {
    /// Creates an upload of a file with this name, such as `logo.png`: printable ASCII, without quotes, slashes and
    /// backslashes. Nothing is checked yet.
    ///
    /// The media type follows from the extension: `jpg`, `jpeg`, `png`, `bmp` or `pdf`. Set it with
    /// [`media_type`](Self::media_type) for another one.
    pub fn new(file_name: impl Into<String>, file: impl Into<Bytes>) -> Self {
        Self {
            file_name: file_name.into(),
            file: file.into(),
            media_type: None,
            meta: None,
            max_bytes: MAX_BYTES,
            max_file_name: MAX_FILE_NAME,
        }
    }

    /// Sets the media type of the part `file`, such as `image/png`.
    #[must_use]
    pub fn media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }

    /// Sets the part `meta`: a JSON object, of which exactly these bytes are signed and sent.
    ///
    /// Whether it fits the file is not checked. WeChat Pay refuses a file name or a hash that does not.
    #[must_use]
    pub fn meta(mut self, meta: impl Into<Bytes>) -> Self {
        self.meta = Some(meta.into());
        self
    }

    /// Sets the maximum size of the file, in bytes: that of the interface. The default is 10 MiB.
    ///
    /// The body is built in memory, and contains the file once more.
    #[must_use]
    pub fn max_bytes(mut self, limit: usize) -> Self {
        self.max_bytes = limit;
        self
    }

    /// Sets the maximum length of the file name, in characters. The default is 128; the upload of product coupon
    /// images allows 150.
    #[must_use]
    pub fn max_file_name(mut self, limit: usize) -> Self {
        self.max_file_name = limit;
        self
    }

    /// Checks the file, and builds the body.
    pub(crate) fn encode(self) -> Result<(Form, Bytes), RequestError> {
        let length = self.file.len();
        if length == 0 {
            return Err(RequestError::EmptyFile);
        }
        if length > self.max_bytes {
            return Err(RequestError::FileTooLarge { length, limit: self.max_bytes });
        }
        require_file_name(&self.file_name, self.max_file_name)?;
        let media_type = match &self.media_type {
            Some(media_type) if is_media_type(media_type) => media_type,
            Some(_) => return Err(RequestError::MediaType),
            None => of_extension(&self.file_name).ok_or(RequestError::MediaType)?,
        };
        let meta = match self.meta {
            Some(meta) if is_object(&meta) => meta,
            Some(_) => return Err(RequestError::Meta),
            None => {
                let sha256 = sha256_hex(&self.file);
                let meta = Meta { filename: &self.file_name, sha256: &sha256 };
                serde_json::to_vec(&meta).map_err(|_| RequestError::Meta)?.into()
            }
        };
        let file = FilePart { name: &self.file_name, media_type, content: &self.file };
        Ok(multipart::encoded(meta, file))
    }
}

/// Omits the content.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("file", &format_args!("[{} bytes]", self.file.len()))
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

fn require_file_name(name: &str, limit: usize) -> Result<(), RequestError> {
    let fits = |b: &u8| (b.is_ascii_graphic() || *b == b' ') && !br#""\/"#.contains(b);
    if let Some(position) = name.bytes().position(|b| !fits(&b)) {
        return Err(RequestError::FileNameCharacter { position });
    }
    if name.is_empty() || name.len() > limit {
        return Err(RequestError::FileNameLength { length: name.len(), limit });
    }
    Ok(())
}

/// Returns the media type of a file that WeChat Pay documents.
fn of_extension(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match &*extension.to_ascii_lowercase() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        _ => return None,
    })
}

/// Returns whether a text is a type and a subtype, without parameters.
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !part.is_empty() && part.bytes().all(fits)
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Returns whether some bytes are a JSON object. A repeated member is left to the server.
fn is_object(json: &[u8]) -> bool {
    let is_json = serde_json::from_slice::<IgnoredAny>(json).is_ok();
    is_json && serde_json::from_slice(json).is_ok_and(|value: Value| value.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGO: &[u8] = b"\x89PNG\r\n";

    fn refused(upload: Upload) -> RequestError {
        upload.encode().err().expect("it is refused")
    }

    #[test]
    fn the_usual_meta_has_name_and_hash_without_blanks() {
        let (form, body) = Upload::new("logo.png", LOGO).encode().unwrap();
        let meta = format!(r#"{{"filename":"logo.png","sha256":"{}"}}"#, sha256_hex(LOGO));
        assert_eq!(form.meta, meta);
        let occurs = body.windows(meta.len()).filter(|window| *window == meta.as_bytes()).count();
        assert_eq!(occurs, 1, "what is signed is what is sent");
    }

    #[test]
    fn a_meta_of_its_own_is_signed_and_sent_as_it_is() {
        let meta = "{ \"filename\": \"a\",\n \"sha256\": \"b\"}";
        let (form, body) = Upload::new("logo.png", LOGO).meta(meta).encode().unwrap();
        assert_eq!(form.meta, meta);
        assert!(body.windows(meta.len()).any(|window| window == meta.as_bytes()));
        for other in ["", "x", "[1]", "\"x\"", "{", "{} {}"] {
            let upload = Upload::new("logo.png", LOGO).meta(other);
            assert_eq!(refused(upload), RequestError::Meta, "{other:?}");
        }
    }

    #[test]
    fn what_cannot_be_uploaded_is_refused() {
        assert_eq!(refused(Upload::new("logo.png", "")), RequestError::EmptyFile);
        let upload = |most| Upload::new("logo.png", LOGO).max_bytes(most);
        assert!(upload(LOGO.len()).encode().is_ok());
        let limit = LOGO.len() - 1;
        assert_eq!(
            refused(upload(limit)),
            RequestError::FileTooLarge { length: LOGO.len(), limit }
        );
        let large = vec![0; MAX_BYTES + 1];
        assert!(matches!(
            refused(Upload::new("logo.png", large)),
            RequestError::FileTooLarge { limit: MAX_BYTES, .. }
        ));
    }

    #[test]
    fn a_file_name_is_printable_ascii_without_what_ends_it() {
        for (name, position) in [
            ("a\"b.png", 1),
            ("a\r\nb.png", 1),
            ("a\nb.png", 1),
            ("\0.png", 0),
            ("a/b.png", 1),
            ("..\\b.png", 2),
            ("logo\u{7f}.png", 4),
            ("图.png", 0),
        ] {
            let refused = refused(Upload::new(name, LOGO));
            assert_eq!(refused, RequestError::FileNameCharacter { position }, "{name:?}");
        }
        let limit = MAX_FILE_NAME;
        let long = |length: usize| Upload::new(format!("{}.png", "a".repeat(length - 4)), LOGO);
        assert!(long(limit).encode().is_ok());
        let length = limit + 1;
        assert_eq!(refused(long(length)), RequestError::FileNameLength { length, limit });
        assert!(long(150).max_file_name(150).encode().is_ok());
        assert_eq!(
            refused(Upload::new("", LOGO)),
            RequestError::FileNameLength { length: 0, limit }
        );
        assert!(Upload::new("a b;(1)'=%.png", LOGO).encode().is_ok());
    }

    #[test]
    fn the_media_type_follows_from_the_extension_or_is_set() {
        let written = |upload: Upload| {
            let (_, body) = upload.encode()?;
            let body = String::from_utf8_lossy(&body).into_owned();
            let mut types = body.lines().filter_map(|line| line.strip_prefix("Content-Type: "));
            Ok::<_, RequestError>(types.next_back().unwrap_or_default().to_owned())
        };
        for (name, media_type) in [
            ("a.jpg", "image/jpeg"),
            ("a.JPEG", "image/jpeg"),
            ("a.b.Png", "image/png"),
            ("a.bmp", "image/bmp"),
            ("a.pdf", "application/pdf"),
        ] {
            assert_eq!(written(Upload::new(name, LOGO)).as_deref(), Ok(media_type), "{name}");
        }
        for name in ["logo", "logo.gif", "logo.", "png"] {
            assert_eq!(written(Upload::new(name, LOGO)), Err(RequestError::MediaType), "{name}");
            let set = Upload::new(name, LOGO).media_type("image/gif");
            assert_eq!(written(set).as_deref(), Ok("image/gif"));
        }
        for wrong in ["", "image", "image/", "/png", "image/png\r\nX: y", "image/png; a=b", "a b/c"]
        {
            let upload = Upload::new("logo.png", LOGO).media_type(wrong);
            assert_eq!(written(upload), Err(RequestError::MediaType), "{wrong:?}");
        }
    }

    #[test]
    fn debug_output_holds_no_content() {
        let upload = Upload::new("name-of-somebody.png", "content of somebody");
        let shown = format!("{upload:?} {upload:#?}");
        assert!(!shown.contains("somebody") && shown.contains("[19 bytes]"), "{shown}");
    }
}
