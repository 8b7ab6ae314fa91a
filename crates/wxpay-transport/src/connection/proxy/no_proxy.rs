//! Hosts that are connected to directly.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Names (with their subdomains), addresses and networks, separated by commas, or `*`. Follows the rules
/// of `curl`, as implemented by hyper-util.
#[derive(Clone)]
pub(crate) struct NoProxy {
    text: String,
    rules: Arc<Matcher>,
}

impl NoProxy {
    pub(crate) fn new(text: &str) -> Self {
        // The proxy itself does not matter: only whether the matcher returns one.
        let rules = Matcher::builder().all("http://proxy.invalid").no(text).build();
        Self { text: text.to_owned(), rules: Arc::new(rules) }
    }

    /// Returns whether a host, without brackets, is listed.
    pub(crate) fn contains(&self, host: &str) -> bool {
        // The matcher takes `*` for names only, not for addresses.
        if self.text.split(',').any(|part| part.trim() == "*") {
            return true;
        }
        let uri = format!("https://{}/", crate::connection::base_url::authority(host, 443));
        // An invalid host has no connection, either.
        uri.parse::<Uri>().is_ok_and(|uri| self.rules.intercept(&uri).is_none())
    }
}

impl fmt::Debug for NoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_networks() {
        for (no_proxy, host, contains) in [
            ("", "a.example", false),
            ("a.example", "a.example", true),
            ("a.example", "A.Example", true),
            ("example", "a.example", true),
            (".example", "a.example", true),
            ("x, .example ,y", "a.example", true),
            ("xample", "a.example", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("::1", "::1", true),
            ("2001:db8::/32", "2001:db8::1", true),
            ("10.0.0.1, *", "192.0.2.1", true),
            ("*", "a.example", true),
        ] {
            assert_eq!(NoProxy::new(no_proxy).contains(host), contains, "{no_proxy}: {host}");
        }
    }
}
