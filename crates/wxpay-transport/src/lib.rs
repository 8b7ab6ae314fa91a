#![doc = include_str!("../README.md")]

mod answer;
mod answer_headers;
mod attempt;
mod base_url;
mod builder;
mod client;
mod connection;
mod connector;
mod delivery;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod pool;
mod progress;
mod proxy;
mod replay;
mod request;
mod stream;
mod target;
mod tls;
mod transport;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use http::{HeaderName, HeaderValue, Method, StatusCode};
pub use rustls;

pub use answer::Answer;
pub use base_url::BaseUrl;
pub use builder::ClientBuilder;
pub use client::Client;
pub use delivery::{Delivery, Outcome};
pub use error::{
    AnswerSignature, ApiError, ConfigError, ConnectError, ConnectStage, Error, ErrorBody,
    ErrorDetail, ExchangeError, ExchangeFault, Limit, RequestError, SignDiagnosis, SignedLine,
    SigningError, Stage, TimeoutError, UnverifiedCause, UnverifiedError,
};
pub use proxy::Proxy;
pub use replay::Replay;
pub use request::Request;
pub use target::Target;
pub use transport::Transport;
