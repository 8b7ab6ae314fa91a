//! The checks on a request before it is carried out.

use wxpay_auth_core::{
    Authorization, AuthorizationError, CLOCK_WINDOW_SECS, Certificate, Mchid, Nonce, Scheme,
    Timestamp, request_message,
};

use crate::refusal::Refusal;
use crate::request::RawRequest;
use crate::upload::check_form;

/// Checks the headers, as a server in front of WeChat Pay does before verifying any signature.
pub(crate) fn check_headers(request: RawRequest<'_>) -> Result<(), Refusal> {
    let with_body = matches!(request.method, "POST" | "PUT" | "PATCH");
    if with_body && !request.headers.contains_key("content-length") {
        return Err(Refusal::NoContentLength);
    }
    request.header("user-agent").ok_or(Refusal::MissingHeader("User-Agent"))?;
    let accept = request.header("accept").ok_or(Refusal::MissingHeader("Accept"))?;
    if !media_types(accept).any(|t| t == "application/json" || t == "*/*") {
        return Err(Refusal::WrongAccept);
    }
    let is_json = |value| media_types(value).eq(["application/json"]);
    if with_body && !check_form(request)? && !request.header("content-type").is_some_and(is_json) {
        return Err(Refusal::WrongContentType);
    }
    Ok(())
}

/// Checks that the merchant signed the request, and returns its nonce, which must be new.
pub(crate) fn check_signature(
    request: RawRequest<'_>,
    mchid: &Mchid,
    now: Timestamp,
    certificates: &[Certificate],
) -> Result<Nonce, Refusal> {
    let header = request.header("authorization").ok_or(Refusal::NoAuthorization)?;
    let authorization = Authorization::parse(header).map_err(|error| match error {
        AuthorizationError::UnknownScheme => Refusal::WrongScheme,
        other => Refusal::MalformedAuthorization(other),
    })?;
    if authorization.scheme() != Scheme::MerchantSha256Rsa2048 {
        return Err(Refusal::WrongScheme);
    }
    let nonce = Nonce::new(authorization.nonce_str()).map_err(|_| Refusal::MalformedNonce)?;
    let seconds = authorization.timestamp().seconds_after(now);
    if seconds.unsigned_abs() > CLOCK_WINDOW_SECS {
        return Err(Refusal::ClockSkew { seconds });
    }
    let given = authorization.identity().value();
    if given != mchid.as_str() {
        return Err(Refusal::WrongMchid { given: given.to_owned(), expected: mchid.clone() });
    }
    let signature = authorization.signature();
    let given = signature.serial_no();
    let Some(certificate) = certificates.iter().find(|c| c.serial_no() == given) else {
        let expected = certificates.iter().map(|c| c.serial_no().clone()).collect();
        return Err(Refusal::WrongSerialNo { given: given.clone(), expected });
    };
    let message = message(request, &authorization);
    if !certificate.public_key().verifies(&message, signature.as_bytes()) {
        return Err(Refusal::SignatureMismatch);
    }
    Ok(nonce)
}

/// Builds the message that this server would have signed; `None` if `Authorization` is unusable.
pub(crate) fn server_message(request: RawRequest<'_>) -> Option<Vec<u8>> {
    let authorization = Authorization::parse(request.header("authorization")?).ok()?;
    Some(message(request, &authorization))
}

fn message(request: RawRequest<'_>, authorization: &Authorization) -> Vec<u8> {
    let (timestamp, nonce) = (authorization.timestamp(), authorization.nonce_str());
    request_message(request.method, request.target, timestamp, nonce, request.signed_body())
}

/// Splits a list of media types, and removes their parameters.
fn media_types(value: &str) -> impl Iterator<Item = String> + '_ {
    value.split(',').map(|t| t.split_once(';').map_or(t, |(t, _)| t).trim().to_ascii_lowercase())
}
