//! Where the next attempt goes.

use http::StatusCode;

use crate::domains::router::Health;
use crate::error::delivery::Delivery;
use crate::error::{Error, UnverifiedCause};
use crate::message::response::Response;

/// Where an attempt would go after one with this result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextAttempt {
    /// To the other domain, since this one cannot be reached: nothing was sent.
    MoveUnsent,
    /// To the other domain, since this one does not work.
    Move,
    /// To the same domain.
    Stay,
    /// To the same domain, on a connection that has carried no request.
    StayFresh,
    /// The same, to confirm that the call is refused.
    Confirm,
}

impl NextAttempt {
    /// Returns where another attempt would go, if one may be made.
    pub(crate) fn after(ended: &Result<Response, Error>) -> Self {
        match ended {
            Err(Error::Exchange(e)) if e.is_stale() => Self::StayFresh,
            Err(Error::Exchange(e)) if e.last_delivery() == Delivery::NotSent => Self::MoveUnsent,
            Err(Error::Connect(_)) => Self::MoveUnsent,
            Err(Error::Timeout(e)) if e.is_connecting => Self::MoveUnsent,
            Err(Error::Exchange(_)) => Self::Move,
            Err(Error::Timeout(e)) if e.last_delivery() != Delivery::NotSent => Self::Move,
            Err(Error::Api(e)) if is_gateway_failure(e.status()) => Self::Move,
            Err(Error::Api(e)) if e.is_unconfirmed() => match e.status() {
                // It is repeated later in any case.
                StatusCode::TOO_MANY_REQUESTS => Self::StayFresh,
                _ => Self::Confirm,
            },
            Err(Error::Unverified(e)) if matches!(e.cause(), UnverifiedCause::Foreign) => {
                Self::StayFresh
            }
            _ => Self::Stay,
        }
    }
}

/// Returns what an attempt showed about its domain.
pub(crate) fn health<T>(ended: &Result<T, Error>) -> Health {
    let Err(error) = ended else { return Health::Good };
    match error {
        Error::Connect(_) => Health::Bad,
        Error::Timeout(e) if e.is_connecting => Health::Bad,
        // A new connection was closed at once. A kept one may just have been idle too long.
        Error::Exchange(e) if e.last_delivery() == Delivery::NotSent && !e.is_stale() => {
            Health::Bad
        }
        Error::Api(e) if is_gateway_failure(e.status()) => Health::Bad,
        Error::Api(_) | Error::Unverified(_) | Error::Download(_) => Health::Good,
        Error::Timeout(_)
        | Error::Exchange(_)
        | Error::Config(_)
        | Error::Settings(_)
        | Error::Request(_)
        | Error::Overload(_)
        | Error::Verifier(_)
        | Error::Signing(_) => Health::Unknown,
    }
}

fn is_gateway_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{CallContext, CallStage, TimeoutError, TimeoutKind, UnverifiedError};
    use crate::message::replay::Replay;

    fn call() -> CallContext {
        CallContext::first("x", "localhost", Replay::Safe)
    }

    #[test]
    fn a_timeout_moves_the_call_unless_it_was_of_the_signer() {
        for (stage, delivery, is_connecting, next) in [
            (CallStage::Preparing, Delivery::NotSent, false, NextAttempt::Stay),
            (CallStage::Preparing, Delivery::NotSent, true, NextAttempt::MoveUnsent),
            (CallStage::Waiting, Delivery::Unknown, false, NextAttempt::Move),
        ] {
            let (limit, after) = (TimeoutKind::Attempt, Duration::ZERO);
            let error = TimeoutError::new(call(), limit, after, stage, delivery);
            let ended = Err(Error::Timeout(error.while_connecting(is_connecting)));
            assert_eq!(NextAttempt::after(&ended), next, "{ended:?}");
        }
    }

    #[test]
    fn a_response_to_another_request_leaves_the_connection() {
        for (cause, next) in [
            (UnverifiedCause::Foreign, NextAttempt::StayFresh),
            (UnverifiedCause::Truncated, NextAttempt::Stay),
        ] {
            let error = UnverifiedError::new(call(), StatusCode::OK, None, None, cause);
            let ended = Err(Error::Unverified(error));
            assert_eq!(NextAttempt::after(&ended), next, "{ended:?}");
        }
    }
}
