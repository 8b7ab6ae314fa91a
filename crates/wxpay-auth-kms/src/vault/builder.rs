//! The settings of the back end.

use std::sync::Arc;

use http::HeaderValue;

use super::auth::VaultAuth;
use super::client::Client;
use super::names;
use super::session::Session;
use super::transit::VaultTransit;
use crate::error::KmsError;
use crate::http::client::Http;
use crate::http::endpoint::Endpoint;
use crate::http::tls::KmsTls;

/// Sets up a [`VaultTransit`]; created by [`VaultTransit::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens until it is built"]
pub struct VaultTransitBuilder {
    endpoint: Endpoint,
    key: String,
    mount: String,
    key_version: Option<u32>,
    namespace: Option<String>,
    auth: Option<VaultAuth>,
    tls: KmsTls,
}

impl VaultTransitBuilder {
    pub(super) fn new(endpoint: Endpoint, key: String) -> Self {
        Self {
            endpoint,
            key,
            mount: "transit".to_owned(),
            key_version: None,
            namespace: None,
            auth: None,
            tls: KmsTls::new(),
        }
    }

    /// Sets the mount of the Transit engine: `transit` by default.
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// Sets the version of the key, counted from 1: by default the latest when the signer connects.
    /// A signer keeps using the version that it connected to.
    pub fn key_version(mut self, version: u32) -> Self {
        self.key_version = Some(version);
        self
    }

    /// Sets the namespace, of the key and of the login.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets how to log in. Required.
    pub fn auth(mut self, auth: VaultAuth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Sets the trusted certificates and the client certificate.
    pub fn tls(mut self, tls: KmsTls) -> Self {
        self.tls = tls;
        self
    }

    /// Checks the settings. Sends no request yet.
    ///
    /// # Errors
    /// [`KmsError`] if there is no login, a name or version is invalid, or the TLS settings cannot
    /// be used.
    pub fn build(self) -> Result<VaultTransit, KmsError> {
        let auth = self.auth.ok_or_else(|| {
            KmsError::setting(
                "there is no login for vault",
                "give a VaultAuth: a token, an AppRole",
            )
        })?;
        auth.check()?;
        names::key(&self.key)?;
        let mount = names::path("the mount", &self.mount)?;
        let namespace = self.namespace.as_deref().map(namespace).transpose()?;
        if self.key_version == Some(0) {
            return Err(KmsError::setting(
                "the versions of a key begin with 1",
                "give one of them, or none for the latest",
            ));
        }
        let http = Http::new("vault", &self.tls)?;
        let client = Client { http, endpoint: self.endpoint, namespace };
        Ok(VaultTransit {
            session: Arc::new(Session::new(client, auth)),
            renewal: Arc::default(),
            mount,
            key: self.key,
            version: self.key_version,
        })
    }
}

/// Checks the name of a namespace, which is sent unencoded in a header.
fn namespace(namespace: &str) -> Result<HeaderValue, KmsError> {
    names::path("the namespace", namespace)?;
    HeaderValue::from_str(namespace)
        .map_err(|_| KmsError::setting("the namespace is not valid in a header", "check its name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn builder(key: &str) -> VaultTransitBuilder {
        let endpoint = Endpoint::new("https://vault:8200").unwrap();
        VaultTransit::builder(endpoint, key).auth(VaultAuth::token(Secret::new("hunter2")))
    }

    #[test]
    fn settings_are_checked_before_anything_is_sent() {
        builder("merchant").build().unwrap();
        builder("merchant").mount("eu/transit").namespace("team-a/").build().unwrap();
        let endpoint = Endpoint::new("https://vault:8200").unwrap();
        for wrong in [
            VaultTransit::builder(endpoint, "merchant"),
            builder(""),
            builder("a/b"),
            builder("merchant").mount("../sys"),
            builder("merchant").mount(""),
            builder("merchant").namespace(""),
            builder("merchant").namespace("a\r\nX-Vault-Token: b"),
            builder("merchant").key_version(0),
            builder("merchant").auth(VaultAuth::kubernetes("")),
        ] {
            let error = wrong.build().unwrap_err();
            assert_eq!(error.kind(), wxpay_auth_core::SignErrorKind::Configuration, "{error}");
        }
    }

    #[test]
    fn nothing_shows_the_token() {
        let builder = builder("merchant").namespace("team-a").key_version(3);
        let vault = builder.clone().build().unwrap();
        for shown in [format!("{builder:?}"), format!("{vault:?}")] {
            assert!(shown.contains("merchant") && shown.contains("team-a"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
