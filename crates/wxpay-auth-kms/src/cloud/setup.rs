//! The settings that the back ends have in common.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use wxpay_auth_core::{Clock, SystemClock};

use crate::credentials::access_keys::AccessKeys;
use crate::credentials::cache::CredentialCache;
use crate::credentials::provider::CredentialProvider;
use crate::error::KmsError;
use crate::http::client::Http;
use crate::http::endpoint::{Endpoint, is_region};
use crate::http::tls::KmsTls;

/// Where a service is, with what it is asked, and how.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) credentials: Option<Arc<dyn CredentialProvider>>,
    pub(crate) tls: KmsTls,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(SystemClock);
        Self { endpoint: None, credentials: None, tls: KmsTls::new(), clock }
    }

    pub(crate) fn http(&self, service: &'static str) -> Result<Http, KmsError> {
        Http::new(service, &self.tls)
    }

    /// Returns where the service is, unless something else was set.
    pub(crate) fn endpoint(&self, default: &str) -> Result<Endpoint, KmsError> {
        match &self.endpoint {
            None => Endpoint::new(default),
            Some(endpoint) if endpoint.has_path() => Err(KmsError::setting(
                "the endpoint has a path, which the signature of a request does not allow for",
                "write https://HOST[:PORT] alone",
            )),
            Some(endpoint) => Ok(endpoint.clone()),
        }
    }

    pub(crate) fn cache(&self) -> Result<CredentialCache<AccessKeys>, KmsError> {
        let provider = self.credentials.as_ref().ok_or_else(|| {
            KmsError::setting(
                "there is no access key",
                "give credentials: fixed ones, from the environment, of the role of the instance, or \
                 from a CredentialProvider of your own",
            )
        })?;
        Ok(CredentialCache::new(AccessKeys::new(Arc::clone(provider), Arc::clone(&self.clock))))
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("endpoint", &self.endpoint)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Checks the name of a region. It becomes a part of a host name, which it must not end.
pub(crate) fn region(region: String) -> Result<String, KmsError> {
    if is_region(&region) {
        return Ok(region);
    }
    Err(KmsError::setting(
        "the region is empty, or has other characters than letters, digits and -",
        "copy it from the console of the service: ap-guangzhou, cn-hangzhou",
    ))
}

/// Checks a name that goes into headers or parameters.
pub(crate) fn name(what: &str, name: String) -> Result<String, KmsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(name);
    }
    Err(KmsError::setting(
        format!("the {what} is empty, or has characters that none has"),
        "copy it from the console of the service",
    ))
}

/// Makes the value of a header, which no log shows.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, KmsError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        KmsError::setting(
            "the access key or its session token has characters that none has",
            "copy it anew, without line breaks",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
