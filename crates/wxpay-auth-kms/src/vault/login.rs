//! How a token is obtained, and how it is made to last longer.

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;
use wxpay_auth_core::SignErrorKind;
use zeroize::Zeroizing;

use super::auth::{Method, VaultAuth};
use super::client::{Call, Client, read};
use super::lockout::Lockout;
use super::refusal::Doing;
use super::token::{Lease, Token};
use crate::error::KmsError;
use crate::http::client::Response;
use crate::secret::Secret;

/// Logs in, or reads the token that was given.
pub(super) async fn obtain(
    client: &Client,
    auth: &VaultAuth,
    lockout: &Lockout,
) -> Result<Token, KmsError> {
    match &auth.method {
        Method::Token(token) => look_up(client, secret(token, "the token").await?).await,
        Method::AppRole { role_id, secret_id } => {
            let secret_id = secret(secret_id, "the secret_id").await?;
            let body = serde_json::json!({ "role_id": role_id, "secret_id": *secret_id });
            log_in(client, auth, lockout, &body, &secret_id).await
        }
        Method::Kubernetes { role } => {
            let jwt = secret(&auth.jwt_file(), "the token of the service account").await?;
            let body = serde_json::json!({ "role": role, "jwt": *jwt });
            log_in(client, auth, lockout, &body, &jwt).await
        }
    }
}

/// Reads a secret, which must not be empty.
pub(super) async fn secret(secret: &Secret, what: &str) -> Result<Zeroizing<String>, KmsError> {
    let read = if secret.may_change() {
        // It may lie on a disk that is far away.
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

#[derive(Deserialize)]
struct LoggedIn {
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
    mfa_requirement: Option<IgnoredAny>,
}

async fn log_in(
    client: &Client,
    auth: &VaultAuth,
    lockout: &Lockout,
    body: &serde_json::Value,
    secret: &str,
) -> Result<Token, KmsError> {
    lockout.check(secret)?;
    let path = auth.login_path()?.unwrap_or_default();
    let body = Zeroizing::new(body.to_string());
    let call = Call { doing: Doing::LogIn, path: &path, body: Some(body.as_bytes()) };
    let asked = Instant::now();
    // It was sent in the body.
    let response = client.send(call, None).await?.after_sending(secret);
    let logged_in = logged_in(&response, asked);
    match &logged_in {
        Ok(_) => lockout.clear(),
        Err(error) if !error.kind().is_transient() => lockout.refused(secret, error),
        Err(_) => {}
    }
    logged_in
}

fn logged_in(response: &Response, asked: Instant) -> Result<Token, KmsError> {
    let auth = read(response, Doing::LogIn, |part: LoggedIn| part.auth)?;
    let lease = Lease::new(asked, auth.lease_duration, auth.renewable);
    let token = Zeroizing::new(auth.client_token);
    if token.is_empty() {
        let (problem, hint) = match auth.mfa_requirement {
            Some(_) => (
                "the login wants a second factor",
                "let a program log in without one, by a method of its own",
            ),
            None => ("the login gave no token", "check the login, and that it is not wrapped"),
        };
        return Err(KmsError::setting(problem, hint));
    }
    tracing::debug!(?lease, "logged in to vault");
    Ok(Token::new(token, lease))
}

#[derive(Deserialize)]
struct LookedUp {
    data: Option<Life>,
}

#[derive(Deserialize)]
struct Life {
    ttl: u64,
    renewable: Option<bool>,
}

/// Asks how long a token lasts. One that may not ask is taken as it is.
pub(super) async fn look_up(client: &Client, secret: Zeroizing<String>) -> Result<Token, KmsError> {
    let call = Call { doing: Doing::Renew, path: "/v1/auth/token/lookup-self", body: None };
    let asked = Instant::now();
    let response = client.send(call, Some(&secret)).await?;
    match read(&response, Doing::Renew, |part: LookedUp| part.data) {
        Ok(life) => {
            let lease = Lease::new(asked, life.ttl, life.renewable.unwrap_or(false));
            Ok(Token::new(secret, lease))
        }
        Err(error) if error.kind() == SignErrorKind::PermissionDenied => {
            tracing::debug!(%error, "how long the token of vault lasts is not known");
            Ok(Token::new(secret, None))
        }
        Err(error) => Err(error),
    }
}

/// Makes a token last longer, as far as the service lets it.
pub(super) async fn renew(client: &Client, token: &Token) -> Result<Option<Lease>, KmsError> {
    let path = "/v1/auth/token/renew-self";
    let call = Call { doing: Doing::Renew, path, body: Some(b"{}") };
    let asked = Instant::now();
    let response = client.send(call, Some(token.secret())).await?;
    let auth = read(&response, Doing::Renew, |part: LoggedIn| part.auth)?;
    drop(Zeroizing::new(auth.client_token));
    Ok(Lease::new(asked, auth.lease_duration, auth.renewable))
}
