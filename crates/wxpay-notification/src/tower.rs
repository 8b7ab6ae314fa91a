//! An endpoint as a layer and a service of `tower`.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tower_layer::Layer;
use tower_service::Service;
use wxpay_auth::{ResourceDecryptor, Verifier};

use crate::endpoint::NotificationEndpoint;
use crate::error::ReceiveError;
use crate::handled::HandlerError;
use crate::notification::Notification;
use crate::panics::{Ended, run_until};
use crate::receipt::Receipt;
use crate::replay::ReplayStore;

/// Turns a `tower` service of [`Notification`]s into one of HTTP requests, which answers as
/// [`NotificationEndpoint::handle`] does.
///
/// The body is read up to the [limit of the receiver](crate::NotificationReceiver::body_limit), within the time limit
/// of the endpoint. Method and path are not looked at: that is for the router.
pub struct NotificationLayer<V, D, S> {
    endpoint: Arc<NotificationEndpoint<V, D, S>>,
}

impl<V, D, S> NotificationLayer<V, D, S> {
    /// Takes an endpoint.
    pub fn new(endpoint: NotificationEndpoint<V, D, S>) -> Self {
        Self { endpoint: Arc::new(endpoint) }
    }
}

impl<V, D, S, I> Layer<I> for NotificationLayer<V, D, S> {
    type Service = NotificationService<V, D, S, I>;

    fn layer(&self, inner: I) -> Self::Service {
        NotificationService { endpoint: Arc::clone(&self.endpoint), inner }
    }
}

/// A service of HTTP requests that hands notifications over to another service, or to a function.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_service::Service;
/// use wxpay_auth::ApiV3Key;
/// use wxpay_notification::{
///     MemoryReplayStore, Notification, NotificationEndpoint, NotificationReceiver, NotificationService,
/// };
/// use wxpay_testing::WechatPay;
///
/// # #[tokio::main]
/// # async fn main() {
/// let wechat_pay = WechatPay::builder().build();
/// let key = ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
/// let receiver = NotificationReceiver::new(wechat_pay.key_ring(), key);
/// let endpoint = NotificationEndpoint::new(receiver, MemoryReplayStore::new());
/// let mut service = NotificationService::from_fn(endpoint, |notification: Notification| async move {
///     println!("{}", notification.event_type());
///     Ok::<(), std::io::Error>(())
/// });
/// // In axum: `Router::new().route_service("/notify", service)`.
/// let request = wechat_pay.notification("DELIVERY_PLAN.CHANGE", r#"{"plan_id":"12000"}"#).request();
/// let response = service.call(request.map(Full::<Bytes>::from)).await.unwrap();
/// assert_eq!(response.status(), 204);
/// # }
/// ```
pub struct NotificationService<V, D, S, I> {
    endpoint: Arc<NotificationEndpoint<V, D, S>>,
    inner: I,
}

impl<V, D, S, H> NotificationService<V, D, S, HandlerFn<H>> {
    /// Creates a service that hands notifications over to a function.
    pub fn from_fn(endpoint: NotificationEndpoint<V, D, S>, handler: H) -> Self {
        NotificationLayer::new(endpoint).layer(HandlerFn(handler))
    }
}

/// A function as a service of notifications.
#[derive(Clone)]
pub struct HandlerFn<H>(H);

impl<H, F, E> Service<Notification> for HandlerFn<H>
where
    H: FnMut(Notification) -> F,
    F: Future<Output = Result<(), E>>,
{
    type Response = ();
    type Error = E;
    type Future = F;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, notification: Notification) -> F {
        (self.0)(notification)
    }
}

impl<V, D, S, I, B> Service<Request<B>> for NotificationService<V, D, S, I>
where
    V: Verifier + 'static,
    D: ResourceDecryptor + 'static,
    S: ReplayStore + 'static,
    I: Service<Notification, Response = ()> + Clone + Send + 'static,
    I::Future: Send,
    I::Error: Into<HandlerError> + Send,
    B: BodyExt + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Whether the other service is ready matters only for what is handed over.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (endpoint, mut inner) = (Arc::clone(&self.endpoint), self.inner.clone());
        Box::pin(async move {
            let deadline = endpoint.deadline();
            let (parts, body) = request.into_parts();
            let body =
                match run_until(deadline, read(body, endpoint.receiver().longest_body())).await {
                    Ended::Done(body) => body,
                    Ended::Late | Ended::Panicked => Err(ReceiveError::Incomplete),
                };
            let hand_to = |notification| async move {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                inner.call(notification).await
            };
            let handled = endpoint.handle_by(deadline, &parts.headers, body, hand_to).await;
            Ok(handled.into_response().map(Full::new))
        })
    }
}

/// Reads a body up to a limit.
async fn read<B>(body: B, limit: usize) -> Result<Bytes, ReceiveError>
where
    B: BodyExt,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = |length| ReceiveError::too_large(length, limit);
    let limit_of_length = u64::try_from(limit).unwrap_or(u64::MAX);
    // Not a byte is read if it says that it is too long.
    let least = body.size_hint().lower();
    if least > limit_of_length {
        return Err(too_large(least));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(too_large(limit_of_length.saturating_add(1)))
        }
        Err(_) => Err(ReceiveError::Incomplete),
    }
}

impl From<Receipt> for Response<Full<Bytes>> {
    fn from(receipt: Receipt) -> Self {
        receipt.into_response().map(Full::new)
    }
}

impl<V, D, S> Clone for NotificationLayer<V, D, S> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint) }
    }
}

impl<V, D, S, I: Clone> Clone for NotificationService<V, D, S, I> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), inner: self.inner.clone() }
    }
}

impl<V, D, S> fmt::Debug for NotificationLayer<V, D, S>
where
    NotificationEndpoint<V, D, S>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotificationLayer").field(&self.endpoint).finish()
    }
}

impl<V, D, S, I> fmt::Debug for NotificationService<V, D, S, I>
where
    NotificationEndpoint<V, D, S>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationService")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl<H> fmt::Debug for HandlerFn<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFn")
    }
}
