//! Which kind of key responses are asked to be signed with.

use wxpay_auth::Share;

/// Which kind of WeChat Pay key the requests of a client ask for (`Wechatpay-Serial`).
///
/// Which key signs is WeChat Pay's decision, so responses by both kinds are accepted in any case. If no key of the
/// kind is held, or no certificate of it is valid, the other kind is asked for.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012925289>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerialPreference {
    /// Platform certificates: the state before the move, and the way back.
    Certificate,
    /// The public key for a share of the requests, spread evenly, and platform certificates for all others.
    PublicKeyShare(Share),
    /// The public key: the state after the move.
    PublicKey,
}

impl SerialPreference {
    /// Returns the share of requests that ask for the public key.
    pub fn public_key_share(self) -> Share {
        match self {
            Self::Certificate => Share::NONE,
            Self::PublicKeyShare(share) => share,
            Self::PublicKey => Share::ALL,
        }
    }

    pub(super) fn of_share(share: Share) -> Self {
        match share {
            Share::NONE => Self::Certificate,
            Share::ALL => Self::PublicKey,
            share => Self::PublicKeyShare(share),
        }
    }
}
