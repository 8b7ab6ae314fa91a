//! The proxy that the environment names.

use std::ffi::OsString;

use crate::connection::proxy::no_proxy::NoProxy;
use crate::connection::proxy::url::ProxyUrl;
use crate::error::ConfigError;

/// The proxy settings of the environment when it was read. An unusable proxy is reported only when it is
/// needed: the client may connect to this machine, or to a host in `NO_PROXY`.
#[derive(Debug, Clone)]
pub(crate) struct ProxyEnvironment {
    proxy: Option<Result<ProxyUrl, ConfigError>>,
    no_proxy: NoProxy,
}

/// In the order of `curl`. `HTTP_PROXY` is not included: plain HTTP never uses a proxy.
const PROXY: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl ProxyEnvironment {
    /// Reads the variables. An empty one counts as not set.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: &[&'static str]| {
            let set = |&name| variable(name).filter(|value| !value.is_empty()).map(|v| (name, v));
            names.iter().find_map(set)
        };
        let proxy = first(&PROXY).map(|(name, value)| {
            // The value may contain a password, so no error shows it.
            let url = value.to_str().ok_or(ConfigError::Proxy).and_then(parse);
            url.map_err(|cause| ConfigError::ProxyVariable { name, cause: Box::new(cause) })
        });
        let no_proxy = first(&NO_PROXY).map(|(_, value)| value.to_string_lossy().into_owned());
        Self { proxy, no_proxy: NoProxy::new(&no_proxy.unwrap_or_default()) }
    }

    /// Returns the proxy for a host.
    pub(crate) fn proxy_for(&self, host: &str) -> Result<Option<ProxyUrl>, ConfigError> {
        match &self.proxy {
            Some(proxy) if !self.no_proxy.contains(host) => proxy.clone().map(Some),
            _ => Ok(None),
        }
    }
}

/// Assumes `http://` without a scheme, as `curl` does.
fn parse(value: &str) -> Result<ProxyUrl, ConfigError> {
    if value.contains("://") {
        ProxyUrl::parse(value)
    } else {
        ProxyUrl::parse(&format!("http://{value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        ProxyEnvironment::read(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into())
        })
    }

    fn proxy(variables: &[(&str, &str)]) -> Result<Option<String>, ConfigError> {
        let proxy = environment(variables).proxy_for("api.mch.weixin.qq.com")?;
        Ok(proxy.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn the_first_variable_that_says_something_counts() {
        let (a, b) = ("http://a:1", "http://b:1");
        assert_eq!(proxy(&[]), Ok(None));
        assert_eq!(proxy(&[("HTTP_PROXY", a), ("http_proxy", a)]), Ok(None));
        for variables in [
            &[("https_proxy", a)][..],
            &[("HTTPS_PROXY", a)],
            &[("all_proxy", a)],
            &[("ALL_PROXY", a)],
            &[("https_proxy", a), ("HTTPS_PROXY", b)],
            &[("https_proxy", ""), ("HTTPS_PROXY", a), ("ALL_PROXY", b)],
            &[("HTTPS_PROXY", "a:1"), ("ALL_PROXY", b), ("REQUEST_METHOD", "GET")],
            &[("HTTPS_PROXY", "user:pw@a:1")],
        ] {
            assert_eq!(proxy(variables), Ok(Some(a.into())), "{variables:?}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable_alone() {
        for value in [
            "\"http://proxy:3128\"",
            "'http://proxy:3128'",
            "htp://proxy:3128",
            "socks5://proxy:3128",
            "http:///",
            "ftp://proxy",
            "http://user:pa ss@proxy",
            "http://user:pa@ss@proxy",
            "proxy:x",
            "proxy/",
            "proxy/path",
            "http//proxy",
            "http:/proxy",
            "user:p#w@proxy",
            "<proxy>",
        ] {
            let result = proxy(&[("HTTPS_PROXY", value), ("ALL_PROXY", "http://good:1")]);
            if value == "proxy/" {
                assert_eq!(result, Ok(Some("http://proxy:80".into())));
                continue;
            }
            let error = result.unwrap_err();
            let ConfigError::ProxyVariable { name: "HTTPS_PROXY", cause } = &error else {
                panic!("{error:?}")
            };
            let shown = format!("{error} {error:?} {cause} {}", error.hint());
            assert!(shown.contains("HTTPS_PROXY") && !shown.contains(value), "{shown}");
        }
    }

    #[test]
    fn an_exception_needs_no_proxy_that_works() {
        for no_proxy in ["*", "qq.com", ".weixin.qq.com, x", "api.mch.weixin.qq.com"] {
            let variables = [("HTTPS_PROXY", "socks5://proxy"), ("NO_PROXY", no_proxy)];
            assert_eq!(proxy(&variables), Ok(None), "{no_proxy}");
        }
        for no_proxy in ["", "example.com", "notweixin.qq.com"] {
            let variables = [("HTTPS_PROXY", "socks5://proxy"), ("no_proxy", no_proxy)];
            assert!(proxy(&variables).is_err(), "{no_proxy}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_utf_8_is_not_passed_by() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = OsString::from_vec(b"http://user:\xff@proxy".to_vec());
        let environment =
            ProxyEnvironment::read(|name| (name == "ALL_PROXY").then(|| bytes.clone()));
        let error = environment.proxy_for("a.example").unwrap_err();
        assert!(matches!(error, ConfigError::ProxyVariable { name: "ALL_PROXY", .. }), "{error:?}");
    }
}
