//! The metadata service of a cloud instance, which issues the access keys of its role.

use http::{HeaderValue, Method, Request};
use wxpay_auth_core::SignErrorKind;

use crate::error::KmsError;
use crate::http::client::{Http, Response};
use crate::http::endpoint::Endpoint;
use crate::http::tls::KmsTls;

const NO_ROLE_HINT: &str = "check that this machine has a role, and that it is the one named";

/// A client of a metadata service.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    http: Http,
    pub(crate) endpoint: Endpoint,
}

impl Metadata {
    /// Creates a client for a fixed address, over plain HTTP: the requests do not leave the host of
    /// this machine.
    pub(crate) fn new(url: &'static str) -> Result<Self, KmsError> {
        let http = Http::new("the metadata service", &KmsTls::trusting_nobody())?;
        Ok(Self { http, endpoint: Endpoint::plain(url)? })
    }

    /// Reads a file from the service.
    pub(crate) async fn get(
        &self,
        path: &str,
        headers: &[(&'static str, HeaderValue)],
    ) -> Result<Response, KmsError> {
        self.ask(Method::GET, path, headers).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, HeaderValue)],
    ) -> Result<Response, KmsError> {
        if self.endpoint.is_https() {
            return Err(KmsError::setting(
                "the metadata service uses plain HTTP, but its address is https",
                "write http://HOST[:PORT], for a host that is this machine",
            ));
        }
        let mut request = Request::builder().method(method).uri(self.endpoint.join(path)?);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Vec::new()).map_err(|e| {
            KmsError::setting("the request to the metadata service cannot be built", "report it")
                .with_source(e)
        })?;
        let response = self.http.send(request).await?;
        match response.status.as_u16() {
            200 => Ok(response),
            404 => Err(KmsError::setting("this machine has no such role", NO_ROLE_HINT)),
            status => Err(response.not_understood().with_code(status.to_string())),
        }
    }

    /// Returns the given name of the role, or looks it up in the folder that has one file for it.
    pub(crate) async fn role(
        &self,
        given: Option<&str>,
        folder: &str,
        headers: &[(&'static str, HeaderValue)],
    ) -> Result<String, KmsError> {
        if let Some(name) = given {
            let wrong = || KmsError::setting("the name of the role is invalid", NO_ROLE_HINT);
            return role_name(name).then(|| name.to_owned()).ok_or_else(wrong);
        }
        let response = self.get(folder, headers).await?;
        let text = str::from_utf8(&response.body).unwrap_or_default();
        match text.split_whitespace().next() {
            Some(name) if role_name(name) => Ok(name.to_owned()),
            _ => Err(KmsError::setting("the metadata service names no role", NO_ROLE_HINT)),
        }
    }
}

/// Returns whether a text is a valid role name: it becomes a part of a path.
fn role_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+=,@".contains(c);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(fits)
}

/// Returns the error for an access key that the metadata service does not issue.
pub(crate) fn not_given(code: Option<&str>) -> KmsError {
    let error =
        KmsError::new(SignErrorKind::Unavailable, "the metadata service gave no access key")
            .with_hint(NO_ROLE_HINT);
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_not_asked_over_tls() {
        let mut metadata = Metadata::new("http://127.0.0.1:1").unwrap();
        metadata.endpoint = Endpoint::new("https://127.0.0.1:1").unwrap();
        let error = metadata.get("/", &[]).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains("plain HTTP"), "{error}");
    }

    #[test]
    fn names_stay_within_their_folder() {
        for name in ["wxpay-signer", "KMS_Role.2", "a+b=c,d@e"] {
            assert!(role_name(name), "{name}");
        }
        for name in ["", ".", "..", "../token", "a/b", "a b", "a?b", "a%2fb", "<html>"] {
            assert!(!role_name(name), "{name}");
        }
    }
}
