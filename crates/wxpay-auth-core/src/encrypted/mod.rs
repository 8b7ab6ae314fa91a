//! What WeChat Pay encrypts with the APIv3 key: platform certificates, and the resources of notifications.

mod api_v3_key;
mod decryptor;
mod encrypted_resource;
mod error;

pub use api_v3_key::{ApiV3Key, ApiV3KeyError};
pub use decryptor::ResourceDecryptor;
pub use encrypted_resource::EncryptedResource;
pub use error::DecryptError;
