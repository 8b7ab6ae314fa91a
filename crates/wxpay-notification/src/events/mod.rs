//! The resources of events that are documented, typed. What is not required is optional, and unknown fields are
//! ignored: the whole resource is in [`Notification::resource_bytes`](crate::Notification::resource_bytes).

mod delivery_plan_change;
mod product_coupon;
mod security_echo;

pub use self::delivery_plan_change::DeliveryPlanChange;
pub use self::product_coupon::{CouponImage, CouponImageGenerated, CouponSent};
pub use self::security_echo::SecurityEcho;

use crate::error::ResourceError;
use crate::event_type::EventType;
use crate::notification::Notification;

/// The event of a notification, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The state of a delivery plan has changed (`DELIVERY_PLAN.CHANGE`, and `DELIVERY_PLAN_STATE.DELIVER`).
    DeliveryPlanChange(DeliveryPlanChange),
    /// A user has received a product coupon (`PRODUCT_COUPON_SP.SEND`).
    CouponSent(Box<CouponSent>),
    /// An image of a product coupon was generated (`PRODUCT_COUPON_SP.IMAGE_GENERATION`).
    CouponImageGenerated(CouponImageGenerated),
    /// The self-test of the API was called (`SECURITY_ECHO.SUCCESS`).
    SecurityEcho(SecurityEcho),
    /// Another one. Its type and resource are those of the notification.
    Other,
}

impl Notification {
    /// Reads the event, by its type.
    ///
    /// # Errors
    /// [`ResourceError`] if the resource of a known event does not have the documented form.
    ///
    /// ```
    /// use wxpay_notification::events::Event;
    /// # use wxpay_notification::{Notification, ResourceError};
    ///
    /// # fn example(notification: &Notification) -> Result<(), ResourceError> {
    /// match notification.event()? {
    ///     Event::DeliveryPlanChange(change) => println!("{}: {}", change.plan_id, change.plan_state),
    ///     _ => println!("kept for later: {}", notification.event_type()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn event(&self) -> Result<Event, ResourceError> {
        Ok(match self.event_type().as_str() {
            EventType::DELIVERY_PLAN_CHANGE | EventType::DELIVERY_PLAN_STATE_DELIVER => {
                Event::DeliveryPlanChange(self.resource()?)
            }
            EventType::PRODUCT_COUPON_SP_SEND => Event::CouponSent(self.resource()?),
            EventType::PRODUCT_COUPON_SP_IMAGE_GENERATION => {
                Event::CouponImageGenerated(self.resource()?)
            }
            EventType::SECURITY_ECHO_SUCCESS => Event::SecurityEcho(self.resource()?),
            _ => Event::Other,
        })
    }
}
