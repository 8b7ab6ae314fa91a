//! Which calls may reuse a connection.

use crate::message::replay::Replay;
use crate::message::request::Request;

/// Which calls are sent on a kept connection: one that has carried a request before.
///
/// HTTP/1.1 matches responses to requests only by order, and a signature of WeChat Pay does not say
/// which request it answers. If a server, or something in front of it, sends one response too many,
/// each further call on that connection gets the response of the previous one, with a valid signature.
/// TLS does not help, since the fault is at the other end. On a connection that has carried no request,
/// no such response can be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ConnectionReuse {
    /// No call: each uses a new connection.
    None,
    /// Queries ([`Replay::Safe`]) that recognise their response by its content
    /// ([`Request::recognised_by`]). All other calls use a connection that has carried no request. This is the
    /// default.
    #[default]
    Recognised,
    /// All calls that may be repeated. Choose it if the caller of untyped requests compares each response with
    /// its request. A refusal of a [`Replay::Keyed`] call then has an unknown outcome.
    Repeatable,
    /// All calls, also those that must not be repeated. Choose it only if everything between the client and
    /// WeChat Pay is known to send exactly one response per request: an extra response makes a call succeed
    /// that was never carried out, or causes a call to be carried out twice.
    All,
}

impl ConnectionReuse {
    /// Returns whether a request may be sent on a kept connection.
    pub(crate) fn allows(self, request: &Request) -> bool {
        match self {
            Self::None => false,
            Self::Recognised => {
                request.replay() == Replay::Safe && request.recognises_its_response()
            }
            Self::Repeatable => request.replay().is_repeatable(),
            Self::All => true,
        }
    }
}
