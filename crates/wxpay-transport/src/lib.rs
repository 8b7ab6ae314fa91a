#![doc = include_str!("../README.md")]

mod answer;
mod answer_headers;
mod attempt;
mod attempt_record;
mod audit;
mod base_url;
mod breaker;
mod builder;
mod call;
mod client;
mod connection;
mod connector;
mod delivery;
mod domain;
mod error;
mod failover;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod in_process_rate_limiter;
mod lanes;
mod pool;
mod progress;
mod proxy;
mod rate_limit;
#[cfg(feature = "redis")]
mod redis_link;
#[cfg(feature = "redis")]
mod redis_rate_limiter;
mod replay;
mod request;
mod resolver;
mod retry;
mod retry_budget;
mod route;
#[cfg(feature = "redis")]
mod shared_health;
#[cfg(feature = "redis")]
mod shared_limit;
mod stream;
mod target;
mod telemetry;
mod tls;
mod transport;

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
pub use target::Target;
pub use transport::Transport;
