//! The faults.

use std::fmt;

use wxpay_testing::{ErrorBody, How, Misbehaviour, Point};

/// A fault of a domain, once or for the whole cell.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) once: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The name does not exist.
    NoName,
    /// The name lookup never completes.
    NameStalls,
    /// No server listens.
    Refused,
    /// Connections are neither established nor refused.
    BlackHole,
    /// The certificate is for another host.
    WrongCertificate,
    /// A fault on the wire.
    Wire(Point, How),
    /// A wrong response.
    Response(Misbehaviour),
    /// The clock is wrong by this many seconds.
    Clock(i64),
    /// The call is refused, by the domain or by a proxy before it.
    Refusal(Refusal),
}

/// A refusal and its form.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: u16,
    body: ErrorBody,
    is_cut: bool,
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Good,
    Wrong,
    No,
}

/// Length of a response that is cut: more than its head.
const CUT: usize = 2000;
/// The largest body that is read in a cell.
pub(crate) const MAX_RESPONSE_BYTES: usize = 4096;

impl Refusal {
    fn all() -> Vec<Self> {
        let bodies = [
            (ErrorBody::json("TOLD_TO", "told to"), false),
            (ErrorBody::CodelessJson, false),
            (ErrorBody::Html, false),
            (ErrorBody::Empty, false),
            (ErrorBody::Padded(CUT + 1500), true),
            (ErrorBody::Padded(MAX_RESPONSE_BYTES + 1), false),
        ];
        let mut all = Vec::new();
        for status in [400, 403, 404, 429] {
            for signature in [Signature::Good, Signature::Wrong, Signature::No] {
                all.extend(bodies.clone().map(|(body, is_cut)| Self {
                    status,
                    body,
                    is_cut,
                    signature,
                }));
            }
        }
        all
    }

    /// Returns whether WeChat Pay itself refused, and a client can know that.
    pub(crate) fn is_believed(&self) -> bool {
        let is_whole = !self.is_cut && !matches!(self.body, ErrorBody::Padded(_));
        match self.signature {
            Signature::Good => is_whole,
            Signature::No => matches!(self.body, ErrorBody::Json { .. }),
            Signature::Wrong => false,
        }
    }

    pub(crate) fn is_throttling(&self) -> bool {
        self.status == 429
    }

    /// Refusals that are not WeChat Pay's own follow after the call was executed.
    pub(crate) fn misbehaviour(&self) -> Misbehaviour {
        let Self { status, body, .. } = self.clone();
        let executed = self.signature != Signature::Good && !self.is_believed();
        match self.signature {
            Signature::Wrong => Misbehaviour::ForgedStatus { status, body, executed },
            signature => {
                let signed = signature == Signature::Good;
                Misbehaviour::Status { status, body, signed, executed }
            }
        }
    }

    pub(crate) fn cut(&self) -> Option<wxpay_testing::Fault> {
        let cut = wxpay_testing::Fault::new(Point::ResponseBytes(CUT), How::Close);
        self.is_cut.then_some(cut)
    }
}

impl Fault {
    /// Returns all faults.
    pub(crate) fn all() -> Vec<Self> {
        let lasting = [
            What::NoName,
            What::NameStalls,
            What::Refused,
            What::BlackHole,
            What::WrongCertificate,
            What::Clock(-900),
            What::Clock(900),
        ];
        let mut all: Vec<_> = lasting.into_iter().map(|what| Self { what, once: false }).collect();
        for what in wire().into_iter().chain(responses()) {
            all.extend([true, false].map(|once| Self { what: what.clone(), once }));
        }
        let refusals = Refusal::all().into_iter().map(What::Refusal);
        all.extend(refusals.map(|what| Self { what, once: false }));
        all
    }
}

impl Fault {
    /// Whether a repeatable call succeeds when it moves to a working domain: after a failed gateway, a broken
    /// connection, or a lost response.
    pub(crate) fn is_mended_by_moving(&self) -> bool {
        match &self.what {
            // The time may run out before the move.
            what if what.stalls() => false,
            What::Wire(..) => true,
            What::Response(Misbehaviour::Status { status, .. }) => matches!(status, 502..=504),
            _ => false,
        }
    }
}

impl What {
    /// Whether the fault prevents connections.
    pub(crate) fn hinders_connecting(&self) -> bool {
        match self {
            Self::Wire(at, _) => *at == Point::Accept,
            Self::Response(_) | Self::Clock(_) | Self::Refusal(_) => false,
            _ => true,
        }
    }

    /// Whether the fault causes a timeout.
    pub(crate) fn stalls(&self) -> bool {
        matches!(self, Self::NameStalls | Self::BlackHole | Self::Wire(_, How::Stall))
    }
}

fn wire() -> Vec<What> {
    let points = [
        Point::Accept,
        Point::Handshake,
        Point::RequestBytes(1),
        Point::RequestBytes(100),
        Point::RequestBytes(600),
        Point::Request,
        Point::Executed,
        Point::ResponseBytes(1),
        Point::ResponseBytes(100),
        Point::ResponseBytes(700),
        Point::Responded,
    ];
    let hows = [How::Reset, How::Close, How::Stall];
    points.into_iter().flat_map(|at| hows.map(|how| What::Wire(at, how))).collect()
}

fn responses() -> Vec<What> {
    let status = |status, code: &str, executed| {
        let body = ErrorBody::json(code, "told to");
        Misbehaviour::Status { status, body, signed: true, executed }
    };
    let mut responses = vec![
        Misbehaviour::UnexpectedSuccess { status: 202, body: String::new() },
        status(400, "PARAM_ERROR", false),
        status(429, "RATELIMIT_EXCEEDED", false),
        Misbehaviour::Status { status: 502, body: ErrorBody::Html, signed: false, executed: true },
        Misbehaviour::Unsigned,
        Misbehaviour::TamperedBody,
        Misbehaviour::UnknownSerial,
        Misbehaviour::MalformedSignature,
        Misbehaviour::MissingHeader("Wechatpay-Nonce"),
        Misbehaviour::StaleTimestamp,
        Misbehaviour::Probe,
    ];
    for code in [500, 502, 503, 504] {
        responses.extend([true, false].map(|executed| status(code, "SYSTEM_ERROR", executed)));
    }
    responses.into_iter().map(What::Response).collect()
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.what, if self.once { " once" } else { "" })
    }
}
