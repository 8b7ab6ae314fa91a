//! Sends a request, and accepts only its documented response.

use http::StatusCode;
use wxpay_transport::{Request, Response, Transport};

use crate::error::{Error, UnexpectedStatusError};

/// Sends a request; any 2xx but the documented one is an error.
pub(crate) async fn expecting<T: Transport>(
    transport: &T,
    operation: &'static str,
    expected: StatusCode,
    request: Request,
) -> Result<Response, Error> {
    let response = transport.send(request).await?;
    if response.status() == expected {
        return Ok(response);
    }
    let error = UnexpectedStatusError::new(operation, response.status(), expected);
    Err(Error::UnexpectedStatus(match response.request_id() {
        Some(request_id) => error.with_request_id(request_id),
        None => error,
    }))
}
