//! The access key of the role of a cloud instance.

use std::fmt;
use std::marker::PhantomData;

use async_trait::async_trait;

use super::vendor::{RoleKey, RoleMetadata};
use crate::credentials::metadata::{Metadata, not_given};
use crate::credentials::provider::{CredentialProvider, Credentials};
use crate::error::KmsError;
use crate::http::endpoint::Endpoint;

/// Provides access keys from the metadata service of an instance with a role. The keys are
/// temporary and are replaced before they expire.
///
/// Each vendor has an alias of it: `TencentRole`, `AlibabaRole`.
pub struct CloudRole<C> {
    name: Option<String>,
    metadata: Metadata,
    cloud: PhantomData<fn() -> C>,
}

/// Creates a provider for the role of this machine, whatever its name.
pub(super) fn role<C: RoleMetadata>() -> Result<CloudRole<C>, KmsError> {
    Ok(CloudRole { name: None, metadata: Metadata::new(C::ADDRESS)?, cloud: PhantomData })
}

impl<C> CloudRole<C> {
    /// Sets the name of the role instead of looking it up.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the address of the metadata service instead of the vendor's. It is plain HTTP: an
    /// `https` address fails at the first request.
    #[must_use]
    pub fn metadata(mut self, endpoint: Endpoint) -> Self {
        self.metadata.endpoint = endpoint;
        self
    }
}

#[async_trait]
impl<C: RoleMetadata> CredentialProvider for CloudRole<C> {
    async fn credentials(&self) -> Result<Credentials, KmsError> {
        let headers = C::headers(&self.metadata).await?;
        let name = self.metadata.role(self.name.as_deref(), C::FOLDER, &headers).await?;
        let response = self.metadata.get(&format!("{}{name}", C::FOLDER), &headers).await?;
        let RoleKey { code, id, secret, session_token, expires_at } =
            response.json::<C::File>()?.into();
        match (id, secret, session_token, expires_at) {
            (Some(id), Some(secret), Some(token), Some(end))
                if code.as_deref().is_none_or(|code| code == "Success") =>
            {
                let credentials = Credentials::new(id, secret.as_str());
                Ok(credentials.with_session_token(token.as_str()).with_expiry(end))
            }
            _ => Err(not_given(code.as_deref())),
        }
    }
}

impl<C> Clone for CloudRole<C> {
    fn clone(&self) -> Self {
        let (name, metadata) = (self.name.clone(), self.metadata.clone());
        Self { name, metadata, cloud: PhantomData }
    }
}

impl<C> fmt::Debug for CloudRole<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudRole")
            .field("name", &self.name)
            .field("metadata", &self.metadata)
            .finish()
    }
}
