//! The retry budget of a client.

use std::sync::atomic::{AtomicU64, Ordering};

/// Limits the retries of all calls of a client together, so that an outage is not amplified.
///
/// It is a token bucket: a retry takes one token, a successful attempt returns a part of one. If it is
/// empty, calls end with their first attempt. Two cases are free: moving a call that could not connect to
/// the standby domain, and replacing a kept connection that WeChat Pay had closed.
///
/// ```
/// use wxpay_transport::RetryBudget;
///
/// // 50 retries at once, then one for each 5 successful attempts.
/// let budget = RetryBudget::new(50, 0.2);
/// # let _ = budget;
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    /// In thousandths of a token.
    tokens: AtomicU64,
    most: u64,
    deposit: u64,
}

const TOKEN: u64 = 1000;

impl RetryBudget {
    /// Creates a budget of at most `tokens` tokens, which regains `per_success` (0 to 1) of a token for each
    /// successful attempt.
    pub fn new(tokens: u32, per_success: f64) -> Self {
        let most = u64::from(tokens) * TOKEN;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and 1000"
        )]
        let deposit = (per_success.clamp(0.0, 1.0) * 1000.0) as u64;
        Self { tokens: AtomicU64::new(most), most, deposit }
    }

    /// Creates another one, which is full, with the same limits.
    pub(crate) fn same_limits(&self) -> Self {
        Self { tokens: AtomicU64::new(self.most), most: self.most, deposit: self.deposit }
    }

    pub(crate) fn deposit(&self) {
        if self.tokens.load(Ordering::Relaxed) >= self.most {
            return;
        }
        let add = |tokens: u64| Some(tokens.saturating_add(self.deposit).min(self.most));
        // It never fails: the closure always returns a value.
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes a token; returns whether there was one.
    pub(crate) fn withdraw(&self) -> bool {
        let take = |tokens: u64| tokens.checked_sub(TOKEN);
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// 100 retries at once, then one for each 10 successful attempts.
impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(100, 0.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_emptied_and_filled_again_up_to_its_size() {
        let budget = RetryBudget::new(2, 0.5);
        let takes = |n: usize| (0..n).filter(|_| budget.withdraw()).count();
        assert_eq!(takes(5), 2);
        for _ in 0..3 {
            budget.deposit();
        }
        assert_eq!(takes(5), 1);
        for _ in 0..100 {
            budget.deposit();
        }
        assert_eq!(takes(5), 2);
    }

    #[test]
    fn a_share_that_is_no_share_is_bounded() {
        for (share, expected) in [(f64::NAN, 0), (-1.0, 0), (7.0, 1)] {
            let budget = RetryBudget::new(1, share);
            assert!(budget.withdraw());
            budget.deposit();
            assert_eq!(usize::from(budget.withdraw()), expected, "{share}");
        }
    }
}
