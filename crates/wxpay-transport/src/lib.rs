#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bounded_queue;
mod breaker;
mod call;
mod client;
mod connection;
mod deadline;
mod domains;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod internal;
mod message;
mod observe;
mod panics;
mod rate_limit;
mod retry;
mod transport;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use http::{HeaderName, HeaderValue, Method, StatusCode};
pub use rustls;

pub use client::Client;
pub use client::builder::ClientBuilder;
pub use client::settings::ClientSettings;
pub use connection::base_url::BaseUrl;
pub use connection::dns::resolve::Resolve;
pub use connection::proxy::Proxy;
pub use connection::reuse::ConnectionReuse;
pub use connection::tls::Tls;
pub use domains::failover::Failover;
pub use error::delivery::{Delivery, Outcome};
pub use error::{
    ApiError, CallContext, CallStage, ConfigError, ConnectError, ConnectStage, DownloadError,
    DownloadFault, Error, ErrorBody, ErrorDetail, ExchangeError, ExchangeFault, Overload,
    OverloadError, ResponseSignature, SettingsError, SignDiagnosis, SignedLine, SigningError,
    TimeoutError, TimeoutKind, UnverifiedCause, UnverifiedError, VerifierError,
};
pub use message::body_error::BodyError;
pub use message::download::{Download, DownloadProgress, Gunzip};
pub use message::downloaded::Downloaded;
pub use message::expected_hash::{ExpectedHash, HashAlgorithm};
pub use message::interface_limit::RateLimit;
pub use message::replay::Replay;
pub use message::request::Request;
pub use message::request_error::RequestError;
pub use message::response::Response;
pub use message::target::Target;
pub use message::upload::Upload;
pub use observe::audit::{Audit, AuditOutcome, AuditRecord};
pub use rate_limit::in_process::InProcessRateLimiter;
#[cfg(feature = "redis")]
pub use rate_limit::redis::RedisRateLimiter;
pub use rate_limit::{LimitKey, NoRateLimit, RateLimited, RateLimiter};
pub use retry::budget::RetryBudget;
pub use retry::policy::{Attempted, Backoff, NoRetry, RetryPolicy};
pub use transport::Transport;
