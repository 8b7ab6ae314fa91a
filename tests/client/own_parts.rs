//! Parts that an application writes itself return each error of this library, and can be tested by themselves.

use std::sync::Arc;
use std::time::Duration;

use wxpay_auth::{NotReady, Timestamp, VerifyError, WechatpaySerial};
use wxpay_marketing::UnexpectedStatusError;
use wxpay_transport::{
    Attempted, Backoff, CallContext, ConnectError, ConnectStage, Delivery, Error, ExchangeError,
    ExchangeFault, LimitKey, Outcome, RateLimit, RateLimited, RateLimiter, Replay, Request,
    RetryPolicy, SettingsError, StatusCode, Target, async_trait,
};

fn call() -> CallContext {
    let target = Target::new("/v3/bill").unwrap();
    CallContext::new(&Request::get("bills.get", target), "api.mch.weixin.qq.com")
}

fn serial() -> WechatpaySerial {
    "PUB_KEY_ID_0000000000000024101100397200000006".parse().unwrap()
}

#[test]
fn errors_of_a_transport() {
    let refused = || Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    let error = ConnectError::new(call(), ConnectStage::Proxy, refused())
        .with_proxy("proxy.example:3128", Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED));
    assert_eq!(error.proxy(), Some("proxy.example:3128"));
    assert!(error.hint().contains("password of the proxy"), "{}", error.hint());

    let address = "192.0.2.1:443".parse().unwrap();
    let error =
        ConnectError::new(call(), ConnectStage::Tcp, refused()).with_addresses(vec![address]);
    assert_eq!(error.addresses(), [address]);
    assert!(error.to_string().ends_with("(tcp): 192.0.2.1:443"), "{error}");

    let error = ExchangeError::new(call(), ExchangeFault::Closed, Delivery::Unknown, refused());
    assert!(!error.is_stale());
    assert!(error.stale().is_stale());

    let error = Error::Settings(SettingsError::missing("mchid"));
    assert_eq!((error.outcome(), error.to_string()), (Outcome::NotSent, "mchid is not set".into()));
    let error = SettingsError::unusable("region", "it is on the moon", "use one on earth");
    assert_eq!(error.hint(), "use one on earth");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "it is on the moon");
}

#[test]
fn errors_of_a_verifier() {
    let [first, last, now] = [1, 2, 3].map(Timestamp::from_unix_secs);
    let error = VerifyError::key_not_valid(serial(), first, last, now);
    assert!(error.to_string().contains("valid from 1 to 2 only, and it is 3"), "{error}");
    let error = NotReady::expired(serial(), last);
    assert!(error.to_string().contains("expired, the last one, PUB_KEY_ID_"), "{error}");
    let error = NotReady::not_valid_yet(serial(), first);
    assert!(error.to_string().contains("is from 1 on"), "{error}");
}

#[test]
fn errors_of_a_typed_call() {
    let status = StatusCode::ACCEPTED;
    let error =
        UnexpectedStatusError::new("delivery_plans.terminate", status, StatusCode::NO_CONTENT)
            .with_request_id("08F78BB5AF0610");
    assert_eq!((error.status(), error.request_id()), (status, Some("08F78BB5AF0610")));
    assert!(error.hint().contains("accepted the call"), "{}", error.hint());
}

#[test]
fn a_policy_can_be_asked() {
    let refused = Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    let ended = Err(Error::Connect(ConnectError::new(call(), ConnectStage::Tcp, refused)));
    let policies: [Box<dyn RetryPolicy>; 2] =
        [Box::new(Backoff::default()), Box::new(Arc::new(Backoff::default()))];
    for policy in policies {
        let attempted =
            |attempts| Attempted::new(attempts, Replay::Never, Duration::from_secs(9), &ended);
        assert!(policy.wait(&attempted(1)).is_some());
        assert_eq!(policy.wait(&attempted(99)), None);
    }
}

/// Refuses everything.
#[derive(Debug)]
struct Closed;

#[async_trait]
impl RateLimiter for Closed {
    async fn acquire(&self, key: LimitKey<'_>, _: Duration) -> Result<(), RateLimited> {
        assert_eq!((key.identity, key.operation), ("1900007291", "bills.get"));
        Err(RateLimited::new(Duration::from_secs(7)))
    }
}

#[tokio::test]
async fn a_limiter_can_be_asked() {
    let limiter: Box<dyn RateLimiter> = Box::new(Closed);
    let limit = RateLimit::per_second(1);
    let key = LimitKey::new("1900007291", "bills.get", limit);
    let refused = limiter.acquire(key, Duration::ZERO).await.unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(7));
}
