//! A share of calls, spread evenly.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::text::debug_as_report;

/// One whole, in millionths.
const MILLION: u32 = 1_000_000;

/// A share of calls, from none to all, in steps of a millionth.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::Share;
///
/// let share = Share::new(0.001)?;
/// assert_eq!(share.to_string(), "0.1 %");
/// assert!(Share::NONE < share && share < Share::ALL);
/// # Ok::<(), wxpay_auth::ShareError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share {
    millionths: u32,
}

impl Share {
    /// No call.
    pub const NONE: Self = Self { millionths: 0 };
    /// Every call.
    pub const ALL: Self = Self { millionths: MILLION };

    /// Creates a share from a fraction between 0 and 1, rounded to a millionth; above 0 it is at least one.
    ///
    /// # Errors
    /// [`ShareError`] if it is below 0, above 1, or not a number.
    pub fn new(fraction: f64) -> Result<Self, ShareError> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(ShareError);
        }
        let rounded = (fraction * f64::from(MILLION)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to a million"
        )]
        let millionths = rounded as u32;
        Ok(Self { millionths: millionths.max(u32::from(fraction > 0.0)) })
    }

    /// Returns it as a fraction between 0 and 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.millionths) / f64::from(MILLION)
    }

    /// Returns whether the call with this number belongs to it: the first one does unless it is none.
    ///
    /// The numbers are spread by the golden ratio, not in turn, so that every second call (or every third) has the
    /// same share: some callers decide twice for each call.
    fn includes(self, number: u64) -> bool {
        /// 2⁶⁴ divided by the golden ratio.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let place = u128::from(number.wrapping_mul(STEP)) * u128::from(MILLION);
        (place >> 64) < u128::from(self.millionths)
    }
}

/// Shows percents: `0.1 %`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.millionths) / 10_000.0)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({self})")
    }
}

/// A share is below 0, above 1, or not a number.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("a share is a fraction between 0 and 1")]
pub struct ShareError;

impl ShareError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "give 0.001 for 0.1 %, and 1 for all calls"
    }
}

debug_as_report!(ShareError);

/// Decides which calls belong to a share that may change at any time. Takes no lock.
///
/// The share and the number of the next call are in one word, so that the first call after a change always belongs
/// to the new share.
pub struct Spread {
    /// The share in the upper 20 bits, the number in the others.
    state: AtomicU64,
}

/// The bits of the number. It wraps around after 2⁴⁴ calls, which is centuries.
const NUMBER_BITS: u32 = 44;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

impl Spread {
    /// Begins with this share.
    pub fn new(share: Share) -> Self {
        Self { state: AtomicU64::new(u64::from(share.millionths) << NUMBER_BITS) }
    }

    /// Sets the share of the calls from now on. To set it to what it is changes nothing.
    pub fn set(&self, share: Share) {
        let begin = u64::from(share.millionths) << NUMBER_BITS;
        let changed = |state: u64| (state & !NUMBER != begin).then_some(begin);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }

    /// Returns the share.
    pub fn share(&self) -> Share {
        share_of(self.state.load(Ordering::Relaxed))
    }

    /// Returns whether the next call belongs to the share.
    pub fn next(&self) -> bool {
        let next = |state: u64| Some((state & !NUMBER) | (state.wrapping_add(1) & NUMBER));
        let state = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let state = state.unwrap_or_else(|state| state);
        share_of(state).includes(state & NUMBER)
    }
}

/// Reads the share out of the word.
fn share_of(state: u64) -> Share {
    let millionths = u32::try_from(state >> NUMBER_BITS).unwrap_or(MILLION);
    Share { millionths: millionths.min(MILLION) }
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spread").field(&self.share()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_fraction() {
        for wrong in [-0.001, 1.000_1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(wrong), Err(ShareError), "{wrong}");
        }
        assert_eq!(Share::new(0.0), Ok(Share::NONE));
        assert_eq!(Share::new(1.0), Ok(Share::ALL));
        assert!(Share::new(1e-12).unwrap() > Share::NONE, "above nothing is not nothing");
        for (fraction, shown) in [(0.001, "0.1 %"), (0.5, "50 %"), (1.0, "100 %"), (0.0, "0 %")] {
            let share = Share::new(fraction).unwrap();
            assert_eq!(share.to_string(), shown);
            assert!((share.fraction() - fraction).abs() < f64::EPSILON);
        }
    }

    /// A caller may decide once for each call, or several times, and use one of the decisions.
    #[test]
    fn calls_are_spread_evenly_however_many_decisions_each_makes() {
        const CALLS: usize = 20_000;
        for (fraction, stride) in [(0.001, 1), (0.001, 2), (0.01, 3), (0.1, 2), (0.5, 1), (0.5, 2)]
        {
            let spread = Spread::new(Share::new(fraction).unwrap());
            let decisions = (0..CALLS * stride).map(|_| spread.next());
            let chosen = decisions.skip(stride - 1).step_by(stride).filter(|is| *is).count();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let off = (chosen as f64 - CALLS as f64 * fraction).abs();
            assert!(off <= 8.0, "{chosen} of {CALLS} at {fraction}, every {stride}");
        }
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        let spread = Spread::new(Share::NONE);
        assert!((0..10_000).all(|_| !spread.next()));
        spread.set(Share::ALL);
        assert!((0..10_000).all(|_| spread.next()));
        spread.set(Share::new(0.001).unwrap());
        assert!(spread.next(), "the first call after a change belongs to the share");
        assert!((0..300).filter(|_| spread.next()).count() <= 1);
    }

    /// An application that reads its configuration again and again sets what is set.
    #[test]
    fn setting_the_same_share_again_does_not_begin_anew() {
        let share = Share::new(0.001).unwrap();
        let spread = Spread::new(Share::NONE);
        let chosen = (0..1000).filter(|_| {
            spread.set(share);
            spread.next()
        });
        assert!((1..=2).contains(&chosen.count()));
    }

    #[test]
    fn the_number_wraps_around_without_touching_the_share() {
        let half = Share::new(0.5).unwrap();
        let spread = Spread::new(half);
        spread.state.fetch_or(NUMBER, Ordering::Relaxed);
        for _ in 0..3 {
            spread.next();
            assert_eq!(spread.share(), half);
        }
    }
}
