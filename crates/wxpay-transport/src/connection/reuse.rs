//! Which calls may be sent on a connection that has carried another one.

use crate::message::replay::Replay;
use crate::message::request::Request;

/// Says which calls are sent on a kept connection: one that has carried a request before.
///
/// HTTP/1.1 tells responses apart by nothing but their order, and a signature of WeChat Pay does not say
/// which request it answers. So where a server, or something in front of it, sends one response more than it
/// was asked for, each further call on that connection gets the response of the one before, with a signature
/// that is good; TLS does not help, since it is the other end that errs. On a connection that has carried
/// no request no such response can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ConnectionReuse {
    /// No call is: each gets a connection of its own.
    None,
    /// Queries ([`Replay::Safe`]) that tell their response from others by what it says
    /// ([`Request::answered_by`]). All other calls get a connection that has carried no request. This is the
    /// default.
    #[default]
    Recognised,
    /// All that may be repeated. Choose it where the responses of untyped requests are compared with what was
    /// asked for by whoever gets them. A refusal of a [`Replay::Keyed`] call is of unknown outcome then.
    Repeatable,
    /// All calls, also those that must not be repeated. Choose it only where all that stands between
    /// here and WeChat Pay is known to answer each request once: a response too many makes a call succeed
    /// that was never carried out, or be carried out twice.
    All,
}

impl ConnectionReuse {
    /// Tells whether a request may be sent on a kept connection.
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
