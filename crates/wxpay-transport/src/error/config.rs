//! Invalid settings of a client.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use wxpay_auth::{SerialNo, write_report};

use super::timeout::TimeoutKind;

/// An invalid setting of a client.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The base URL cannot be read.
    #[error("the base URL cannot be read")]
    MalformedUrl,
    /// The base URL has a scheme other than `https`.
    #[error("the base URL does not begin with https://")]
    Scheme,
    /// The base URL is plain `http`, to another machine.
    #[error("the base URL is plain http to another machine")]
    PlainHttp,
    /// The base URL has more than scheme, host and port.
    #[error("the base URL has a user, a path, a query or a fragment")]
    NotAnOrigin,
    /// The proxy cannot be used.
    #[error("the proxy is not an http:// or https:// URL with host and port")]
    Proxy,
    /// The user or the password of the proxy has a character that must be percent-encoded.
    #[error("the user or the password of the proxy is not percent-encoded")]
    ProxyNotEncoded,
    /// The proxy that the environment names cannot be used.
    #[error("the proxy in the variable {name} cannot be used")]
    #[non_exhaustive]
    ProxyVariable {
        /// The name of the variable, such as `HTTPS_PROXY`.
        name: &'static str,
        /// What is wrong with its value.
        #[source]
        cause: Box<ConfigError>,
    },
    /// The text for the `User-Agent` is not valid in a header.
    #[error("the user agent is empty or has a character that is invalid in a header")]
    UserAgent,
    /// A timeout is zero.
    #[error("the {which} timeout is zero")]
    #[non_exhaustive]
    ZeroTimeout {
        /// Which one.
        which: TimeoutKind,
    },
    /// The attempt timeout is longer than the call timeout.
    #[error("the attempt timeout ({attempt:?}) is longer than that of the call ({call:?})")]
    #[non_exhaustive]
    AttemptLongerThanCall {
        /// The attempt timeout.
        attempt: Duration,
        /// The call timeout.
        call: Duration,
    },
    /// The idle timeout of connections is not below 8 seconds.
    #[error("idle connections would be kept for 8 s or longer")]
    IdleTooLong,
    /// The response limit is zero bytes.
    #[error("the response limit is zero bytes")]
    ZeroResponse,
    /// The number of failures before failover is zero.
    #[error("calls would leave a domain after 0 failures")]
    ZeroFailures,
    /// The time before a failed domain is probed is zero, or longer than a day.
    #[error("the time before a failed domain is probed is zero, or longer than a day")]
    ProbeTime,
    /// More than one call in 100 would go to the standby domain.
    #[error("more than one call in 100 would go to the standby domain")]
    SampleTooLarge,
    /// The standby domain is the same as the main domain.
    #[error("the standby domain is the main one")]
    SameDomain,
    /// The limit of concurrent calls is zero, or too large.
    #[error("the number of calls at the same time is zero, or too large")]
    Concurrency,
    /// The TLS settings are not usable.
    #[error("the TLS settings are not usable: {reason}")]
    #[non_exhaustive]
    Tls {
        /// What the TLS library says.
        reason: String,
    },
    /// The URL of Redis cannot be read.
    #[cfg(feature = "redis")]
    #[error("the URL of Redis cannot be read")]
    RedisUrl,
    /// No `Authorization` scheme is documented for the identity with the algorithm of the signer.
    #[error("no authorization scheme is documented for this identity with the signer's algorithm")]
    AuthorizationScheme,
    /// The verifier asks for responses signed with the certificate of the signer.
    #[error(
        "the verifier asks for responses signed with {serial_no}, the certificate of the signer"
    )]
    #[non_exhaustive]
    OwnSerial {
        /// The serial of the merchant certificate.
        serial_no: SerialNo,
    },
}

impl ConfigError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::MalformedUrl | Self::Scheme | Self::NotAnOrigin => {
                "give scheme and host, and a port where needed: https://api.mch.weixin.qq.com, or \
                 http://127.0.0.1:18080 for a gateway on this machine"
            }
            Self::PlainHttp => {
                "use https; plain http is for this machine, or, if something else protects the \
                 network path, for BaseUrl::dangerous_plain_http"
            }
            Self::Proxy => "give the proxy as http://host:port or http://user:password@host:port",
            Self::ProxyNotEncoded => {
                "percent-encode user and password: @ is %40, # is %23, / is %2F, ? is %3F, % is %25, \
                 space is %20"
            }
            Self::ProxyVariable { cause, .. } if **cause == Self::ProxyNotEncoded => cause.hint(),
            Self::ProxyVariable { .. } => {
                "give it as http://host:port or http://user:password@host:port, without quotes; or name \
                 the host in NO_PROXY, or set ClientBuilder::proxy"
            }
            Self::AttemptLongerThanCall { .. } => {
                "give the call more time, or the attempt less: several attempts should fit into a call"
            }
            Self::UserAgent => "give visible ASCII characters, such as my-shop/1.2",
            Self::ZeroTimeout { .. } => "give a timeout above zero",
            Self::IdleTooLong => {
                "WeChat Pay closes idle connections after 8 s: keep them for less, 7 s by default"
            }
            Self::ZeroResponse => "give a limit above zero; the default is 1 MiB",
            Self::ZeroFailures => "give a number of failures above zero, 5 by default",
            Self::ProbeTime => "give a time above zero, 5 s by default, and at most a day",
            Self::SampleTooLarge => "WeChat Pay asks for at most 1 %: one call in 100, or fewer",
            Self::SameDomain => "give another domain, such as BaseUrl::STANDBY, or none",
            Self::Concurrency => "give a number of calls above zero, 256 by default",
            Self::Tls { .. } => "check the roots or the rustls settings that were given",
            #[cfg(feature = "redis")]
            Self::RedisUrl => {
                "give it as redis://host:port or rediss://user:password@host:port/0, user and \
                 password percent-encoded"
            }
            Self::AuthorizationScheme => {
                "use a signer whose algorithm WeChat Pay documents for this identity"
            }
            Self::OwnSerial { .. } => {
                "take the merchant's certificate (apiclient_cert.pem) out of the verifier, and give it \
                 WeChat Pay's public key or a platform certificate"
            }
        }
    }
}

/// Prints one line with the causes and the hint, so that a `main` that returns the error shows them.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
