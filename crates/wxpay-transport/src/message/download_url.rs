//! URLs of files, as signed responses name them.

use std::fmt;

use http::uri::Authority;
use wxpay_auth::foreign_text;

use crate::message::request_error::RequestError;
use crate::message::target::Target;

/// A download URL: where the file is, and the target exactly as given. It contains a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DownloadUrl {
    pub(crate) is_https: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) target: Target,
}

impl DownloadUrl {
    /// Parses an absolute URL. Path and query are kept byte for byte.
    pub(crate) fn parse(url: &str) -> Result<Self, RequestError> {
        let (scheme, rest) = url.split_once("://").ok_or(RequestError::DownloadUrl)?;
        let is_https = match &*scheme.to_ascii_lowercase() {
            "https" => true,
            "http" => false,
            _ => return Err(RequestError::DownloadUrl),
        };
        // A `?` or `#` before the first slash, or a backslash, is not valid in an authority.
        let (authority, _) = rest.split_once('/').ok_or(RequestError::DownloadUrl)?;
        let target = rest.get(authority.len()..).unwrap_or_default();
        let authority: Authority = authority.parse().map_err(|_| RequestError::DownloadUrl)?;
        if authority.as_str().contains('@') {
            return Err(RequestError::DownloadUrl);
        }
        let default = if is_https { 443 } else { 80 };
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => {
                authority.port_u16().ok_or(RequestError::DownloadUrl)?
            }
            _ => default,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let target = Target::given(target).ok_or(RequestError::DownloadUrl)?;
        if host.is_empty() {
            return Err(RequestError::DownloadUrl);
        }
        Ok(Self { is_https, host, port, target })
    }

    /// Returns scheme, host and port, for errors.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        let host = foreign_text(&self.host, 100, &[]);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("{scheme}://{host}:{}", self.port)
    }
}

/// Omits the query, which contains the token.
impl fmt::Debug for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DownloadUrl({} {:?})", self.origin(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_kept_byte_for_byte() {
        for (url, origin, target) in [
            (
                "https://api.mch.weixin.qq.com/v3/billdownload/file?token=a%2Fb%2fc+d/e==&tartype=gzip",
                "https://api.mch.weixin.qq.com:443",
                "/v3/billdownload/file?token=a%2Fb%2fc+d/e==&tartype=gzip",
            ),
            ("https://API2.mch.weixin.qq.com:8443/?", "https://API2.mch.weixin.qq.com:8443", "/?"),
            ("HTTP://127.0.0.1:80//a//b/?x=1?y|z", "http://127.0.0.1:80", "//a//b/?x=1?y|z"),
            ("http://[::1]:7/a/%2e%2e/b?t='*!", "http://[::1]:7", "/a/%2e%2e/b?t='*!"),
            ("https://[::1]/", "https://[::1]:443", "/"),
        ] {
            let read = DownloadUrl::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!((&*read.origin(), read.target.as_str()), (origin, target));
            assert_eq!(read.target.to_path_and_query().unwrap().as_str(), target);
        }
    }

    #[test]
    fn what_is_no_url_of_a_file_is_refused_and_not_repeated() {
        let long = format!("https://h/{}", "t0ken".repeat(2000));
        for url in [
            "",
            "/v3/billdownload/file?token=t0ken",
            "https:///file?token=t0ken",
            "https://h?token=t0ken",
            "https://h?token=t0ken/x",
            "https://h",
            "https://h#/t0ken",
            "ftp://h/t0ken",
            "https//h/t0ken",
            "https://user:t0ken@h/",
            "https://t0ken@h/",
            "https://h\\@other/t0ken",
            "https://h:/t0ken",
            "https://h:99999/t0ken",
            "https://h:port/t0ken",
            "https://h /t0ken",
            "https://h/t0ken#fragment",
            "https://h/t0ken and more",
            "https://h/t0ken\r\nX: y",
            "https://h/t0ken\u{0}",
            "https://h/文t0ken",
            &long,
        ] {
            let error = DownloadUrl::parse(url).err();
            assert_eq!(error, Some(RequestError::DownloadUrl), "{url:?}");
            let shown = error.map(|e| format!("{e} {e:?}")).unwrap_or_default();
            assert!(!shown.contains("t0ken"), "{shown}");
        }
    }

    #[test]
    fn debug_output_holds_no_token() {
        let url = DownloadUrl::parse("https://h/v3/billdownload/file?token=t0ken").unwrap();
        assert_eq!(
            format!("{url:?}"),
            "DownloadUrl(https://h:443 Target(/v3/billdownload/file?…))"
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_is_sent_as_it_was_given(target in "/[ -~]{0,40}", host in "[a-z0-9.:@\\[\\]-]{0,12}") {
            if let Ok(url) = DownloadUrl::parse(&format!("https://{host}{target}")) {
                proptest::prop_assert_eq!(url.target.as_str(), &target);
                let sent = url.target.to_path_and_query().unwrap();
                proptest::prop_assert_eq!(sent.as_str(), &target);
                proptest::prop_assert!(!url.host.contains('@') && !url.host.is_empty());
            }
        }
    }
}
