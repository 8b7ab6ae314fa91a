//! The builder of the wire server.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::server_tls::ServerTls;
use crate::wechat_pay::WechatPay;
use crate::wire_server::WireServer;

/// Builds a [`WireServer`].
///
/// ```
/// use std::time::Duration;
/// use wxpay_testing::{ServerTls, WireServer};
///
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let main = WireServer::builder()
///     .tls(ServerTls::Good)
///     .close_idle_after(Duration::from_millis(200))
///     .start()
///     .await?;
/// // The standby domain shares the state of the main one.
/// let standby = WireServer::builder().wechat_pay(main.wechat_pay().clone()).start().await?;
/// assert_eq!(standby.plans(), main.plans());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WireServerBuilder {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) close_idle_after: Option<Duration>,
    pub(crate) wechat_pay: Option<Arc<WechatPay>>,
}

impl WireServerBuilder {
    /// Sets the IP address to listen on. The default is `127.0.0.1`.
    #[must_use]
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = ip;
        self
    }

    /// Sets the port; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Enables TLS.
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Closes a connection that has been idle for this long after a response, as WeChat Pay does after
    /// 8 s. By default connections are kept.
    #[must_use]
    pub fn close_idle_after(mut self, idle: Duration) -> Self {
        self.close_idle_after = Some(idle);
        self
    }

    /// Sets the state behind it, with its own plans, clock, and so on.
    #[must_use]
    pub fn wechat_pay(mut self, wechat_pay: Arc<WechatPay>) -> Self {
        self.wechat_pay = Some(wechat_pay);
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// The error of the operating system if the port is not available.
    pub async fn start(self) -> io::Result<WireServer> {
        WireServer::run(self).await
    }
}

impl Default for WireServerBuilder {
    fn default() -> Self {
        let ip = Ipv4Addr::LOCALHOST.into();
        Self { ip, port: 0, tls: None, close_idle_after: None, wechat_pay: None }
    }
}
