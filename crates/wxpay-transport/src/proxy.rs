//! The way out: through a proxy, or not.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::base_url::BaseUrl;
use crate::error::ConfigError;

/// Chooses the proxy. A tunnel (`CONNECT`) is asked of it, so that TLS reaches to WeChat Pay and the
/// proxy sees nothing of the call.
///
/// ```
/// use wxpay_transport::Proxy;
///
/// let proxy = Proxy::new("http://user:password@proxy.example:3128")?.except("10.0.0.0/8, .local");
/// assert!(!format!("{proxy:?}").contains("password"));
/// # Ok::<(), wxpay_transport::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Proxy(Choice);

#[derive(Clone)]
enum Choice {
    None,
    Environment(Arc<Matcher>),
    Given { url: String, no_proxy: String, matcher: Arc<Matcher> },
}

impl Proxy {
    /// Goes through no proxy, whatever the environment says.
    pub fn none() -> Self {
        Self(Choice::None)
    }

    /// Goes through the proxy that the environment names, as `curl` does: `HTTPS_PROXY`,
    /// `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` (also in lower case). The environment is read now.
    /// Addresses of this machine are always reached directly. This is the default.
    pub fn from_env() -> Self {
        let no_proxy = ["NO_PROXY", "no_proxy"].into_iter().find_map(|n| std::env::var(n).ok());
        match no_proxy {
            Some(no_proxy) if excepts_all(&no_proxy) => Self::none(),
            _ => Self(Choice::Environment(Arc::new(Matcher::from_env()))),
        }
    }

    /// Goes through this proxy: `http://host:port` or `https://host:port`, with `user:password@`
    /// where it asks for that.
    ///
    /// # Errors
    /// [`ConfigError::Proxy`] when the URL cannot be read, or has another scheme.
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        let url = url.into();
        let parsed: Uri = url.parse().map_err(|_| ConfigError::Proxy)?;
        let has_host = parsed.host().is_some_and(|host| !host.is_empty());
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || !has_host {
            return Err(ConfigError::Proxy);
        }
        Ok(Self::given(url, String::new()))
    }

    /// Reaches these hosts directly: names (with their subdomains), addresses and networks,
    /// separated by commas, or `*`. It changes nothing but a proxy made with [`Proxy::new`].
    #[must_use]
    pub fn except(self, no_proxy: impl Into<String>) -> Self {
        match self.0 {
            Choice::Given { url, .. } => Self::given(url, no_proxy.into()),
            other => Self(other),
        }
    }

    fn given(url: String, no_proxy: String) -> Self {
        let matcher = Matcher::builder().all(url.as_str()).no(no_proxy.as_str()).build();
        Self(Choice::Given { url, no_proxy, matcher: Arc::new(matcher) })
    }

    /// Finds the proxy for a destination; `None` to go directly.
    pub(crate) fn intercept(&self, base: &BaseUrl, destination: &Uri) -> Option<Intercept> {
        let proxy = match &self.0 {
            Choice::None => None,
            Choice::Given { no_proxy, .. } if excepts_all(no_proxy) => None,
            Choice::Environment(_) if base.is_loopback() => None,
            Choice::Environment(matcher) | Choice::Given { matcher, .. } => {
                matcher.intercept(destination)
            }
        };
        proxy.filter(|proxy| {
            let supported = matches!(proxy.uri().scheme_str(), Some("http" | "https"));
            if !supported {
                let proxy = proxy.uri();
                tracing::warn!(%proxy, "the environment names a proxy that is no http(s) proxy: it is passed by");
            }
            supported
        })
    }
}

/// The matcher takes `*` for names only, not for addresses.
fn excepts_all(no_proxy: &str) -> bool {
    no_proxy.split(',').any(|part| part.trim() == "*")
}

impl Default for Proxy {
    fn default() -> Self {
        Self::from_env()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::None => f.write_str("Proxy(none)"),
            Choice::Environment(_) => f.write_str("Proxy(environment)"),
            Choice::Given { matcher, no_proxy, .. } => {
                f.debug_struct("Proxy").field("through", matcher).field("except", no_proxy).finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxy: &Proxy, url: &str) -> Option<String> {
        let base = BaseUrl::dangerous_plain_http(url).unwrap();
        let intercept = proxy.intercept(&base, &url.parse().unwrap());
        intercept.map(|i| i.uri().to_string())
    }

    #[test]
    fn a_given_proxy_is_used_but_for_the_exceptions() {
        let proxy = Proxy::new("http://user:pa55@proxy.example:3128").unwrap();
        let target = "http://proxy.example:3128/".to_owned();
        assert_eq!(through(&proxy, BaseUrl::MAIN), Some(target.clone()));
        assert_eq!(through(&proxy, "http://127.0.0.1:1"), Some(target));
        let proxy = proxy.except("weixin.qq.com,127.0.0.0/8");
        assert_eq!(through(&proxy, BaseUrl::MAIN), None);
        assert_eq!(through(&proxy, "http://127.0.0.1:1"), None);
        assert!(through(&proxy, "https://notweixin.qq.com").is_some());
        let proxy = proxy.except("10.0.0.1, *");
        assert_eq!(through(&proxy, "https://a.example"), None);
        assert_eq!(through(&proxy, "https://192.0.2.1"), None);
        assert_eq!(through(&Proxy::none(), BaseUrl::MAIN), None);
    }

    #[test]
    fn the_password_is_not_shown() {
        let proxy = Proxy::new("http://user:pa55@proxy.example:3128").unwrap();
        let shown = format!("{proxy:?} {proxy:#?}");
        assert!(shown.contains("proxy.example") && !shown.contains("pa55"), "{shown}");
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for url in ["", "proxy.example:3128", "socks5://proxy.example", "ftp://a", "http://"] {
            assert_eq!(Proxy::new(url).err(), Some(ConfigError::Proxy), "{url}");
        }
    }
}
