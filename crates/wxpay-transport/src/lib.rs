#![doc = include_str!("../README.md")]

mod answer;
mod answer_headers;
mod attempt;
mod attempt_record;
mod audit;
mod base_url;
#[cfg(feature = "redis")]
mod bounded_stream;
mod breaker;
mod builder;
mod call;
mod client;
mod clock_after;
mod connect_failure;
mod connection;
mod connector;
mod delivery;
mod dialer;
mod domain;
mod error;
mod failed_addresses;
mod failover;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod in_process_rate_limiter;
mod lanes;
mod lookup;
mod no_proxy;
mod paced;
mod panics;
mod pool;
mod progress;
mod proxy;
mod proxy_environment;
mod proxy_url;
mod rate_limit;
mod recent_addresses;
#[cfg(feature = "redis")]
mod redis_link;
#[cfg(feature = "redis")]
mod redis_rate_limiter;
mod replay;
mod request;
mod resolver;
mod retry;
mod retry_budget;
mod reuse;
mod route;
mod sent;
#[cfg(feature = "redis")]
mod shared_health;
#[cfg(feature = "redis")]
mod shared_limit;
mod signature_length;
mod spares;
mod stream;
mod target;
mod telemetry;
mod tls;
mod traffic;
mod trail;
mod transport;
mod tunnel;
mod userinfo;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use http::{HeaderName, HeaderValue, Method, StatusCode};
pub use rustls;

pub use answer::Answer;
pub use audit::{Audit, AuditOutcome, AuditRecord};
pub use base_url::BaseUrl;
pub use builder::ClientBuilder;
pub use client::Client;
pub use delivery::{Delivery, Outcome};
pub use error::{
    AnswerSignature, ApiError, ConfigError, ConnectError, ConnectStage, Error, ErrorBody,
    ErrorDetail, ExchangeError, ExchangeFault, Limit, Overload, OverloadError, RequestError,
    SignDiagnosis, SignedLine, SigningError, Stage, TimeoutError, UnverifiedCause, UnverifiedError,
    VerifierError,
};
pub use failover::Failover;
pub use in_process_rate_limiter::InProcessRateLimiter;
pub use proxy::Proxy;
pub use rate_limit::{LimitKey, NoRateLimit, RateLimit, RateLimited, RateLimiter};
#[cfg(feature = "redis")]
pub use redis_rate_limiter::RedisRateLimiter;
pub use replay::Replay;
pub use request::Request;
pub use resolver::Resolve;
pub use retry::{Attempted, Backoff, NoRetry, RetryPolicy};
pub use retry_budget::RetryBudget;
pub use reuse::ConnectionReuse;
pub use target::Target;
pub use transport::Transport;
