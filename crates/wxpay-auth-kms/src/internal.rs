//! What `wxpay-auth` needs for its addresses beside the public API. It is none itself: any release may
//! change it, so nobody else may depend on it.

#[cfg(feature = "vault")]
use wxpay_auth_core::internal::FileSource;

#[cfg(feature = "aws-config")]
pub use crate::aws::client::aws_client;
#[cfg(any(feature = "_access-key", feature = "aws-config"))]
pub use crate::http::endpoint::is_region;
#[cfg(feature = "vault")]
use crate::{Secret, VaultAuth};

/// Reads a secret from the file that stands in this parameter of an address.
#[cfg(feature = "vault")]
pub fn secret_file_in(parameter: &'static str, file: FileSource) -> Secret {
    Secret::file_in(parameter, file)
}

/// Sets the token of the service account for a login with Kubernetes.
#[cfg(feature = "vault")]
#[must_use]
pub fn with_jwt(auth: VaultAuth, jwt: Secret) -> VaultAuth {
    auth.jwt_secret(jwt)
}
