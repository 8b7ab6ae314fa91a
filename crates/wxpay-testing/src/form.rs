//! Bodies of uploads, read as strictly as the documentation describes them.
//!
//! Every line ends with CR and LF, an empty line separates the headers of a part from its content, and the last line
//! is the boundary between two times `--`. The parts may come in any order.
//!
//! Source: <https://pay.weixin.qq.com/doc/v3/partner/4012759802>, <https://www.rfc-editor.org/rfc/rfc7578>

/// The parts of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form<'a> {
    /// Exactly these bytes are signed.
    pub(crate) meta: &'a [u8],
    pub(crate) file_name: &'a str,
    pub(crate) file: &'a [u8],
}

/// The longest boundary that RFC 2046 allows.
const LONGEST_BOUNDARY: usize = 70;

impl<'a> Form<'a> {
    /// Reads the value of a `Content-Type`, and a body. The error says what is wrong.
    pub(crate) fn parse(content_type: &'a str, body: &'a [u8]) -> Result<Self, &'static str> {
        let boundary = boundary(content_type).ok_or("there is no usable boundary")?;
        let (mut meta, mut file) = (None, None);
        for part in parts(body, boundary)? {
            let (name, file_name, content) = read_part(part)?;
            let is_double = match name {
                "meta" => meta.replace(content).is_some(),
                "file" => {
                    let file_name = file_name.ok_or("the part file has no filename")?;
                    file.replace((file_name, content)).is_some()
                }
                _ => return Err("there is a part that is neither meta nor file"),
            };
            if is_double {
                return Err("a part occurs twice");
            }
        }
        let meta = meta.ok_or("the part meta is missing")?;
        let (file_name, file) = file.ok_or("the part file is missing")?;
        Ok(Self { meta, file_name, file })
    }
}

/// Returns whether a `Content-Type` is that of an upload.
pub(crate) fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("multipart/form-data")
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).map(str::trim);
    let mut boundaries = parameters.filter_map(|p| p.strip_prefix("boundary="));
    let (boundary, None) = (boundaries.next()?, boundaries.next()) else { return None };
    let boundary = unquoted(boundary);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b);
    let is_usable = (1..=LONGEST_BOUNDARY).contains(&boundary.len()) && boundary.bytes().all(fits);
    is_usable.then_some(boundary)
}

/// Splits a body into its parts.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, &'static str> {
    let (first, next) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
    let mut rest =
        body.strip_prefix(first.as_bytes()).ok_or("it does not begin with a boundary")?;
    let mut parts = Vec::new();
    loop {
        let end = find(rest, next.as_bytes()).ok_or("it does not end with a boundary")?;
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        let behind = behind.get(next.len()..).unwrap_or_default();
        match behind {
            b"--\r\n" | b"--" => return Ok(parts),
            [b'\r', b'\n', more @ ..] => rest = more,
            _ => return Err("something follows a boundary on its line"),
        }
    }
}

/// Reads the headers of a part; returns its name, its file name, and its content.
fn read_part(part: &[u8]) -> Result<(&str, Option<&str>, &[u8]), &'static str> {
    let end = find(part, b"\r\n\r\n").ok_or("no empty line ends the headers of a part")?;
    let (head, content) = part.split_at(end);
    let content = content.get(4..).unwrap_or_default();
    let head = str::from_utf8(head).map_err(|_| "the headers of a part are not text")?;
    let mut disposition = None;
    for line in head.split("\r\n") {
        if line.contains(['\r', '\n']) {
            return Err("a line does not end with CR and LF");
        }
        let (name, value) = line.split_once(':').ok_or("a header of a part has no colon")?;
        if name.eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value.trim());
        }
    }
    let disposition = disposition.ok_or("a part has no Content-Disposition")?;
    // The examples of WeChat Pay have another `;` at the end.
    let mut parameters = disposition.trim_end_matches(';').split(';').map(str::trim);
    if parameters.next() != Some("form-data") {
        return Err("a part is not form-data");
    }
    let (mut name, mut file_name) = (None, None);
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("name", value)) => name = Some(unquoted(value)),
            Some(("filename", value)) => file_name = Some(unquoted(value)),
            _ => return Err("a parameter of a Content-Disposition is not known"),
        }
    }
    Ok((name.ok_or("a part has no name")?, file_name, content))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=b0undary";
    const META: &str = "--b0undary\r\nContent-Disposition: form-data; name=\"meta\";\r\n\
                        Content-Type: application/json\r\n\r\n{\"a\":\"\r\n\"}\r\n";
    const FILE: &str = "--b0undary\r\nContent-Disposition: form-data; name=\"file\"; \
                        filename=\"a.png\";\r\nContent-Type: image/png\r\n\r\n\r\n\r\n--x\r\n\r\n";
    const END: &str = "--b0undary--\r\n";

    #[test]
    fn the_parts_are_read_in_any_order_with_all_of_their_bytes() {
        let form = Form { meta: b"{\"a\":\"\r\n\"}", file_name: "a.png", file: b"\r\n\r\n--x\r\n" };
        for body in [[META, FILE, END].concat(), [FILE, META, END].concat()] {
            assert_eq!(Form::parse(TYPE, body.as_bytes()), Ok(form));
            let quoted = "multipart/form-data; charset=utf-8; boundary=\"b0undary\"";
            assert_eq!(Form::parse(quoted, body.as_bytes()), Ok(form));
        }
    }

    #[test]
    fn what_is_not_as_documented_is_told() {
        let body = [META, FILE, END].concat();
        let changed = |from: &str, to: &str| body.replacen(from, to, 1);
        for (body, says) in [
            (changed("--b0undary\r\n", "\r\n--b0undary\r\n"), "it does not begin with a boundary"),
            (changed("--b0undary\r\n", "--b0undary\n"), "it does not begin with a boundary"),
            (changed(END, ""), "it does not end with a boundary"),
            (changed(END, "--b0undary--\r\nmore"), "something follows a boundary on its line"),
            (
                changed("\";\r\nContent-Type", "\";\nContent-Type"),
                "a line does not end with CR and LF",
            ),
            (changed("json\r\n\r\n", "json\r\n"), "no empty line ends the headers of a part"),
            (changed("form-data;", "attachment;"), "a part is not form-data"),
            (
                changed("name=\"meta\"", "x=\"meta\""),
                "a parameter of a Content-Disposition is not known",
            ),
            (changed("; name=\"meta\"", ""), "a part has no name"),
            (
                changed("name=\"meta\"", "name=\"data\""),
                "there is a part that is neither meta nor file",
            ),
            (changed("Content-Disposition", "X"), "a part has no Content-Disposition"),
            (changed("; filename=\"a.png\"", ""), "the part file has no filename"),
            ([META, END].concat(), "the part file is missing"),
            ([FILE, END].concat(), "the part meta is missing"),
            ([META, META, FILE, END].concat(), "a part occurs twice"),
        ] {
            assert_eq!(Form::parse(TYPE, body.as_bytes()), Err(says), "{body}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b0undary",
            "multipart/form-data; boundary=b0 undary",
        ] {
            let refused = Form::parse(content_type, body.as_bytes());
            assert_eq!(refused, Err("there is no usable boundary"), "{content_type}");
        }
    }
}
