//! The exchange of a merchant certificate without a gap, with any two signers.

use wxpay_auth::{Authorization, CanarySigner, SerialNo, Share, Signer};
use wxpay_testing::{Gateway, Verdict};
use wxpay_transport::{BaseUrl, Client, NoRetry, Proxy};

use crate::callers::Callers;

/// How many requests each certificate signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Those of the current certificate.
    pub current: usize,
    /// Those of the next one.
    pub next: usize,
}

impl Signed {
    /// Counts the requests after the first `from`.
    ///
    /// # Panics
    /// Panics if the gateway refused one.
    pub fn count(gateway: &Gateway, from: usize, next: &SerialNo) -> Self {
        let mut signed = Self { current: 0, next: 0 };
        for entry in gateway.journal().iter().skip(from) {
            assert_eq!(entry.verdict(), &Verdict::Accepted, "{entry}");
            let header = Authorization::parse(entry.authorization().unwrap_or_default());
            let serial_no = header.expect("a header").signature().serial_no().clone();
            let count = if serial_no == *next { &mut signed.next } else { &mut signed.current };
            *count += 1;
        }
        signed
    }
}

/// Moves 64 callers from one merchant certificate to another one: a tenth, all, back, and all again. The gateway accepts
/// both certificates.
///
/// # Panics
/// Panics if a call is refused, or if a phase is not signed as it should be.
pub async fn exchange_the_merchant_certificate(
    gateway: &Gateway,
    current: impl Signer + 'static,
    next: impl Signer + 'static,
    next_serial_no: &SerialNo,
) {
    let signer = CanarySigner::new(current, next).expect("the same algorithm");
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).expect("an origin"))
        .proxy(Proxy::none())
        .retry(NoRetry)
        .build()
        .expect("a client");
    let callers = Callers::start(&client);
    let in_phase = async |share: f64, calls: usize| {
        signer.set_share(Share::new(share).expect("a share"));
        // What had begun before ends.
        callers.rounds(2).await;
        let from = gateway.journal().len();
        callers.rounds(calls).await;
        Signed::count(gateway, from, next_serial_no)
    };
    assert_eq!(in_phase(0.0, 2).await.next, 0, "before");
    let tenth = in_phase(0.1, 6).await;
    let all = tenth.current + tenth.next;
    assert!((all / 25..=all / 5).contains(&tenth.next), "about a tenth: {tenth:?}");
    assert_eq!(in_phase(1.0, 2).await.current, 0, "the new one alone");
    assert_eq!(in_phase(0.0, 2).await.next, 0, "back");
    assert_eq!(in_phase(1.0, 2).await.current, 0, "the new one again");
    callers.assert_refused(0, "in no phase");
    assert!(callers.stop().await > 0);
}
