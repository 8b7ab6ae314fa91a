//! The settings of the back end for Alibaba Cloud KMS.

use std::fmt;
use std::sync::Arc;

use wxpay_auth_core::{Clock, NonceSource, SystemNonce};

use super::SERVICE;
use super::backend::{AlibabaKms, Shared};
use crate::cloud::{CredentialProvider, Credentials, Setup, name, region};
use crate::error::KmsError;
use crate::http::endpoint::Endpoint;
use crate::http::tls::KmsTls;

/// Sets up a [`AlibabaKms`]; [`AlibabaKms::builder`] makes one.
#[derive(Clone)]
#[must_use = "nothing happens until it is built"]
pub struct AlibabaKmsBuilder {
    region: String,
    key_id: String,
    key_version_id: String,
    nonces: Arc<dyn NonceSource>,
    setup: Setup,
}

impl AlibabaKmsBuilder {
    pub(super) fn new(region: String, key_id: String, key_version_id: String) -> Self {
        let nonces = Arc::new(SystemNonce::new());
        Self { region, key_id, key_version_id, nonces, setup: Setup::new() }
    }

    /// Sets the address of the service: `https://kms.{region}.aliyuncs.com` by default;
    /// `https://kms-vpc.{region}.aliyuncs.com` from within a VPC, or the address of a KMS instance,
    /// whose CA is then given with [`tls`](Self::tls). Its host is signed, and the path `/`: a proxy
    /// in between must keep both, and an endpoint with a path is refused.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.setup.endpoint = Some(endpoint);
        self
    }

    /// Sets where access keys come from: [`Credentials`] that are fixed, the
    /// [`AlibabaRole`](super::AlibabaRole) of the machine, or a provider of your own (OIDC in ACK,
    /// `AssumeRole`).
    pub fn credentials(mut self, credentials: impl CredentialProvider + 'static) -> Self {
        self.setup.credentials = Some(Arc::new(credentials));
        self
    }

    /// Takes the access key from `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, and
    /// `ALIBABA_CLOUD_SECURITY_TOKEN` where it is temporary.
    ///
    /// # Errors
    /// [`KmsError`] when one of the first two is not set.
    pub fn credentials_from_env(self) -> Result<Self, KmsError> {
        const TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
        let (id, secret) = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
        Ok(self.credentials(Credentials::variables(id, secret, TOKEN)?))
    }

    /// Sets whom to trust.
    pub fn tls(mut self, tls: KmsTls) -> Self {
        self.setup.tls = tls;
        self
    }

    /// Sets where the time comes from. Requests are signed with it.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.setup.clock = Arc::new(clock);
        self
    }

    /// Sets where the nonces of requests come from.
    pub fn nonce_source(mut self, nonces: impl NonceSource + 'static) -> Self {
        self.nonces = Arc::new(nonces);
        self
    }

    /// Builds it. It reads the CA certificates of the platform: call it at start.
    ///
    /// # Errors
    /// [`KmsError`] when there are no credentials, or a setting makes no sense.
    pub fn build(self) -> Result<AlibabaKms, KmsError> {
        let Self { region, key_id, key_version_id, nonces, setup } = self;
        let region = self::region(region)?;
        let endpoint = setup.endpoint(&format!("https://kms.{region}.aliyuncs.com"))?;
        Ok(AlibabaKms::new(Shared {
            region,
            key_id: name("key id", key_id)?,
            key_version_id: name("id of the key version", key_version_id)?,
            http: setup.http(SERVICE)?,
            credentials: setup.cache()?,
            endpoint,
            clock: setup.clock,
            nonces,
        }))
    }
}

impl fmt::Debug for AlibabaKmsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlibabaKmsBuilder")
            .field("region", &self.region)
            .field("key_id", &self.key_id)
            .field("key_version_id", &self.key_version_id)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::SignErrorKind;

    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let access_key = Credentials::new("LTAI", "hunter2");
        for (region, key_id, version) in [
            ("", "id", "version"),
            ("cn-hangzhou", "", "version"),
            ("cn-hangzhou", "id", ""),
            ("cn-hangzhou@elsewhere", "id", "version"),
            ("杭州", "id", "version"),
            ("cn/hangzhou", "id", "version"),
            ("cn:hangzhou", "id", "version"),
            ("cn.hangzhou", "id", "version"),
        ] {
            let builder = AlibabaKms::builder(region, key_id, version);
            let error = builder.credentials(access_key.clone()).build().unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Configuration);
        }
        let builder = AlibabaKms::builder("cn-hangzhou", "id", "version").credentials(access_key);
        let with_path = Endpoint::new("https://proxy.example/kms").unwrap();
        let error = builder.clone().endpoint(with_path).build().unwrap_err();
        assert!(error.to_string().starts_with("the endpoint has a path"), "{error}");
        builder.endpoint(Endpoint::new("https://proxy.example/").unwrap()).build().unwrap();
        let error = AlibabaKms::builder("cn-hangzhou", "id", "version").build().unwrap_err();
        assert_eq!(error.to_string(), "there is no access key");
    }

    #[test]
    fn secrets_are_not_shown() {
        let access_key = Credentials::new("LTAI", "hunter2").with_session_token("hunter3");
        let builder = AlibabaKms::builder("cn-hangzhou", "id", "version").credentials(access_key);
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(shown.contains("LTAI") && !shown.contains("hunter"), "{shown}");
        assert!(shown.contains("kms.cn-hangzhou.aliyuncs.com"), "{shown}");
    }
}
