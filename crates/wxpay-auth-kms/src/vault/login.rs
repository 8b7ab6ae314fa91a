//! Obtaining a token, and renewing it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wxpay_auth_core::SignErrorKind;
use wxpay_auth_core::internal::log;
use zeroize::Zeroizing;

use super::auth::{Method, VaultAuth};
use super::client::{Call, Client, read};
use super::lockout::Lockout;
use super::refusal::Doing;
use super::token::{Lease, Token};
use crate::credentials::cache::{CredentialSource, Kept, Life};
use crate::error::KmsError;
use crate::http::client::Response;
use crate::secret::Secret;

/// Time limit of a login or a renewal.
const PATIENCE: Duration = Duration::from_secs(10);

/// Obtains tokens by logging in, or from the given secret.
#[derive(Debug)]
pub(super) struct Login {
    client: Arc<Client>,
    auth: VaultAuth,
    lockout: Lockout,
}

impl Login {
    pub(super) fn new(client: Arc<Client>, auth: VaultAuth) -> Self {
        Self { client, lockout: Lockout::new(auth.locks_out()), auth }
    }

    pub(super) fn auth(&self) -> &VaultAuth {
        &self.auth
    }

    /// Renews the token, or obtains another one if it cannot be renewed further.
    pub(super) async fn prolong(
        &self,
        token: &Kept<Token>,
        lease: Lease,
    ) -> Result<Kept<Token>, KmsError> {
        if let Method::Token(given) = &self.auth.method
            && *secret(given, "the token").await? != token.secret()
        {
            return self.obtain().await.map(Kept::new);
        }
        if lease.renewable && !token.has_ended() {
            match renew(&self.client, token).await {
                Ok(Some(longer)) if longer.outlasts(&lease) => {
                    log::debug!(lease = ?longer, "the token of vault was renewed");
                    return Ok(token.renewed(token.lasting(longer)));
                }
                Ok(_) => log::debug!("the token of vault has reached its maximum TTL"),
                Err(error) if error.kind().is_transient() => return Err(error),
                Err(error) => log::debug!(%error, "the token of vault was not renewed"),
            }
        }
        if self.auth.logs_in() {
            return self.obtain().await.map(Kept::new);
        }
        // The owner of the token may renew it, too.
        let found = look_up(&self.client, token.secret().to_owned().into()).await?;
        if let Some(longer) = found.lease().filter(|longer| longer.outlasts(&lease)) {
            log::debug!(lease = ?longer, "the token of vault was renewed by another client");
            return Ok(token.renewed(token.lasting(*longer)));
        }
        Err(KmsError::setting(
            "the token cannot be renewed",
            "use a renewable token, keep the token file up to date, or log in with an AppRole",
        ))
    }
}

#[async_trait]
impl CredentialSource for Login {
    type Credential = Token;

    const PATIENCE: Duration = PATIENCE;
    const SILENCE: Duration = Duration::ZERO;

    /// Logs in, or reads the given token.
    async fn obtain(&self) -> Result<Token, KmsError> {
        let Self { client, auth, lockout } = self;
        match &auth.method {
            Method::Token(token) => look_up(client, secret(token, "the token").await?).await,
            Method::AppRole { role_id, secret_id } => {
                let secret_id = secret(secret_id, "the secret_id").await?;
                let body = AppRoleLogin { role_id, secret_id: &secret_id };
                log_in(client, auth, lockout, &body, &secret_id).await
            }
            Method::Kubernetes { role } => {
                let jwt = secret(&auth.jwt_file(), "the token of the service account").await?;
                let body = KubernetesLogin { role, jwt: &jwt };
                log_in(client, auth, lockout, &body, &jwt).await
            }
        }
    }

    /// The actual lifetime of a given token may be longer than known here, so only the service
    /// decides. The renewal task replaces tokens before they expire.
    fn life(&self, token: &Token) -> Life {
        if token.has_ended() && self.auth.has_others() { Life::Ended } else { Life::Lasts }
    }

    fn is_same(&self, one: &Token, other: &Token) -> bool {
        one.secret() == other.secret()
    }

    fn too_late(&self) -> KmsError {
        KmsError::timeout(PATIENCE)
    }

    /// A file may contain another token at any time.
    fn replaces(&self, is_new: bool) -> bool {
        self.auth.has_others() && !(self.auth.logs_in() && is_new)
    }

    /// [`Lockout`] decides how long a secret is not sent again; a new secret may be there at once.
    fn pause_after(&self, _: &KmsError) -> Duration {
        Duration::ZERO
    }
}

