//! Requests to the service, and the common parts of its responses.

use http::{HeaderValue, Method, Request, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::approval::WrapInfo;
use super::refusal::{Doing, lacking, refusal};
use crate::error::KmsError;
use crate::http::client::{Http, Response};
use crate::http::endpoint::Endpoint;

/// Sends requests to one namespace of one service.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) http: Http,
    pub(super) endpoint: Endpoint,
    pub(super) namespace: Option<HeaderValue>,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) doing: Doing,
    pub(super) path: &'a str,
    /// JSON; a request without a body is a `GET`.
    pub(super) body: Option<&'a [u8]>,
}

impl Client {
    /// Sends a request. Returns any response, whatever its status.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        token: Option<&str>,
    ) -> Result<Response, KmsError> {
        let mut request = Request::builder()
            .method(if call.body.is_some() { Method::POST } else { Method::GET })
            .uri(self.endpoint.join(call.path)?)
            .header("x-vault-request", "true")
            .header(header::ACCEPT, "application/json");
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(token).ok().filter(|_| token.is_ascii());
            let Some(mut token) = value else {
                return Err(KmsError::setting(
                    "the token contains invalid characters",
                    "check where it comes from",
                ));
            };
            token.set_sensitive(true);
            request = request.header("x-vault-token", token);
        }
        let request = request.body(call.body.unwrap_or_default().to_vec()).map_err(|e| {
            KmsError::setting("no request can be made of these settings", "report it")
                .with_source(e)
        })?;
        self.http.send(request).await
    }
}

/// Extracts the expected part of a response; an error if the part is missing.
pub(super) fn read<T, P: DeserializeOwned>(
    response: &Response,
    doing: Doing,
    part: impl FnOnce(P) -> Option<T>,
) -> Result<T, KmsError> {
    let Remarks { errors, warnings, .. } = remarks(response, doing)?;
    let (errors, warnings) = (errors.unwrap_or_default(), warnings.unwrap_or_default());
    match part(response.json()?) {
        Some(part) if errors.is_empty() => Ok(part),
        _ => Err(lacking(response, &[errors, warnings].concat())),
    }
}

/// Returns the wrapping information of a success without data, if others must approve it first.
pub(super) fn held(response: &Response, doing: Doing) -> Result<Option<WrapInfo>, KmsError> {
    let Remarks { errors, wrap_info, data, .. } = remarks(response, doing)?;
    let is_held = data.is_none() && errors.is_none_or(|errors| errors.is_empty());
    Ok(wrap_info.filter(|_| is_held))
}

fn remarks(response: &Response, doing: Doing) -> Result<Remarks, KmsError> {
    if response.status.is_success() { response.json() } else { Err(refusal(response, doing)) }
}

/// The fields of a response beside its data.
#[derive(Deserialize)]
struct Remarks {
    errors: Option<Vec<String>>,
    warnings: Option<Vec<String>>,
    wrap_info: Option<WrapInfo>,
    data: Option<IgnoredAny>,
}
