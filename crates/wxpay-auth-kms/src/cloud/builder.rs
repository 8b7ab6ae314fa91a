//! The settings of the back end.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use wxpay_auth_core::{Clock, SystemClock};

use super::kms::{CloudKms, KmsState};
use super::vendor::Vendor;
use crate::credentials::access_keys::AccessKeys;
use crate::credentials::cache::CredentialCache;
use crate::credentials::provider::CredentialProvider;
use crate::error::KmsError;
use crate::http::client::Http;
use crate::http::endpoint::{Endpoint, is_region};
use crate::http::tls::KmsTls;

/// Sets up a [`CloudKms`].
///
/// Each vendor has an alias of it: `TencentKmsBuilder`, `AlibabaKmsBuilder`.
#[derive(Clone)]
#[must_use = "nothing happens until it is built"]
pub struct CloudKmsBuilder<C> {
    pub(super) cloud: C,
    region: String,
    key_id: String,
    endpoint: Option<Endpoint>,
    credentials: Option<Arc<dyn CredentialProvider>>,
    tls: KmsTls,
    clock: Arc<dyn Clock>,
}

impl<C> CloudKmsBuilder<C> {
    pub(super) fn new(cloud: C, region: String, key_id: String) -> Self {
        let (tls, clock) = (KmsTls::new(), Arc::new(SystemClock));
        Self { cloud, region, key_id, endpoint: None, credentials: None, tls, clock }
    }

    /// Sets the address of the service: by default, that of the vendor for the region. Signatures
    /// cover the host and the path `/`: a proxy must keep both, and an endpoint with a path is
    /// refused.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Sets the source of the access keys: fixed [`Credentials`](crate::Credentials), the
    /// [`CloudRole`](crate::CloudRole) of the machine, or another provider (OIDC in Kubernetes,
    /// `AssumeRole`).
    pub fn credentials(mut self, credentials: impl CredentialProvider + 'static) -> Self {
        self.credentials = Some(Arc::new(credentials));
        self
    }

    /// Sets the trusted certificates.
    pub fn tls(mut self, tls: KmsTls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the clock of the request signatures.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

/// Checks the settings, and builds the back end.
pub(super) fn build<C: Vendor>(builder: CloudKmsBuilder<C>) -> Result<CloudKms<C>, KmsError> {
    let CloudKmsBuilder { cloud, region, key_id, endpoint, credentials, tls, clock } = builder;
    let region = self::region(region)?;
    name("key id", &key_id)?;
    cloud.check()?;
    let provider = credentials.ok_or_else(|| {
        KmsError::setting(
            "there is no access key",
            "set the credentials: fixed ones, from the environment, of the role of the instance, or \
             from a custom CredentialProvider",
        )
    })?;
    let endpoint = match endpoint {
        None => Endpoint::new(C::default_endpoint(&region))?,
        Some(endpoint) if endpoint.has_path() => {
            return Err(KmsError::setting(
                "the endpoint has a path, which request signatures do not support",
                "write https://HOST[:PORT] alone",
            ));
        }
        Some(endpoint) => endpoint,
    };
    let http = Http::new(C::SERVICE, &tls)?;
    let credentials = CredentialCache::new(AccessKeys::new(provider, Arc::clone(&clock)));
    let shared = KmsState { cloud, region, key_id, endpoint, http, credentials, clock };
    Ok(CloudKms { shared: Arc::new(shared) })
}

impl<C: fmt::Debug> fmt::Debug for CloudKmsBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudKmsBuilder")
            .field("cloud", &self.cloud)
            .field("region", &self.region)
            .field("key_id", &self.key_id)
            .field("endpoint", &self.endpoint)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Checks the name of a region, which becomes a part of a host name and must not end it.
fn region(region: String) -> Result<String, KmsError> {
    if is_region(&region) {
        return Ok(region);
    }
    Err(KmsError::setting(
        "the region is empty, or has other characters than letters, digits and -",
        "copy it from the console of the service: ap-guangzhou, cn-hangzhou",
    ))
}

/// Checks a name that is sent in headers or parameters.
pub(super) fn name(what: &str, name: &str) -> Result<(), KmsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(());
    }
    Err(KmsError::setting(
        format!("the {what} is empty, or contains invalid characters"),
        "copy it from the console of the service",
    ))
}

/// Returns the value of a sensitive header, which logs do not show.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, KmsError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        KmsError::setting(
            "the access key or its session token contains invalid characters",
            "copy it again, without line breaks",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
