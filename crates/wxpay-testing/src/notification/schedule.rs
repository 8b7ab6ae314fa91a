//! When a notification is sent again.

use std::time::Duration;

/// The pauses before a notification that was not acknowledged is sent again. The official pages differ.
///
/// ```
/// use std::time::Duration;
/// use wxpay_testing::NotificationSchedule;
///
/// let schedule = NotificationSchedule::of("PRODUCT_COUPON_SP.SEND");
/// assert_eq!(schedule.pauses().len(), 10);
/// assert_eq!(schedule.pauses()[0], Duration::from_secs(10));
/// // The same, a thousand times as fast.
/// assert_eq!(schedule.compressed(1000).pauses()[0], Duration::from_millis(10));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationSchedule {
    pauses: Vec<Duration>,
}

impl NotificationSchedule {
    /// Returns the documented schedule of an event; of one that is not known, that of `PRODUCT_COUPON_SP.SEND`.
    ///
    /// Sources: <https://pay.weixin.qq.com/doc/v3/partner/4016168699>,
    /// <https://pay.weixin.qq.com/doc/v3/partner/4015780862>,
    /// <https://pay.weixin.qq.com/doc/v3/partner/4017327744>,
    /// <https://pay.weixin.qq.com/doc/v3/partner/4019605946>
    pub fn of(event_type: &str) -> Self {
        let secs: Vec<u64> = match event_type {
            "DELIVERY_PLAN.CHANGE" | "DELIVERY_PLAN_STATE.DELIVER" => {
                let begin = [1, 2, 2].into_iter().chain([60; 10]);
                begin.chain(std::iter::repeat(300)).take(49).collect()
            }
            "PRODUCT_COUPON_SP.IMAGE_GENERATION" => vec![60; 10],
            "SECURITY_ECHO.SUCCESS" => vec![15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600],
            _ => vec![10, 14, 27, 60, 150, 394, 1053, 2831, 7620, 20_580],
        };
        Self { pauses: secs.into_iter().map(Duration::from_secs).collect() }
    }

    /// Returns a schedule with pauses of your own.
    pub fn new(pauses: impl IntoIterator<Item = Duration>) -> Self {
        Self { pauses: pauses.into_iter().collect() }
    }

    /// Makes each pause this many times shorter, for a test.
    #[must_use]
    pub fn compressed(mut self, by: u32) -> Self {
        for pause in &mut self.pauses {
            *pause /= by.max(1);
        }
        self
    }

    /// Returns the pauses.
    pub fn pauses(&self) -> &[Duration] {
        &self.pauses
    }
}
