//! The access key of a cloud vendor, and its provider.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth_core::Timestamp;
use wxpay_auth_core::internal::without;
use zeroize::Zeroizing;

use crate::error::KmsError;
use crate::secret::Secret;

/// An access key of a cloud vendor: its id, its secret, and, if temporary, a session token.
#[derive(Clone)]
pub struct Credentials {
    id: String,
    secret: Arc<Zeroizing<String>>,
    session_token: Option<Arc<Zeroizing<String>>>,
    expires_at: Option<Timestamp>,
}

impl Credentials {
    /// Creates an access key that does not expire: `SecretId` and `SecretKey` of Tencent Cloud,
    /// `AccessKeyId` and `AccessKeySecret` of Alibaba Cloud.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        let secret = Arc::new(Zeroizing::new(secret.into()));
        Self { id: id.into(), secret, session_token: None, expires_at: None }
    }

    /// Adds the session token of a temporary access key.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(Arc::new(Zeroizing::new(token.into())));
        self
    }

    /// Adds the expiry time.
    #[must_use]
    pub fn with_expiry(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Reads an access key from three environment variables; the last one is optional.
    pub(crate) fn variables(
        id: &'static str,
        secret: &'static str,
        token: &'static str,
    ) -> Result<Self, KmsError> {
        let read = |name| Secret::variable(name).and_then(|secret| secret.read());
        let credentials = Self::new(read(id)?.as_str(), read(secret)?.as_str());
        Ok(match read(token) {
            Ok(token) => credentials.with_session_token(token.as_str()),
            Err(_) => credentials,
        })
    }

    /// Returns the id of the access key, which is not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the expiry time, if any.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    pub(crate) fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.as_str())
    }

    /// Redacts its secrets in a text of the service.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let secrets = [self.secret(), self.session_token().unwrap_or_default()];
        without(text, &secrets).into_owned()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.secret == other.secret
            && self.session_token() == other.session_token()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &format_args!("{}…", beginning(&self.id)))
            .field("has_session_token", &self.session_token.is_some())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Returns the first characters of an id, which tell its kind (`AKID`, `LTAI`). No more is shown,
/// because id and secret are easily mixed up.
fn beginning(id: &str) -> &str {
    id.char_indices().nth(4).and_then(|(end, _)| id.get(..end)).unwrap_or(id)
}

/// Provides access keys. A key is cached until shortly before it expires, or until the service
/// refuses it.
///
/// The provider is called in a separate task, once for all waiting signatures, and may take 8 s; a
/// caller that stops waiting does not cancel the call. While a key is valid, nobody waits. A new
/// key that was never accepted is not replaced for 5 s, and after a permanent error the provider is
/// not called again for 5 s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `CredentialProvider`",
    label = "expected `Credentials`, a role of the instance, or a provider of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// Returns an access key.
    ///
    /// # Errors
    /// [`KmsError`] if there is none, or if it is not available at the moment.
    async fn credentials(&self) -> Result<Credentials, KmsError>;
}

#[async_trait]
impl CredentialProvider for Credentials {
    async fn credentials(&self) -> Result<Credentials, KmsError> {
        Ok(self.clone())
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<P: CredentialProvider + ?Sized> CredentialProvider for $pointer {
            async fn credentials(&self) -> Result<Credentials, KmsError> {
                (**self).credentials().await
            }
        }
    )+};
}

forward!(&P, Arc<P>, Box<P>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials::new("AKIDz8krb", "hunter2").with_session_token("hunter3");
        let shown = format!("{credentials:?}");
        assert!(shown.contains("AKID…") && !shown.contains("hunter"), "{shown}");
        let mixed_up = format!("{:?}", Credentials::new("hunter2", "AKIDz8krb"));
        assert!(!mixed_up.contains("hunter2"), "{mixed_up}");
        let said = "signed with hunter2 (x-acs-security-token:hunter3)";
        let shown = credentials.without_secrets(said);
        assert_eq!(shown, "signed with […] (x-acs-security-token:[…])");
        assert_eq!(Credentials::new("", "").without_secrets(said), said);
    }
}
