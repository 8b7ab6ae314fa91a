//! Requests, as far as the server parses them.

use wxpay_benchmarks::Result;

/// A complete request.
#[derive(Debug)]
pub(crate) struct Request<'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    pub(crate) authorization: Option<&'b str>,
    /// `Wechatpay-Serial`: the key that the client wants the response to be signed with.
    pub(crate) serial: Option<&'b str>,
    pub(crate) body: Vec<u8>,
    /// Number of bytes it took on the connection.
    pub(crate) length: usize,
}

impl<'b> Request<'b> {
    /// Parses a request; `None` if it is incomplete.
    pub(crate) fn parse(bytes: &'b [u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = parsed.parse(bytes)? else { return Ok(None) };
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err("it has no request line".into());
        };
        let header = |name: &str| {
            let found = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let rest = &bytes[head..];
        let body = if header("transfer-encoding").is_some() {
            chunked(rest)?
        } else {
            let length = header("content-length").map_or(Ok(0), str::parse)?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        };
        let Some((body, body_length)) = body else { return Ok(None) };
        Ok(Some(Self {
            method,
            target,
            authorization: header("authorization"),
            serial: header("wechatpay-serial"),
            body,
            length: head + body_length,
        }))
    }
}

/// Returns the body, and the number of bytes it took.
fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..]).map_err(|e| e.to_string())?;
        let httparse::Status::Complete((line, size)) = parsed else { return Ok(None) };
        let start = at + line;
        let end = start + usize::try_from(size)?;
        let (Some(chunk), Some(_)) = (bytes.get(start..end), bytes.get(end..end + 2)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        at = end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_when_all_of_it_is_there() {
        let bytes = b"POST /v3/x HTTP/1.1\r\nContent-Length: 2\r\nAUTHORIZATION: a\r\n\r\n{}POST";
        let whole = bytes.len() - 4;
        assert!((0..whole).all(|end| Request::parse(&bytes[..end]).unwrap().is_none()));
        let request = Request::parse(bytes).unwrap().unwrap();
        assert_eq!((request.method, request.target), ("POST", "/v3/x"));
        assert_eq!((request.authorization, request.serial), (Some("a"), None));
        assert_eq!((request.body.as_slice(), request.length), (&b"{}"[..], whole));
    }

    #[test]
    fn chunks_are_joined() {
        let head = "POST /v3/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = format!("{head}2\r\n{{}}\r\n1\r\n \r\n0\r\n\r\n");
        assert!(
            (0..bytes.len()).all(|end| Request::parse(&bytes.as_bytes()[..end]).unwrap().is_none())
        );
        let request = Request::parse(bytes.as_bytes()).unwrap().unwrap();
        assert_eq!((request.body.as_slice(), request.length), (&b"{} "[..], bytes.len()));
    }
}
