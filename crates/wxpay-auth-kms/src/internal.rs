//! What the addresses of `wxpay-auth` need beyond the public API. Not part of the public API: any
//! release may change it.

#[cfg(feature = "vault")]
use wxpay_auth_core::internal::FileSource;

#[cfg(feature = "aws-config")]
pub use crate::aws::client::aws_client;
#[cfg(any(feature = "_access-key", feature = "aws-config"))]
pub use crate::http::endpoint::is_region;
#[cfg(feature = "vault")]
use crate::{Secret, VaultAuth};

/// Reads a secret from a file that is named by this parameter of an address.
#[cfg(feature = "vault")]
pub fn secret_file_in(parameter: &'static str, file: FileSource) -> Secret {
    Secret::file_in(parameter, file)
}

/// Sets the token of the service account for a Kubernetes login.
#[cfg(feature = "vault")]
#[must_use]
pub fn with_jwt(auth: VaultAuth, jwt: Secret) -> VaultAuth {
    auth.jwt_secret(jwt)
}
