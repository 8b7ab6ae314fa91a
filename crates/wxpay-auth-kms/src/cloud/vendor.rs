//! The differences between vendors.

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
    /// The part after the host: `/`, or with a query.
    pub(crate) path_and_query: String,
    pub(crate) body: Vec<u8>,
}

/// The host, region and time of a request.
pub(crate) struct RequestContext<'a> {
    pub(crate) endpoint: &'a Endpoint,
    #[allow(dead_code, reason = "a vendor may have it in the name of the host alone")]
    pub(crate) region: &'a str,
    pub(crate) now: Timestamp,
}

/// A vendor whose key service authenticates requests by a signature with an access key.
pub(crate) trait Vendor: fmt::Debug + Send + Sync + 'static {
    /// The name of the service in errors.
    const SERVICE: &'static str;

    /// The responses to the requests for the public key and for a signature.
    type PublicKey: DeserializeOwned + Send;
    type Signature: DeserializeOwned + Send;
    /// The response to a request to decrypt.
    type Plaintext: DeserializeOwned + Send;

    /// Returns the default address of the service in a region.
    fn default_endpoint(region: &str) -> String;

    /// Checks the vendor-specific settings.
    fn check(&self) -> Result<(), KmsError> {
        Ok(())
    }

    /// Builds the request for the public key.
    fn get_public_key(&self, key_id: &str) -> Result<ApiRequest, KmsError>;

    /// Builds the request for the signature of a digest.
    fn sign(&self, key_id: &str, digest: &[u8; 32]) -> Result<ApiRequest, KmsError>;

    /// Checks that the service decrypts sensitive fields.
    fn check_decrypts() -> Result<(), KmsError>;

    /// Builds the request to decrypt a field.
    fn decrypt(&self, key_id: &str, ciphertext: &[u8]) -> Result<ApiRequest, KmsError>;

    /// Signs a request.
    fn signed(
        &self,
        request: &ApiRequest,
        context: &RequestContext<'_>,
        credentials: &Credentials,
    ) -> Result<Request<Vec<u8>>, KmsError>;

    /// Parses a response.
    fn read<T: DeserializeOwned>(
        response: &Response,
        credentials: &Credentials,
    ) -> Result<T, RequestFailure>;

    /// Extracts the public key from the response, which must be about this key.
    fn public_key(&self, key_id: &str, response: Self::PublicKey) -> Result<KmsKey, KmsError>;

    /// Extracts the signature from the response, which must be about this key.
    fn signature(&self, key_id: &str, response: Self::Signature) -> Result<Vec<u8>, KmsError>;

    /// Extracts the plaintext from the response, which must be about this key.
    fn plaintext(&self, key_id: &str, response: Self::Plaintext) -> Result<Vec<u8>, KmsError>;
}

/// How the metadata service of a vendor's instances issues the access key of their role.
#[async_trait]
pub(crate) trait RoleMetadata: Send + Sync + 'static {
    /// The address of the metadata service.
    const ADDRESS: &'static str;
    /// The folder with one file per role.
    const FOLDER: &'static str;

    /// The format of the file.
    type File: DeserializeOwned + Into<RoleKey> + Send;

    /// Returns the headers that the service requires.
    async fn headers(_: &Metadata) -> Result<Vec<(&'static str, HeaderValue)>, KmsError> {
        Ok(Vec::new())
    }
}

/// An access key as a metadata service returns it.
pub(crate) struct RoleKey {
    /// `Success`, or the reason why there is no key.
    pub(crate) code: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) secret: Option<Zeroizing<String>>,
    pub(crate) session_token: Option<Zeroizing<String>>,
    pub(crate) expires_at: Option<Timestamp>,
}