/// Reads a secret, which must not be empty.
async fn secret(secret: &Secret, what: &str) -> Result<Zeroizing<String>, KmsError> {
    let read = if secret.may_change() {
        // The file may be on a slow network disk.
        let secret = secret.clone();
        tokio::task::spawn_blocking(move || secret.read()).await.map_err(|e| {
            KmsError::new(SignErrorKind::Other, format!("{what} could not be read")).with_source(e)
        })?
    } else {
        secret.read()
    }?;
    if read.is_empty() {
        return Err(KmsError::setting(format!("{what} is empty"), "check where it comes from"));
    }
    Ok(read)
}

#[derive(Serialize)]
struct AppRoleLogin<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

#[derive(Serialize)]
struct KubernetesLogin<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Zeroizing<String>,
    lease_duration: u64,
    renewable: bool,
    mfa_requirement: Option<IgnoredAny>,
}

async fn log_in(
    client: &Client,
    auth: &VaultAuth,
    lockout: &Lockout,
    body: &impl Serialize,
    secret: &str,
) -> Result<Token, KmsError> {
    lockout.check(secret)?;
    let path = auth.login_path()?.unwrap_or_default();
    let body = json_of_secret(body, secret)?;
    let call = Call { doing: Doing::LogIn, path: &path, body: Some(&body) };
    let asked = Instant::now();
    // The secret was sent in the body.
    let response = client.send(call, None).await?.after_sending(secret);
    let logged_in = logged_in(&response, asked);
    match &logged_in {
        Ok(token) => {
            lockout.clear();
            log::debug!(lease = ?token.lease(), "logged in to vault");
        }
        Err(error) if !error.kind().is_transient() => lockout.refused(secret, error),
        Err(_) => {}
    }
    logged_in
}

/// Writes JSON that contains a secret. Its memory is reserved beforehand: a growing buffer would leave
/// copies behind.
fn json_of_secret(body: &impl Serialize, secret: &str) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    // A character takes six bytes at most; the rest is a name, which is shorter.
    let capacity = secret.len().saturating_mul(6).saturating_add(4096);
    let mut json = Zeroizing::new(Vec::with_capacity(capacity));
    serde_json::to_writer(&mut *json, body).map_err(|e| {
        KmsError::setting("the login cannot be written", "report it").with_source(e)
    })?;
    Ok(json)
}

fn logged_in(response: &Response, asked: Instant) -> Result<Token, KmsError> {
    let auth = read(response, Doing::LogIn, |part: LoggedIn| part.auth)?;
    let lease = Lease::new(asked, auth.lease_duration, auth.renewable);
    let token = auth.client_token;
    if token.is_empty() {
        let (problem, hint) = match auth.mfa_requirement {
            Some(_) => (
                "the login wants a second factor",
                "use a login method for programs, without a second factor",
            ),
            None => ("the login gave no token", "check the login, and that it is not wrapped"),
        };
        return Err(KmsError::setting(problem, hint));
    }
    Ok(Token::new(token, lease))
}

#[derive(Deserialize)]
struct LookedUp {
    data: Option<Lifetime>,
}

#[derive(Deserialize)]
struct Lifetime {
    ttl: u64,
    renewable: Option<bool>,
}

/// Looks up the lease of a token. If the token may not look itself up, its lease is unknown.
async fn look_up(client: &Client, secret: Zeroizing<String>) -> Result<Token, KmsError> {
    let call = Call { doing: Doing::Renew, path: "/v1/auth/token/lookup-self", body: None };
    let asked = Instant::now();
    let response = client.send(call, Some(&secret)).await?;
    match read(&response, Doing::Renew, |part: LookedUp| part.data) {
        Ok(life) => {
            let lease = Lease::new(asked, life.ttl, life.renewable.unwrap_or(false));
            Ok(Token::new(secret, lease))
        }
        Err(error) if error.kind() == SignErrorKind::PermissionDenied => {
            log::debug!(%error, "the lease of the token of vault is unknown");
            Ok(Token::new(secret, None))
        }
        Err(error) => Err(error),
    }
}

/// Renews a token as far as the service allows; `None` if the new lease is unlimited.
async fn renew(client: &Client, token: &Token) -> Result<Option<Lease>, KmsError> {
    let path = "/v1/auth/token/renew-self";
    let call = Call { doing: Doing::Renew, path, body: Some(b"{}") };
    let asked = Instant::now();
    let response = client.send(call, Some(token.secret())).await?;
    let auth = read(&response, Doing::Renew, |part: LoggedIn| part.auth)?;
    Ok(Lease::new(asked, auth.lease_duration, auth.renewable))
}
