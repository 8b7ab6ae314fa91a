//! The address of a key service.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::error::KmsError;

/// The address of a key service, such as `https://kms.tencentcloudapi.com` or
/// `https://vault.internal:8200/prefix`.
///
/// HTTPS, or plain HTTP to this machine (a Vault agent on the same host, a test).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    /// Without a trailing `/`.
    prefix: String,
}

impl Endpoint {
    /// Parses an address.
    ///
    /// # Errors
    /// [`KmsError`] if it is not a URL, is not `https` (or `http` to this machine), or has a user,
    /// a query or a fragment.
    pub fn new(url: impl AsRef<str>) -> Result<Self, KmsError> {
        url.as_ref().parse()
    }

    /// Parses a fixed address of a service on the host of this machine, which uses plain HTTP.
    #[cfg(feature = "_access-key")]
    pub(crate) fn plain(url: &'static str) -> Result<Self, KmsError> {
        Self::read(url, true)
    }

    /// Returns the host and the port, as in the `Host` header.
    #[cfg(feature = "_access-key")]
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Returns whether the service is reached over TLS.
    #[cfg(feature = "_access-key")]
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns whether it has a path. Request signatures include the path.
    #[cfg(feature = "_access-key")]
    pub(crate) fn has_path(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// Appends a path and query, which begins with `/`.
    #[cfg(feature = "_http")]
    pub(crate) fn join(&self, path_and_query: &str) -> Result<Uri, KmsError> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.prefix))
            .build()
            .map_err(|_| {
                KmsError::setting(
                    format!("{path_and_query} is not a path"),
                    "check the names of mount and key",
                )
            })
    }

    fn read(url: &str, plain: bool) -> Result<Self, KmsError> {
        const HINT: &str = "write https://HOST[:PORT]; http is for this machine only";
        // A URL may contain a password, so it is not quoted.
        let wrong = |problem: &str| Err(KmsError::setting(format!("the endpoint {problem}"), HINT));
        // The parser accepts other characters in the path.
        let uri = Some(url).filter(|url| url.is_ascii()).and_then(|url| url.parse::<Uri>().ok());
        let Some(uri) = uri else { return wrong("is not a URL") };
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return wrong("is not a URL with a scheme and a host");
        };
        // Anywhere in the URL: a password may contain a slash, which the parser takes for the path.
        if url.contains('@') {
            return wrong("has a user in it");
        }
        if !has_no_port_or_a_number(&authority) {
            return wrong("has a port that is not a number");
        }
        if url.contains(['?', '#']) {
            return wrong("has a query or a fragment");
        }
        if scheme == Scheme::HTTP && !plain && !is_this_machine(authority.host()) {
            return wrong("is plain http to another machine");
        }
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return wrong("is neither https nor http");
        }
        let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
        let prefix = path.trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, prefix })
    }
}

impl FromStr for Endpoint {
    type Err = KmsError;

    fn from_str(url: &str) -> Result<Self, KmsError> {
        Self::read(url, false)
    }
}

/// Returns whether a text is a valid region name: letters, digits and `-`.
#[cfg(any(feature = "_access-key", feature = "aws-config"))]
pub fn is_region(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Returns whether the part after the host is a port; the parser accepts any text there.
fn has_no_port_or_a_number(authority: &Authority) -> bool {
    match authority.as_str().strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        None => false,
    }
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_or_this_machine() {
        for (url, joined) in [
            ("https://kms.tencentcloudapi.com", "https://kms.tencentcloudapi.com/v1"),
            ("https://vault:8200/", "https://vault:8200/v1"),
            ("https://vault:8200/a/b/", "https://vault:8200/a/b/v1"),
            ("http://127.0.0.1:8200", "http://127.0.0.1:8200/v1"),
            ("http://[::1]:8200", "http://[::1]:8200/v1"),
            ("http://localhost", "http://localhost/v1"),
            ("http://LOCALHOST", "http://LOCALHOST/v1"),
        ] {
            let endpoint = Endpoint::new(url).unwrap();
            assert_eq!(format!("{endpoint}/v1"), joined);
            #[cfg(feature = "_http")]
            assert_eq!(endpoint.join("/v1").unwrap().to_string(), joined);
        }
        for url in [
            "",
            "vault",
            "vault:8200",
            "/v1",
            "ftp://vault",
            "http://vault:8200",
            "http://10.0.0.1",
            "https://user:hunter2@vault",
            "https://user:hunter2/3@vault",
            "https://hunter2/3@vault",
            "https://vault:hunter2",
            "https://vault:",
            "https://vault:65536",
            "https://vault?a=b",
            "https://vault/a b",
            "https://vault/\u{85}",
            "https://vault/商户",
        ] {
            let error = Endpoint::new(url).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
            assert!(error.to_string().starts_with("the endpoint "), "{url}: {error}");
        }
        #[cfg(feature = "_http")]
        assert!(Endpoint::new("https://vault").unwrap().join("/a b").is_err());
    }
}
