//! The back end for services whose requests are signed with an access key.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use wxpay_auth_core::{Clock, SignErrorKind};

use super::vendor::{ApiRequest, RequestContext, Vendor};
use crate::backend::{KmsBackend, KmsKey};
use crate::credentials::access_keys::AccessKeys;
use crate::credentials::cache::{CredentialCache, Kept};
use crate::credentials::provider::Credentials;
use crate::error::KmsError;
use crate::http::client::Http;
use crate::http::endpoint::Endpoint;

/// Signs with a key in the key service of a cloud vendor, whose requests are signed with an access
/// key.
///
/// Each vendor has an alias of it: `TencentKms`, `AlibabaKms`. Clones share all state.
///
/// `C` is `TencentCloud` or `AlibabaCloud`. Only with these two is it a [`KmsBackend`]: the trait that describes
/// a vendor is private.
pub struct CloudKms<C> {
    pub(super) shared: Arc<KmsState<C>>,
}

pub(super) struct KmsState<C> {
    pub(super) cloud: C,
    pub(super) region: String,
    pub(super) key_id: String,
    pub(super) endpoint: Endpoint,
    pub(super) http: Http,
    pub(super) credentials: CredentialCache<AccessKeys>,
    pub(super) clock: Arc<dyn Clock>,
}

impl<C: Vendor> KmsState<C> {
    async fn ask<T: DeserializeOwned>(&self, request: ApiRequest) -> Result<T, KmsError> {
        let request = &request;
        let signed_with = |credentials: Arc<Kept<Credentials>>| async move {
            let context = RequestContext {
                endpoint: &self.endpoint,
                region: &self.region,
                now: self.clock.now(),
            };
            let signed = self.cloud.signed(request, &context, &credentials)?;
            let response = self.http.send(signed).await?;
            C::read(&response, &credentials)
        };
        self.credentials.with(signed_with).await
    }
}

#[async_trait]
impl<C: Vendor> KmsBackend for CloudKms<C> {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        let KmsState { cloud, key_id, .. } = &*self.shared;
        let response = self.shared.ask(cloud.get_public_key(key_id)?).await?;
        cloud.public_key(key_id, response)
    }

    async fn sign_sha256(&self, _: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        let KmsState { cloud, key_id, .. } = &*self.shared;
        let response = self.shared.ask(cloud.sign(key_id, digest)?).await?;
        cloud.signature(key_id, response)
    }

    async fn decryption_key(&self) -> Result<KmsKey, KmsError> {
        C::check_decrypts()?;
        self.public_key().await
    }

    async fn decrypt_oaep_sha1(
        &self,
        _: &KmsKey,
        ciphertext: &[u8],
    ) -> Result<Option<Vec<u8>>, KmsError> {
        let KmsState { cloud, key_id, .. } = &*self.shared;
        let response = self.shared.ask(cloud.decrypt(key_id, ciphertext)?).await?;
        // The code with which a field of another key is refused is documented by no vendor: it is an error.
        cloud.plaintext(key_id, response).map(Some)
    }
}

/// Decodes the Base64 of a response.
pub(super) fn decode<C: Vendor>(base64: &str) -> Result<Vec<u8>, KmsError> {
    BASE64.decode(base64).map_err(|e| {
        let message = format!("{} answered with something that is not Base64", C::SERVICE);
        KmsError::new(SignErrorKind::Other, message).with_source(e)
    })
}

/// Returns the error of a response about another key: the `what` with this id.
pub(super) fn answered_for<C: Vendor>(what: &str, id: &str) -> KmsError {
    let message = format!("{} answered for the {what} {id}", C::SERVICE);
    KmsError::setting(message, "check which service the endpoint leads to")
}

impl<C> Clone for CloudKms<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C: fmt::Debug> fmt::Debug for CloudKms<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudKms")
            .field("cloud", &self.shared.cloud)
            .field("region", &self.shared.region)
            .field("key_id", &self.shared.key_id)
            .field("endpoint", &self.shared.endpoint)
            .field("credentials", &self.shared.credentials)
            .finish_non_exhaustive()
    }
}
