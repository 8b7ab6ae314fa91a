//! The choice of proxy.

pub(crate) mod environment;
pub(crate) mod no_proxy;
pub(crate) mod tunnel;
pub(crate) mod url;

use std::fmt;

use crate::connection::base_url::BaseUrl;
use crate::connection::proxy::environment::ProxyEnvironment;
use crate::connection::proxy::no_proxy::NoProxy;
use crate::connection::proxy::url::ProxyUrl;
use crate::error::ConfigError;

/// The proxy to use. Requests go through a tunnel (`CONNECT`), so that TLS reaches to WeChat Pay and the
/// proxy sees nothing of the call. Plain `http` ([`BaseUrl`]) never uses a proxy.
///
/// ```
/// use wxpay_transport::Proxy;
///
/// // The password is p@ss: reserved characters are percent-encoded.
/// let proxy = Proxy::new("http://user:p%40ss@proxy.example:3128")?.except("10.0.0.0/8, .local");
/// assert!(!format!("{proxy:?}").contains("p%40ss"));
/// # Ok::<(), wxpay_transport::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Proxy(Choice);

#[derive(Clone)]
enum Choice {
    None,
    Environment(ProxyEnvironment),
    Given(ProxyUrl, NoProxy),
}

impl Proxy {
    /// Uses no proxy, whatever the environment says.
    pub fn none() -> Self {
        Self(Choice::None)
    }

    /// Uses the proxy that the environment names, as `curl` does: `HTTPS_PROXY`, `ALL_PROXY`,
    /// `NO_PROXY` (also in lower case, which takes precedence). Reads the environment now. Loopback
    /// addresses are always reached directly. This is the default.
    ///
    /// An unusable proxy is not bypassed:
    /// [`ClientBuilder::build`](crate::ClientBuilder::build) fails with [`ConfigError::ProxyVariable`]
    /// if a call would go through it.
    pub fn from_env() -> Self {
        Self(Choice::Environment(ProxyEnvironment::read(|name| std::env::var_os(name))))
    }

    /// Uses this proxy: `http://host:port` or `https://host:port`, with `user:password@` if it requires
    /// them, both percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError::ProxyNotEncoded`] if user or password are not percent-encoded, and
    /// [`ConfigError::Proxy`] if the URL is otherwise invalid, or has another scheme.
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        let url = ProxyUrl::parse(&url.into())?;
        Ok(Self(Choice::Given(url, NoProxy::new(""))))
    }

    /// Connects to these hosts directly: names (with their subdomains), addresses and networks,
    /// separated by commas, or `*`. Affects only a proxy made with [`Proxy::new`].
    #[must_use]
    pub fn except(self, no_proxy: impl Into<String>) -> Self {
        match self.0 {
            Choice::Given(url, _) => Self(Choice::Given(url, NoProxy::new(&no_proxy.into()))),
            other => Self(other),
        }
    }

    /// Returns the proxy for an origin; `None` to connect directly.
    pub(crate) fn for_origin(&self, base: &BaseUrl) -> Result<Option<ProxyUrl>, ConfigError> {
        match &self.0 {
            // A gateway on this machine, or a protected path, which a proxy would leave.
            _ if !base.is_https() => Ok(None),
            Choice::None => Ok(None),
            Choice::Environment(_) if base.is_loopback() => Ok(None),
            Choice::Environment(environment) => environment.proxy_for(base.host()),
            Choice::Given(_, no_proxy) if no_proxy.contains(base.host()) => Ok(None),
            Choice::Given(url, _) => Ok(Some(url.clone())),
        }
    }
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
            Choice::Given(url, no_proxy) => {
                f.debug_struct("Proxy").field("through", url).field("except", no_proxy).finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxy: &Proxy, url: &str) -> Option<String> {
        let base = BaseUrl::dangerous_plain_http(url).unwrap();
        proxy.for_origin(&base).unwrap().map(|url| url.to_string())
    }

    #[test]
    fn a_given_proxy_is_used_but_for_the_exceptions() {
        let proxy = Proxy::new("http://user:pa55@proxy.example:3128").unwrap();
        let target = "http://proxy.example:3128".to_owned();
        assert_eq!(through(&proxy, BaseUrl::MAIN), Some(target.clone()));
        assert_eq!(through(&proxy, "https://127.0.0.1:1"), Some(target));
        let proxy = proxy.except("weixin.qq.com,127.0.0.0/8");
        assert_eq!(through(&proxy, BaseUrl::MAIN), None);
        assert_eq!(through(&proxy, "https://127.0.0.1:1"), None);
        assert!(through(&proxy, "https://notweixin.qq.com").is_some());
        let proxy = proxy.except("10.0.0.1, *");
        assert_eq!(through(&proxy, "https://a.example"), None);
        assert_eq!(through(&proxy, "https://192.0.2.1"), None);
        assert_eq!(through(&Proxy::none(), BaseUrl::MAIN), None);
    }

    #[test]
    fn plain_http_goes_through_no_proxy() {
        let given = Proxy::new("http://proxy.example:3128").unwrap();
        let broken = ProxyEnvironment::read(|_| Some("socks5://proxy.example".into()));
        for proxy in [given, Proxy(Choice::Environment(broken))] {
            for url in ["http://127.0.0.1:1", "http://localhost", "http://a.example"] {
                assert_eq!(through(&proxy, url), None, "{url}");
            }
        }
    }

    #[test]
    fn this_machine_needs_no_proxy_of_the_environment() {
        let broken =
            ProxyEnvironment::read(|name| (name == "ALL_PROXY").then(|| "http:///".into()));
        let proxy = Proxy(Choice::Environment(broken));
        for url in ["https://127.0.0.1:1", "https://localhost", "https://[::1]:1"] {
            assert_eq!(through(&proxy, url), None, "{url}");
        }
        let base = BaseUrl::new(BaseUrl::MAIN).unwrap();
        assert!(matches!(proxy.for_origin(&base), Err(ConfigError::ProxyVariable { .. })));
    }

    #[test]
    fn the_password_is_not_shown() {
        let proxy = Proxy::new("http://user:pa55@proxy.example:3128").unwrap();
        let shown = format!("{proxy:?} {proxy:#?}");
        assert!(shown.contains("proxy.example") && !shown.contains("pa55"), "{shown}");
    }
}
