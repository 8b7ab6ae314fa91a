//! Where requests go: scheme, host and port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

use crate::error::ConfigError;

/// The origin of WeChat Pay, or of a gateway in its place: `https://host` or `https://host:port`.
///
/// It has no path, because the path is signed as the server sees it.
///
/// Plain `http` is for this machine only (`127.0.0.0/8`, `[::1]`, `localhost`), unless
/// [`dangerous_plain_http`](BaseUrl::dangerous_plain_http) is used. It never goes through a proxy, and its
/// `localhost` is `127.0.0.1` and `[::1]`, whatever a name server or a [`Resolve`](crate::Resolve) says.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    authority: Authority,
    tls: bool,
}

impl BaseUrl {
    /// The main domain (主域名).
    pub const MAIN: &str = "https://api.mch.weixin.qq.com";

    /// The standby domain (备域名), at a remote access point.
    pub const STANDBY: &str = "https://api2.mch.weixin.qq.com";

    /// Parses an origin.
    ///
    /// # Errors
    /// [`ConfigError`] if it is not a URL, has a scheme other than `https` (or `http` on this
    /// machine), or has a user, a path, a query or a fragment.
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        let base = Self::dangerous_plain_http(url)?;
        if base.tls || base.is_loopback() { Ok(base) } else { Err(ConfigError::PlainHttp) }
    }

    /// Parses an origin, and allows plain `http` to any host.
    ///
    /// Dangerous: no signature covers the status of a response, nor which request it answers. Without
    /// TLS, anyone on the network path can swap responses. Use it only if something else protects that
    /// path, such as a sidecar that adds TLS.
    ///
    /// # Errors
    /// As [`BaseUrl::new`], except for plain `http`.
    pub fn dangerous_plain_http(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        let url = url.as_ref();
        let uri: Uri = url.parse().map_err(|_| ConfigError::MalformedUrl)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ConfigError::Scheme),
        };
        let authority = uri.authority().ok_or(ConfigError::MalformedUrl)?.clone();
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !url.contains('#');
        if !bare || authority.as_str().contains('@') {
            return Err(ConfigError::NotAnOrigin);
        }
        let port_is_good = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => authority.port_u16().is_some_and(|p| p != 0),
            _ => true,
        };
        if !is_host(authority.host()) || !port_is_good {
            return Err(ConfigError::MalformedUrl);
        }
        Ok(Self { authority, tls })
    }

    /// Returns the host, without brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Returns whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.tls
    }

    /// Returns host and port as written in the `Host` header.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn is_loopback(&self) -> bool {
        match self.host().parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host().eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Returns whether a text is a host name or an address. The URL parser accepts other texts, to which no
/// connection is possible.
pub(crate) fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !host.is_empty() && host.bytes().all(fits)
}

/// Joins host and port, with brackets around an IPv6 address.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl FromStr for BaseUrl {
    type Err = ConfigError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read() {
        for (url, host, port) in [
            (BaseUrl::MAIN, "api.mch.weixin.qq.com", 443),
            (BaseUrl::STANDBY, "api2.mch.weixin.qq.com", 443),
            ("https://a.example/", "a.example", 443),
            ("https://a.example:8443", "a.example", 8443),
            ("http://127.0.0.1:18080", "127.0.0.1", 18080),
            ("http://127.9.9.9", "127.9.9.9", 80),
            ("http://localhost:1", "localhost", 1),
            ("http://[::1]:8080", "::1", 8080),
            ("https://[2001:db8::1]", "2001:db8::1", 443),
        ] {
            let base = BaseUrl::new(url).unwrap();
            assert_eq!((base.host(), base.port()), (host, port), "{url}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in [
            "http://api.mch.weixin.qq.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0",
        ] {
            assert_eq!(BaseUrl::new(url), Err(ConfigError::PlainHttp), "{url}");
            assert!(BaseUrl::dangerous_plain_http(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (url, error) in [
            ("", ConfigError::MalformedUrl),
            ("api.mch.weixin.qq.com", ConfigError::Scheme),
            ("/v3", ConfigError::Scheme),
            ("ftp://a.example", ConfigError::Scheme),
            ("https://", ConfigError::MalformedUrl),
            ("https://a b", ConfigError::MalformedUrl),
            ("https://a.example:0", ConfigError::MalformedUrl),
            ("https://a(b.example", ConfigError::MalformedUrl),
            ("https://a%25.example", ConfigError::MalformedUrl),
            ("https://a[::1%]", ConfigError::MalformedUrl),
            ("https://[::g]", ConfigError::MalformedUrl),
            ("https://[127.0.0.1]", ConfigError::MalformedUrl),
            ("https://a.example:99999", ConfigError::MalformedUrl),
            ("https://user:pw@a.example", ConfigError::NotAnOrigin),
            ("https://a.example/v3", ConfigError::NotAnOrigin),
            ("https://a.example?x=1", ConfigError::NotAnOrigin),
            ("https://a.example#x", ConfigError::NotAnOrigin),
        ] {
            assert_eq!(BaseUrl::new(url), Err(error), "{url}");
        }
    }
}
