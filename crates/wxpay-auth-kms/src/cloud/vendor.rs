//! What differs from vendor to vendor.

use std::fmt;

use async_trait::async_trait;
use http::{HeaderValue, Request};
use serde::de::DeserializeOwned;
use wxpay_auth_core::Timestamp;
use zeroize::Zeroizing;

use crate::backend::KmsKey;
use crate::credentials::metadata::Metadata;
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;
use crate::http::endpoint::Endpoint;

/// A request to the API of a vendor, before it is signed.
pub(crate) struct ApiRequest {
    pub(crate) action: &'static str,
    /// As it stands behind the host: `/`, or with a query behind it.
    pub(crate) path_and_query: String,
    pub(crate) body: Vec<u8>,
}

/// Where and when a request is made.
pub(crate) struct Place<'a> {
    pub(crate) endpoint: &'a Endpoint,
    #[allow(dead_code, reason = "a vendor may have it in the name of the host alone")]
    pub(crate) region: &'a str,
    pub(crate) now: Timestamp,
}

/// A vendor whose key service is asked with requests that are signed with an access key.
pub(crate) trait Vendor: fmt::Debug + Send + Sync + 'static {
    /// How the service is called in errors.
    const SERVICE: &'static str;

    /// The responses to the two requests that there are.
    type PublicKey: DeserializeOwned + Send;
    type Signature: DeserializeOwned + Send;

    /// Returns the address of the service in a region.
    fn default_endpoint(region: &str) -> String;

    /// Checks the settings that this vendor has beside region and key id.
    fn check(&self) -> Result<(), KmsError> {
        Ok(())
    }

    /// Asks for the public key.
    fn get_public_key(&self, key_id: &str) -> Result<ApiRequest, KmsError>;

    /// Asks for the signature of a digest.
    fn sign(&self, key_id: &str, digest: &[u8; 32]) -> Result<ApiRequest, KmsError>;

    /// Signs a request.
    fn signed(
        &self,
        request: &ApiRequest,
        place: &Place<'_>,
        credentials: &Credentials,
    ) -> Result<Request<Vec<u8>>, KmsError>;

    /// Reads a response.
    fn read<T: DeserializeOwned>(
        response: &Response,
        credentials: &Credentials,
    ) -> Result<T, RequestFailure>;

    /// Reads the public key out of the response, which must be about this key.
    fn public_key(&self, key_id: &str, response: Self::PublicKey) -> Result<KmsKey, KmsError>;

    /// Reads the signature out of the response, which must be about this key.
    fn signature(&self, key_id: &str, response: Self::Signature) -> Result<Vec<u8>, KmsError>;
}

/// How the metadata service of a vendor's machines gives out the access key of their role.
#[async_trait]
pub(crate) trait RoleMetadata: Send + Sync + 'static {
    /// The address of the metadata service.
    const ADDRESS: &'static str;
    /// The folder that has a file for each role.
    const FOLDER: &'static str;

    /// The file.
    type File: DeserializeOwned + Into<RoleKey> + Send;

    /// Returns the headers that the service wants to see.
    async fn headers(_: &Metadata) -> Result<Vec<(&'static str, HeaderValue)>, KmsError> {
        Ok(Vec::new())
    }
}

/// An access key as a metadata service gives it out.
pub(crate) struct RoleKey {
    /// `Success`, or why there is none.
    pub(crate) code: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) secret: Option<Zeroizing<String>>,
    pub(crate) session_token: Option<Zeroizing<String>>,
    pub(crate) expires_at: Option<Timestamp>,
}
