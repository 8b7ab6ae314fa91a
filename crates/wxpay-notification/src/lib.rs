#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod endpoint;
mod envelope;
mod error;
mod event_type;
pub mod events;
mod handled;
mod held_id;
mod notification;
mod panics;
mod receipt;
mod receiver;
mod replay;
#[cfg(feature = "tower")]
mod tower;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use endpoint::NotificationEndpoint;
pub use error::{ReceiveError, ResourceError};
pub use event_type::EventType;
pub use handled::{Handled, HandlerError, Outcome};
pub use notification::Notification;
pub use receipt::Receipt;
pub use receiver::NotificationReceiver;
#[cfg(feature = "redis")]
pub use replay::redis::RedisReplayStore;
pub use replay::{Begun, Claim, MemoryReplayStore, ReplayStore, ReplayStoreError, StoreFinding};
#[cfg(feature = "tower")]
pub use tower::{HandlerFn, NotificationLayer, NotificationService};
