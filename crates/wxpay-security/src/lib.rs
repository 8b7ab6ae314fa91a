#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod echo;

pub use echo::{Echo, EchoError, EchoRequest, Echoed};
