//! Two domains and one client; the domains are restarted for each round, the client is not.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use wxpay_auth::KeyRing;
use wxpay_testing::{Entry, Plan, ServerTls, WechatPay, WireServer, client_config};
use wxpay_tests::switchboard::Switchboard;
use wxpay_transport::{Backoff, BaseUrl, Client, Failover, Proxy, RetryBudget};

use super::ledger::{Books, CallMade, Domain};
use super::notary::{Notary, Record, Signed, Written};

pub(crate) const MAIN: &str = "localhost";
pub(crate) const STANDBY: &str = "gateway.example";

pub(crate) struct World {
    pub(crate) client: Client<Notary, KeyRing>,
    pub(crate) board: Switchboard,
    pub(crate) main: Side,
    pub(crate) standby: Side,
    signed: Written<Signed>,
    records: Written<Record>,
}

/// One domain, with its own WeChat Pay, so that a call executed by both is detected.
pub(crate) struct Side {
    name: &'static str,
    port: u16,
    server: Option<Arc<WireServer>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let board = Switchboard::default();
        let (main, standby) = (Side::start(MAIN).await, Side::start(STANDBY).await);
        for side in [&main, &standby] {
            board.connect(side.name, Ipv4Addr::LOCALHOST.into());
        }
        let (signed, records) = (Written::new(), Written::new());
        let client = client(&main, &standby, &board, signed.clone(), records.clone());
        Self { client, board, main, standby, signed, records }
    }

    pub(crate) fn servers(&self) -> [Arc<WireServer>; 2] {
        [&self.main, &self.standby].map(|side| Arc::clone(side.server()))
    }

    /// Closes both domains when all calls have ended, and returns all records.
    pub(crate) async fn close(&mut self, calls: Vec<CallMade>) -> Books {
        // Requests in flight when a call was dropped may arrive until the connections have ended.
        let domains = [self.main.close().await, self.standby.close().await];
        // A timer closes idle connections.
        while self.client.idle_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Books { calls, signed: self.signed.take(), records: self.records.take(), domains }
    }

    /// Opens both domains again, at the same addresses and with empty state.
    pub(crate) async fn open(&mut self) {
        for side in [&mut self.main, &mut self.standby] {
            side.server = Some(Arc::new(server(side.port).await));
        }
    }
}

impl Side {
    async fn start(name: &'static str) -> Self {
        let server = Arc::new(server(0).await);
        Self { name, port: server.address().port(), server: Some(server) }
    }

    fn server(&self) -> &Arc<WireServer> {
        self.server.as_ref().expect("it is open")
    }

    fn host(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

    async fn close(&mut self) -> Domain {
        let server = Arc::into_inner(self.server.take().expect("it is open"));
        let server = server.expect("no other owner");
        let wechat_pay = server.wechat_pay().clone();
        let read = server.requests_per_connection().iter().sum();
        drop(server);
        // The connection tasks hold it as long as they can accept a request.
        let ended = async {
            while Arc::strong_count(&wechat_pay) > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("connections end");
        let entries: Vec<Entry> = wechat_pay.journal();
        Domain { host: self.host(), entries, read }
    }
}

async fn server(port: u16) -> WireServer {
    let wechat_pay = WechatPay::builder().plan(Plan::new("12000", "1004")).build();
    let server = WireServer::builder().port(port).tls(ServerTls::Good).wechat_pay(wechat_pay);
    server.start().await.expect("the port is free")
}

fn client(
    main: &Side,
    standby: &Side,
    board: &Switchboard,
    signed: Written<Signed>,
    records: Written<Record>,
) -> Client<Notary, KeyRing> {
    let wechat_pay = main.server().wechat_pay();
    let notary = Notary { signer: wechat_pay.signer(), signed };
    let url = |side: &Side| BaseUrl::new(format!("https://{}", side.host())).expect("an origin");
    let failover = Failover::to(url(standby)).probe_after(Duration::from_millis(30));
    Client::builder(wechat_pay.mchid(), notary, wechat_pay.key_ring())
        .base_url(url(main))
        .failover(failover.sample_one_in(100))
        .resolver(board.clone())
        .retry(Backoff::new().first(Duration::from_millis(5)))
        .retry_budget(RetryBudget::new(500, 0.5))
        // A few callers are refused.
        .max_concurrent_calls(54)
        .max_queued_calls(8)
        .audit(records)
        // Only faults, or a very busy machine, reach these timeouts.
        .connect_timeout(Duration::from_millis(400))
        .attempt_timeout(Duration::from_millis(600))
        .call_timeout(Duration::from_secs(2))
        .keep_idle(Duration::from_millis(500))
        .proxy(Proxy::none())
        .tls(client_config())
        .build()
        .expect("a client")
}
