//! The login method.

use std::fmt;
use std::path::PathBuf;

use super::names;
use crate::error::KmsError;
use crate::secret::Secret;

/// How to log in to Vault or OpenBao.
///
/// The first login happens at first use, the next when a token expires or is refused. A renewable
/// token is renewed well before it expires, even while nothing is signed.
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{Secret, VaultAuth};
///
/// // A token, or the file that a Vault agent writes one to.
/// let token = VaultAuth::token(Secret::file("/run/vault/token"));
/// let app_role = VaultAuth::app_role("5f1c72e2-…", Secret::file("/run/secrets/secret_id"));
/// let kubernetes = VaultAuth::kubernetes("wxpay").mount("kubernetes-prod");
/// # let _ = (token, app_role, kubernetes);
/// ```
#[derive(Clone)]
pub struct VaultAuth {
    pub(super) method: Method,
    mount: Option<String>,
    jwt: Option<Secret>,
}

#[derive(Clone)]
pub(super) enum Method {
    Token(Secret),
    AppRole { role_id: String, secret_id: Secret },
    Kubernetes { role: String },
}

/// Where Kubernetes mounts the token of the service account.
const JWT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl VaultAuth {
    /// Uses a token. A token from a file is read again when it is refused and when it is due for
    /// renewal, because the file may contain a new one.
    pub fn token(token: Secret) -> Self {
        Self::by(Method::Token(token))
    }

    /// Logs in with an `AppRole`. A `secret_id` from a file is read again at each login; a
    /// single-use `secret_id` is not enough.
    pub fn app_role(role_id: impl Into<String>, secret_id: Secret) -> Self {
        Self::by(Method::AppRole { role_id: role_id.into(), secret_id })
    }

    /// Logs in with the service account of a Kubernetes pod, whose token is read again at each login.
    pub fn kubernetes(role: impl Into<String>) -> Self {
        Self::by(Method::Kubernetes { role: role.into() })
    }

    fn by(method: Method) -> Self {
        Self { method, mount: None, jwt: None }
    }

    /// Sets the mount of the login method: `approle` and `kubernetes` by default.
    #[must_use]
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = Some(mount.into());
        self
    }

    /// Sets the file with the token of the service account:
    /// `/var/run/secrets/kubernetes.io/serviceaccount/token` by default.
    #[must_use]
    pub fn jwt(self, path: impl Into<PathBuf>) -> Self {
        self.jwt_secret(Secret::file(path))
    }

    pub(crate) fn jwt_secret(mut self, jwt: Secret) -> Self {
        self.jwt = Some(jwt);
        self
    }

    pub(super) fn check(&self) -> Result<(), KmsError> {
        let wrong = |problem| Err(KmsError::setting(problem, "correct the login"));
        match &self.method {
            Method::Token(_) if self.mount.is_some() => return wrong("a token has no mount"),
            Method::AppRole { role_id, .. } if role_id.is_empty() => {
                return wrong("the role_id is empty");
            }
            Method::Kubernetes { role } if role.is_empty() => return wrong("the role is empty"),
            _ => {}
        }
        if self.jwt.is_some() && !matches!(self.method, Method::Kubernetes { .. }) {
            return wrong("only a login with Kubernetes has a jwt");
        }
        self.login_path().map(drop)
    }

    /// Returns the path of the login; `None` for a token.
    pub(super) fn login_path(&self) -> Result<Option<String>, KmsError> {
        let default = match &self.method {
            Method::Token(_) => return Ok(None),
            Method::AppRole { .. } => "approle",
            Method::Kubernetes { .. } => "kubernetes",
        };
        let mount = names::path("the mount of the login", self.mount.as_deref().unwrap_or(default));
        Ok(Some(format!("/v1/auth/{}/login", mount?)))
    }

    pub(super) fn jwt_file(&self) -> Secret {
        self.jwt.clone().unwrap_or_else(|| Secret::file(JWT))
    }

    /// Returns whether a refused token may be replaced by another one.
    pub(super) fn has_others(&self) -> bool {
        match &self.method {
            Method::Token(token) => token.may_change(),
            _ => true,
        }
    }

    /// Returns whether the service locks the role out after too many failed logins.
    pub(super) fn locks_out(&self) -> bool {
        matches!(self.method, Method::AppRole { .. })
    }

    pub(super) fn logs_in(&self) -> bool {
        !matches!(self.method, Method::Token(_))
    }
}

impl fmt::Debug for VaultAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("VaultAuth");
        match &self.method {
            Method::Token(token) => shown.field("token", token),
            Method::AppRole { role_id, secret_id } => {
                // Role id and secret id are easily mixed up, so neither is shown.
                let role_id = if role_id.is_empty() { "" } else { "…" };
                shown.field("role_id", &role_id).field("secret_id", secret_id)
            }
            Method::Kubernetes { role } => shown.field("role", role).field("jwt", &self.jwt_file()),
        };
        if let Some(mount) = &self.mount {
            shown.field("mount", mount);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_that_make_no_sense_are_refused() {
        let secret = || Secret::new("hunter2");
        for wrong in [
            VaultAuth::token(secret()).mount("token"),
            VaultAuth::token(secret()).jwt("/jwt"),
            VaultAuth::app_role("", secret()),
            VaultAuth::app_role("role", secret()).jwt("/jwt"),
            VaultAuth::app_role("role", secret()).mount(""),
            VaultAuth::kubernetes("role").mount("a/../b"),
            VaultAuth::kubernetes(""),
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
            assert!(!format!("{wrong:?}").contains("hunter2"));
        }
        let mixed_up = VaultAuth::app_role("hunter2", Secret::new("role"));
        assert!(!format!("{mixed_up:?}").contains("hunter2"));
        let path = |auth: VaultAuth| auth.check().and_then(|()| auth.login_path()).unwrap();
        assert_eq!(path(VaultAuth::token(secret())), None);
        let app_role = VaultAuth::app_role("role", secret());
        assert_eq!(path(app_role.clone()).unwrap(), "/v1/auth/approle/login");
        assert_eq!(path(app_role.mount("eu/app role")).unwrap(), "/v1/auth/eu/app%20role/login");
        assert_eq!(path(VaultAuth::kubernetes("role")).unwrap(), "/v1/auth/kubernetes/login");
    }

    #[test]
    fn files_and_logins_have_others() {
        assert!(!VaultAuth::token(Secret::new("t")).has_others());
        assert!(VaultAuth::token(Secret::file("t")).has_others());
        assert!(VaultAuth::app_role("role", Secret::new("s")).has_others());
        assert!(VaultAuth::kubernetes("role").has_others());
    }
}
