//! What happens while a call signs and connects counts: nothing is sent on knowledge that is out of date.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use wxpay_auth::{Certificate, KeyRing, async_trait};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{ServerTls, WireServer, client_config};
use wxpay_tests::telling_signer::Tells;
use wxpay_tests::{chain, kind, plan_id};
use wxpay_transport::{BaseUrl, Client, ClientBuilder, Delivery, Proxy, Resolve};

/// Resolves a name after the request was signed, and after something else has happened.
struct Later<F>(F, Duration, Arc<Notify>);

impl<F> fmt::Debug for Later<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

#[async_trait]
impl<F: Fn() + Send + Sync> Resolve for Later<F> {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.2.notified().await;
        tokio::time::sleep(self.1).await;
        (self.0)();
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

/// Returns a client that finds the server so much later than it has signed, and after something has happened.
fn client(
    server: &WireServer,
    ring: KeyRing,
    later: Duration,
    meanwhile: impl Fn() + Send + Sync + 'static,
) -> ClientBuilder<Tells, KeyRing> {
    let signed = Arc::new(Notify::new());
    let base_url = format!("https://localhost:{}", server.address().port());
    Client::builder(server.mchid(), Tells(server.signer(), Arc::clone(&signed)), ring)
        .base_url(BaseUrl::new(base_url).unwrap())
        .proxy(Proxy::none())
        .tls(client_config())
        .resolver(Later(meanwhile, later, signed))
}

fn certificate(server: &WireServer) -> (Certificate, KeyRing) {
    let certificate = Certificate::from_pem(server.platform_certificate_pem()).unwrap();
    let ring = KeyRing::new();
    ring.insert_certificate(&certificate).unwrap();
    (certificate, ring)
}

#[tokio::test]
async fn the_key_that_is_asked_for_is_one_that_is_still_there() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.sign_with_platform_certificate();
    let (ring, (certificate, new)) = (server.key_ring(), certificate(&server));
    ring.remove(&certificate.serial_no().clone().into());
    let exchanged = ring.clone();
    let client = client(&server, ring, Duration::ZERO, move || exchanged.replace_with(&new));
    let plans = DeliveryPlans::new(client.build().unwrap());
    let ended = plans.terminate(&plan_id("12000")).await;
    let journal = server.journal();
    let asked_for = journal.first().and_then(|entry| entry.header("wechatpay-serial"));
    assert_eq!(asked_for, Some(&*certificate.serial_no().to_string()));
    ended.unwrap();
}

/// The clock of the application reads the last second of the certificate; then time passes.
#[tokio::test]
async fn nothing_is_sent_when_the_certificate_expires_meanwhile() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let (certificate, ring) = certificate(&server);
    let end = certificate.not_after();
    let client = client(&server, ring, Duration::from_millis(1100), || {}).clock(move || end);
    let plans = DeliveryPlans::new(client.build().unwrap());
    let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
    let told = chain(&error);
    assert_eq!((kind(&error), error.delivery()), ("verifier", Delivery::NotSent), "{told}");
    assert!(server.journal().is_empty());
}
