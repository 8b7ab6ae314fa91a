//! The type of an event.

use std::fmt;

use wxpay_auth::foreign_text;

/// The type of an event, as WeChat Pay writes it: an open set. Match on [`as_str`](Self::as_str).
///
/// ```
/// use wxpay_notification::EventType;
///
/// # fn example(event_type: &EventType) -> &'static str {
/// match event_type.as_str() {
///     EventType::DELIVERY_PLAN_CHANGE | EventType::DELIVERY_PLAN_STATE_DELIVER => "a plan",
///     EventType::PRODUCT_COUPON_SP_SEND => "a coupon",
///     _ => "kept for later",
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Box<str>);

impl EventType {
    /// The state of a delivery plan (投放计划) has changed.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016168699>
    pub const DELIVERY_PLAN_CHANGE: &'static str = "DELIVERY_PLAN.CHANGE";
    /// The same in the form of autumn 2025.
    pub const DELIVERY_PLAN_STATE_DELIVER: &'static str = "DELIVERY_PLAN_STATE.DELIVER";
    /// A user has received a product coupon (商品券).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015780862>
    pub const PRODUCT_COUPON_SP_SEND: &'static str = "PRODUCT_COUPON_SP.SEND";
    /// An image of a product coupon was generated.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4017327744>
    pub const PRODUCT_COUPON_SP_IMAGE_GENERATION: &'static str =
        "PRODUCT_COUPON_SP.IMAGE_GENERATION";
    /// The self-test of the API was called with a `notify_url`.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4019605946>
    pub const SECURITY_ECHO_SUCCESS: &'static str = "SECURITY_ECHO.SUCCESS";

    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns it as WeChat Pay writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for EventType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for EventType {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for EventType {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

/// Shows at most 64 characters, on one line.
impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        f.write_str(&foreign_text(&self.0, LONGEST, &[]))
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({self})")
    }
}
