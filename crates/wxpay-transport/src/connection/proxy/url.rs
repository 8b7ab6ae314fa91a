//! The URL of a proxy, parsed strictly: an unencoded password could be taken for a host.

use std::fmt;
use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;

use crate::connection::base_url::is_host;
use crate::connection::userinfo::is_encoded;
use crate::error::ConfigError;

/// The address of a proxy, its scheme and credentials.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyUrl {
    pub(crate) is_https: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(crate) credentials: Option<HeaderValue>,
}

impl ProxyUrl {
    /// Parses `http://user:password@host:port`, or the same with `https`.
    ///
    /// # Errors
    /// [`ConfigError::ProxyNotEncoded`] if user or password seem not to be percent-encoded, and
    /// [`ConfigError::Proxy`] for everything else. Neither shows any part of the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = url.split_once("://").ok_or(ConfigError::Proxy)?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(ConfigError::Proxy),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (userinfo, authority) = match rest.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, rest),
        };
        if userinfo.is_some_and(|userinfo| !is_encoded(userinfo)) {
            return Err(ConfigError::ProxyNotEncoded);
        }
        let (host, port) = host_and_port(authority)
            // After a user, this is more likely the end of a password.
            .ok_or(if userinfo.is_some() && authority.contains(['/', '?', '#']) {
                ConfigError::ProxyNotEncoded
            } else {
                ConfigError::Proxy
            })?;
        Ok(Self {
            is_https,
            host: host.to_owned(),
            port: port.unwrap_or(if is_https { 443 } else { 80 }),
            credentials: userinfo.filter(|u| !u.is_empty()).map(basic).transpose()?,
        })
    }

    /// Returns host and port.
    pub(crate) fn authority(&self) -> String {
        crate::connection::base_url::authority(&self.host, self.port)
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, port)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at(end);
        is_host(host).then_some((host, port))?
    };
    let Some(digits) = port.strip_prefix(':') else {
        return port.is_empty().then_some((host, None));
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let port = digits.parse().ok().filter(|port| *port != 0)?;
    Some((host, Some(port)))
}

/// Builds the value of `Proxy-Authorization` (RFC 7617). The parts are decoded to bytes, in any
/// encoding.
fn basic(userinfo: &str) -> Result<HeaderValue, ConfigError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut pair: Vec<u8> = percent_decode_str(user).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password));
    let mut credentials = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .map_err(|_| ConfigError::Proxy)?;
    credentials.set_sensitive(true);
    Ok(credentials)
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Omits user and password.
impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(url: &str) -> Option<String> {
        let url = ProxyUrl::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        let value = url.credentials?.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        Some(String::from_utf8(STANDARD.decode(value).unwrap()).unwrap())
    }

    #[test]
    fn where_a_proxy_is() {
        for (url, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("http://proxy.example:3128/", "http://proxy.example:3128"),
            ("HTTP://proxy.example", "http://proxy.example:80"),
            ("https://user:pw@proxy_1.example", "https://proxy_1.example:443"),
            ("http://user@[::1]:3128", "http://[::1]:3128"),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
            ("http://@10.0.0.1:1", "http://10.0.0.1:1"),
        ] {
            let read = ProxyUrl::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!((read.to_string(), format!("{read:?}")), (shown.into(), shown.into()));
        }
    }

    #[test]
    fn user_and_password_are_decoded() {
        for (userinfo, pair) in [
            ("user:pw", "user:pw"),
            ("user:p%40%23%2F%3f%25%20w", "user:p@#/?% w"),
            ("user", "user:"),
            ("user:", "user:"),
            (":pw", ":pw"),
            ("user:a:b", "user:a:b"),
            ("us%65r:%E5%AF%86", "user:密"),
            ("a-b._~!$&'()*+,;=:x", "a-b._~!$&'()*+,;=:x"),
        ] {
            let read = credentials(&format!("http://{userinfo}@proxy.example"));
            assert_eq!(read.as_deref(), Some(pair));
        }
        assert_eq!(credentials("http://proxy.example"), None);
        assert_eq!(credentials("http://@proxy.example"), None);
        let value = ProxyUrl::parse("http://a:b@c").unwrap().credentials.unwrap();
        assert!(value.is_sensitive());
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused() {
        for password in [
            "a@b", "@", "a#b", "#", "a/b", "/", "a?b", "?", "a%b", "%", "a%2", "%zz", "a b", "密",
            "a\\b", "a\"b", "a<b", "a[b", "a^b", "a`b", "a{b", "a|b", "a@/b", "a/@b", "@#?",
            "a\tb",
        ] {
            for end in ["", ":3128", ":3128/"] {
                let url = format!("http://user:{password}@proxy.example{end}");
                assert_eq!(ProxyUrl::parse(&url), Err(ConfigError::ProxyNotEncoded), "{url}");
            }
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for url in [
            "",
            "x",
            "http:",
            "http:/",
            "http:///",
            "http://",
            "://a",
            "//a",
            "htp://a",
            "ftp://a",
            "socks5://a",
            "socks5h://user:pw@a",
            "\"http://a\"",
            "'http://a'",
            " http://a",
            "http://a ",
            "http://a b",
            "http://a/b",
            "http://a//",
            "http://a?b",
            "http://a#b",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a:b",
            "http://a:+1",
            "http://a:1:2",
            "http://:1",
            "http://[::1",
            "http://[::g]",
            "http://[::1]1",
            "http://::1",
            "http://user:pw@",
            "http://user:pw@:1",
            "http://a%20b",
            "http://密",
            "http://user:pw@a:x",
            "http://http://a",
        ] {
            assert_eq!(ProxyUrl::parse(url), Err(ConfigError::Proxy), "{url}");
        }
    }
}
