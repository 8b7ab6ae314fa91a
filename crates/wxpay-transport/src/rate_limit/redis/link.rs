//! The connection to Redis, and the script that runs there.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, Script,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::connection::dns::lookup::Lookup;
use crate::connection::dns::resolve::Resolve;
use crate::connection::io::bounded::{Bound, BoundedStream};
use crate::connection::tls;
use crate::connection::userinfo::is_encoded;
use crate::error::ConfigError;
use crate::rate_limit::LimitKey;
use crate::rate_limit::redis::addresses::Addresses;
use crate::rate_limit::redis::lost::Lost;
use crate::rate_limit::redis::store::{Reach, SharedStore, Slot, StoreReply, Wanted};

/// Queries Redis. The first query without a connection opens one in the background.
pub(crate) struct RedisLink {
    address: Arc<Address>,
    script: Script,
    line: Mutex<Option<Arc<Line>>>,
}

/// The address of Redis, and its connection settings.
#[derive(Clone)]
struct Address {
    host: String,
    port: u16,
    addresses: Addresses,
    /// Contains the password.
    settings: RedisConnectionInfo,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// One connection, from opening it until it is closed. Dropping it ends the task.
pub(crate) struct Line {
    connection: watch::Receiver<Option<Result<(SocketAddr, MultiplexedConnection), Lost>>>,
    task: JoinHandle<()>,
    /// The runtime that drives the task.
    runtime: Id,
    begun: Instant,
    /// Whether a response was too long.
    is_too_long: Arc<AtomicBool>,
    /// Whether any query got a response, including an error.
    has_answered: AtomicBool,
    /// Whether the last query has no response yet.
    is_silent: AtomicBool,
    /// How many queries got a response.
    responses: AtomicUsize,
}

/// Drives the I/O of a connection until it is closed.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Timeout of connecting. It does not delay calls.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A response has less than 100 bytes, an error a few hundred; many queries may be pending.
const RESPONSES: Bound = Bound { each: 16 * 1024, most: 1024 * 1024 };

impl RedisLink {
    /// Parses the URL. Does not connect yet.
    pub(crate) fn new(url: &str) -> Result<Self, ConfigError> {
        let address = Arc::new(Address::new(url)?);
        let script = Script::new(include_str!("reserve.lua"));
        Ok(Self { address, script, line: Mutex::default() })
    }

    /// Returns host and port, for logs.
    pub(crate) fn server(&self) -> String {
        format!("{}:{}", self.address.host, self.address.port)
    }

    /// Sets the TLS settings, if the URL uses TLS.
    pub(crate) fn tls(&mut self, settings: &tls::Tls) -> Result<(), ConfigError> {
        if let Some(tls) = &mut Arc::make_mut(&mut self.address).tls {
            tls.config = config_for_redis(settings)?;
        }
        Ok(())
    }

    /// Sets the resolver of the host name.
    pub(crate) fn resolver(&mut self, resolver: Arc<dyn Resolve>) {
        Arc::make_mut(&mut self.address).addresses = Addresses::new(Lookup::Given(resolver));
    }
}

impl Line {
    fn begin(address: Arc<Address>) -> Self {
        let (made, connection) = watch::channel(None);
        let is_too_long = Arc::default();
        let noted = Arc::clone(&is_too_long);
        let task = tokio::spawn(async move {
            match address.connect(&noted).await {
                Ok((reached, (connection, driver))) => {
                    made.send_replace(Some(Ok((reached, connection))));
                    driver.await;
                }
                Err(lost) => drop(made.send_replace(Some(Err(lost)))),
            }
        });
        let (has_answered, is_silent) = (AtomicBool::new(false), AtomicBool::new(false));
        let (runtime, begun) = (Handle::current().id(), Instant::now());
        let responses = AtomicUsize::new(0);
        Self { connection, task, runtime, begun, is_too_long, has_answered, is_silent, responses }
    }

    /// Returns whether the task has ended, or is late in connecting on another runtime, which may not be driven
    /// at all.
    fn is_lost(&self) -> bool {
        self.task.is_finished()
            || (self.runtime != Handle::current().id()
                && self.connection.borrow().is_none()
                && self.begun.elapsed() > CONNECT_TIMEOUT)
    }

    /// Waits for the connection; the task that opens it continues when this future is dropped.
    async fn connection(&self) -> Result<MultiplexedConnection, Lost> {
        let mut connection = self.connection.clone();
        let made = connection.wait_for(Option::is_some).await;
        let made = made.ok().and_then(|made| made.clone()).unwrap_or(Err(Lost::Connection));
        made.map(|(_, connection)| connection)
    }

    /// Sends a query, and returns the response to it.
    pub(crate) async fn response<T, F>(
        &self,
        send: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Lost>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.connection().await?;
        self.is_silent.store(true, Ordering::Relaxed);
        let response = send(connection).await.map_err(|e| lost(&e, &self.is_too_long));
        self.is_silent.store(false, Ordering::Relaxed);
        if matches!(response, Ok(_) | Err(Lost::Refused(_))) {
            self.has_answered.store(true, Ordering::Relaxed);
            self.responses.fetch_add(1, Ordering::Relaxed);
        }
        response
    }

    /// Returns how many queries got a response, including errors.
    pub(crate) fn responses(&self) -> usize {
        self.responses.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl SharedStore for RedisLink {
    type Line = Arc<Line>;

    fn line(&self) -> Arc<Line> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        match &*line {
            Some(line) if !line.is_lost() => Arc::clone(line),
            _ => Arc::clone(line.insert(Arc::new(Line::begin(Arc::clone(&self.address))))),
        }
    }

    async fn reserve(&self, line: &Arc<Line>, wanted: Wanted<'_>) -> Result<StoreReply, Lost> {
        let early = wanted.interval.saturating_mul(wanted.burst.get() - 1);
        let known = wanted.known.unwrap_or(Reach { next: 0, seen: 0 });
        let mut query = self.script.key(name_of(wanted.key));
        query
            .arg(micros_rounded_up(wanted.interval))
            .arg(micros_rounded_up(early))
            .arg(micros_rounded_up(wanted.longest))
            .arg(micros_rounded_up(wanted.farthest))
            .arg(known.next)
            .arg(known.seen);
        let response = line
            .response(|mut connection| async move { query.invoke_async(&mut connection).await });
        read(response.await?)
    }

    fn hang_up(&self, line: &Arc<Line>) -> bool {
        let mut current = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, line)) {
            return false;
        }
        // A connection that is still being opened needs its time.
        let Some(made) = &*line.connection.borrow() else { return true };
        *current = None;
        line.task.abort();
        let is_dead =
            line.is_silent.load(Ordering::Relaxed) || !line.has_answered.load(Ordering::Relaxed);
        if let Ok((reached, _)) = made
            && is_dead
        {
            self.address.addresses.fail(*reached);
        }
        true
    }
}

/// Names the key of a limit. Those of different limits, as before and after a change, do not meet: a slot of the one would
/// be taken for a wait of the other, or for an impossible value.
fn name_of(LimitKey { identity, operation, limit }: LimitKey<'_>) -> String {
    let (requests, period) = (limit.requests(), limit.period().as_secs());
    // The braces keep all keys of one caller on one node of a cluster.
    format!("wxpay:rate:{{{identity}}}:{operation}:{requests}/{period}s")
}

/// Parses the reply of the script. Its numbers are signed, and are kept signed here: a negative one must
/// not become huge.
fn read((what, wait, next, seen): (i64, i64, i64, i64)) -> Result<StoreReply, Lost> {
    let micros = |number: i64| u64::try_from(number).map_err(|_| Lost::Untrue);
    let (wait, next, seen) = (micros(wait)?, micros(next)?, micros(seen)?);
    let wait = Duration::from_micros(wait);
    let place = match what {
        0 => Slot::TooFar(wait),
        1 => Slot::After(wait),
        2 => return Err(Lost::Forgotten),
        _ => return Err(Lost::Untrue),
    };
    Ok(StoreReply { place, reach: Reach { next, seen } })
}

/// The clock of Redis counts microseconds. Lua counts exactly up to 2^53, so longer times are limited to
/// a day.
fn micros_rounded_up(duration: Duration) -> u64 {
    let day = Duration::from_secs(86400);
    u64::try_from(duration.min(day).as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

impl Address {
    fn new(url: &str) -> Result<Self, ConfigError> {
        // The library's errors may contain parts of the URL, so they are not passed on.
        let (scheme, rest) = url.split_once("://").ok_or(ConfigError::RedisUrl)?;
        let with_tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(ConfigError::RedisUrl),
        };
        // A fragment is mostly a password with a `#`; `#insecure` is not supported.
        if rest.contains('#') {
            return Err(ConfigError::RedisUrl);
        }
        // After a raw `/` or `?` the rest of the password would be dropped, and its beginning taken for a host.
        if rest.rsplit_once('@').is_some_and(|(userinfo, _)| !is_encoded(userinfo)) {
            return Err(ConfigError::RedisUrl);
        }
        // TLS is handled here: the library would use the process-wide provider of cryptography.
        let plain = format!("redis://{rest}");
        let info = plain.as_str().into_connection_info().map_err(|_| ConfigError::RedisUrl)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(ConfigError::RedisUrl);
        };
        let tls = if with_tls { Some(Tls::new(host)?) } else { None };
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let addresses = Addresses::new(Lookup::System(Arc::default()));
        Ok(Self { host: host.clone(), port: *port, addresses, settings, tls })
    }

    async fn connect(
        &self,
        is_too_long: &Arc<AtomicBool>,
    ) -> Result<(SocketAddr, (MultiplexedConnection, Driver)), Lost> {
        let enter = |tcp| self.enter(tcp, is_too_long);
        self.addresses.reach(&self.host, self.port, CONNECT_TIMEOUT, enter).await
    }

    async fn enter(
        &self,
        tcp: TcpStream,
        is_too_long: &Arc<AtomicBool>,
    ) -> Result<(MultiplexedConnection, Driver), Lost> {
        let Some(tls) = &self.tls else { return self.log_in(tcp, is_too_long).await };
        let connecting = TlsConnector::from(Arc::clone(&tls.config)).connect(tls.name.clone(), tcp);
        self.log_in(connecting.await.map_err(|_| Lost::Tls)?, is_too_long).await
    }

    async fn log_in<C>(
        &self,
        stream: C,
        is_too_long: &Arc<AtomicBool>,
    ) -> Result<(MultiplexedConnection, Driver), Lost>
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = BoundedStream::bounded(stream, RESPONSES, Arc::clone(is_too_long));
        // Queries have their own timeout.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&self.settings, stream, config);
        let (connection, driver) = made.await.map_err(|e| lost(&e, is_too_long))?;
        Ok((connection, Box::pin(driver)))
    }
}

impl Tls {
    fn new(host: &str) -> Result<Self, ConfigError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConfigError::RedisUrl)?;
        Ok(Self { config: config_for_redis(&tls::Tls::platform())?, name })
    }
}

/// Redis does not use ALPN.
fn config_for_redis(settings: &tls::Tls) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut config = Arc::unwrap_or_clone(settings.config(true, 1)?);
    config.alpn_protocols.clear();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// Describes an error without the server's text: an error about a command may repeat its arguments,
/// including the password.
fn lost(error: &RedisError, is_too_long: &AtomicBool) -> Lost {
    if error.is_io_error() && is_too_long.load(Ordering::Relaxed) {
        return Lost::TooLong;
    }
    if error.is_io_error() {
        return Lost::Connection;
    }
    let code = error.code().filter(|code| {
        let is_of_code = |c: u8| c.is_ascii_uppercase() || c == b'_';
        code.len() <= 16 && code.bytes().all(is_of_code)
    });
    Lost::Refused(code.unwrap_or(error.category()).to_owned())
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink")
            .field("host", &self.address.host)
            .field("port", &self.address.port)
            .field("tls", &self.address.tls.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use redis::{ErrorKind, ServerErrorKind};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::message::interface_limit::RateLimit;

    #[test]
    fn a_password_that_is_not_encoded_is_no_host() {
        for url in ["redis://token?x@redis.example", "redis://user:6379/x@redis.example"] {
            assert_eq!(RedisLink::new(url).err(), Some(ConfigError::RedisUrl), "{url}");
        }
    }

    #[test]
    fn urls_are_read() {
        for (url, server, user, password, has_tls) in [
            ("redis://127.0.0.1", "127.0.0.1:6379", None, None, false),
            ("valkey://cache.test:7000/3", "cache.test:7000", None, None, false),
            ("redis://:p%40ss%23@h:1", "h:1", None, Some("p@ss#"), false),
            (
                "rediss://user:pw@cache.test:6380/0",
                "cache.test:6380",
                Some("user"),
                Some("pw"),
                true,
            ),
        ] {
            let link = RedisLink::new(url).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!(link.server(), server);
            assert_eq!(link.address.settings.username(), user, "{url}");
            assert_eq!(link.address.settings.password(), password, "{url}");
            assert_eq!(link.address.tls.is_some(), has_tls, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused_and_not_repeated() {
        for url in [
            "",
            "pa55word",
            "127.0.0.1:6379",
            "http://:pa55word@127.0.0.1",
            "redis+unix:///pa55word",
            "redis://",
            "redis://:pa55word@",
            "redis://:pa55word@h:port",
            "redis://:pa55word@h/db",
            "redis://:pa55#word@h",
            "rediss://:pa55word@h/#insecure",
            "rediss://:pa55word@a..b",
        ] {
            let error = RedisLink::new(url).err().unwrap_or_else(|| panic!("{url}"));
            assert_eq!(error, ConfigError::RedisUrl, "{url}");
            let text = format!("{error} {error:?} {}", error.hint());
            assert!(!text.contains("pa55"), "{text}");
        }
    }

    #[test]
    fn each_limit_has_a_key_of_its_own() {
        let name = |limit| name_of(LimitKey { identity: "1900007291", operation: "x", limit });
        assert_eq!(name(RateLimit::per_second(100)), "wxpay:rate:{1900007291}:x:100/1s");
        assert_eq!(name(RateLimit::per_second(10)), "wxpay:rate:{1900007291}:x:10/1s");
        assert_eq!(name(RateLimit::per_minute(100)), "wxpay:rate:{1900007291}:x:100/60s");
    }

    #[test]
    fn debug_output_holds_no_password() {
        let link = RedisLink::new("rediss://user:pa55word@h/0").unwrap();
        assert!(!format!("{link:?} {link:#?}").contains("pa55"));
    }

    #[test]
    fn an_error_of_the_server_is_named_by_its_code_only() {
        let unknown = "unknown command `HELLO`, with args beginning with: `pa55word`".to_owned();
        let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
        let error = RedisError::from((kind, "an error", unknown));
        let lost = |error| lost(&error, &AtomicBool::new(false));
        assert_eq!(lost(error), Lost::Refused("ERR".to_owned()));
        let extension = |code: &str| redis::make_extension_error(code.to_owned(), None);
        assert_eq!(lost(extension("WRONGPASS")), Lost::Refused("WRONGPASS".to_owned()));
        assert!(!lost(extension("pa55word")).to_string().contains("pa55"));
    }

    #[test]
    fn numbers_that_cannot_be_are_no_response() {
        for untrue in
            [(1, -1, 9, 8), (0, i64::MIN, 9, 8), (1, 7, -9, 8), (1, 7, 9, -8), (3, 7, 9, 8)]
        {
            assert_eq!(read(untrue), Err(Lost::Untrue), "{untrue:?}");
        }
        assert_eq!(read((1, 7, 9, 8)), RESERVED);
    }

    #[test]
    fn times_are_rounded_up_to_what_lua_can_count() {
        for (nanos, micros) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(micros_rounded_up(Duration::from_nanos(nanos)), micros);
        }
        assert_eq!(micros_rounded_up(Duration::MAX), 86_400_000_000);
    }

    /// What the Redis test double does with one query.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Reserves,
        LogsIn,
        Waits,
        Closes,
        /// An endless response: 64 MiB, which the client should not read.
        Floods,
    }

    /// Starts a Redis test double that accepts these connections, one after the other, and closes only those
    /// it is told to. Waiting steps continue with each permit.
    async fn double(connections: Vec<Vec<Step>>) -> (u16, Arc<tokio::sync::Semaphore>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let go_on = Arc::new(tokio::sync::Semaphore::new(0));
        let waits = Arc::clone(&go_on);
        tokio::spawn(async move {
            let mut open = Vec::new();
            for steps in connections {
                let (stream, _) = listener.accept().await.unwrap();
                let waits = Arc::clone(&waits);
                open.push(tokio::spawn(async move { play(stream, &steps, &waits).await }));
            }
            std::future::pending::<()>().await;
        });
        (port, go_on)
    }

    async fn play(mut stream: TcpStream, steps: &[Step], waits: &tokio::sync::Semaphore) {
        for step in steps {
            let response = match step {
                Step::Reserves => "*4\r\n:1\r\n:7\r\n:9\r\n:8\r\n",
                Step::LogsIn => "+OK\r\n",
                Step::Waits => {
                    waits.acquire().await.unwrap().forget();
                    continue;
                }
                Step::Closes => return,
                Step::Floods => {
                    assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
                    stream.write_all(b"+").await.unwrap();
                    for _ in 0..64 * 1024 {
                        if stream.write_all(&[b'a'; 1024]).await.is_err() {
                            break;
                        }
                    }
                    return;
                }
            };
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            stream.write_all(response.as_bytes()).await.unwrap();
        }
        std::future::pending::<()>().await;
    }

    const RESERVED: Result<StoreReply, Lost> = Ok(StoreReply {
        place: Slot::After(Duration::from_micros(7)),
        reach: Reach { next: 9, seen: 8 },
    });

    /// Sends a query, and gives up after `at_most` without a response.
    async fn ask(link: &RedisLink, at_most: Duration) -> Option<Result<StoreReply, Lost>> {
        let limit = RateLimit::per_second(10);
        let wanted = Wanted {
            key: LimitKey { identity: "1900007291", operation: "x", limit },
            burst: NonZeroU32::MIN,
            interval: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            farthest: Duration::from_secs(60),
            known: None,
        };
        timeout(at_most, link.reserve(&link.line(), wanted)).await.ok()
    }

    const SAFETY: Duration = Duration::from_secs(60);
    /// Expires for certain: there is no response.
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_connection_that_has_gone_dead_is_replaced() {
        let (port, _) = double(vec![vec![Step::Reserves], vec![Step::Reserves]]).await;
        let link = RedisLink::new(&format!("redis://127.0.0.1:{port}")).unwrap();
        assert_eq!(ask(&link, SAFETY).await, Some(RESERVED));
        assert_eq!(ask(&link, SHORT).await, None);
        assert!(link.hang_up(&link.line()));
        assert_eq!(ask(&link, SAFETY).await, Some(RESERVED));
    }

    #[test]
    fn a_connection_that_a_sleeping_runtime_opens_is_replaced() {
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().start_paused(true).build().unwrap()
        };
        let (sleeping, awake) = (runtime(), runtime());
        // Nothing connects: the task of the one is not driven, and that of the other is not waited for.
        let link = RedisLink::new("redis://127.0.0.1:9").unwrap();
        let first = sleeping.block_on(async { link.line() });
        awake.block_on(async {
            assert!(Arc::ptr_eq(&first, &link.line()), "it gets its time");
            tokio::time::advance(CONNECT_TIMEOUT + Duration::from_secs(1)).await;
            assert!(!Arc::ptr_eq(&first, &link.line()), "its runtime sleeps");
        });
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_replaced_at_once() {
        let closing = vec![Step::Reserves, Step::Closes];
        let (port, _) = double(vec![closing, vec![Step::Reserves]]).await;
        let link = RedisLink::new(&format!("redis://127.0.0.1:{port}")).unwrap();
        assert_eq!(ask(&link, SAFETY).await, Some(RESERVED));
        let is_closed = || link.line.lock().unwrap().as_ref().unwrap().task.is_finished();
        let closed = async {
            while !is_closed() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SAFETY, closed).await.unwrap();
        assert_eq!(ask(&link, SAFETY).await, Some(RESERVED));
    }

    #[tokio::test]
    async fn a_connection_that_takes_its_time_is_not_given_up_with_the_question() {
        let slow = vec![Step::Waits, Step::LogsIn, Step::Reserves];
        let (port, go_on) = double(vec![slow]).await;
        let link = RedisLink::new(&format!("redis://:pw@127.0.0.1:{port}")).unwrap();
        assert_eq!(ask(&link, SHORT).await, None);
        assert!(link.hang_up(&link.line()));
        go_on.add_permits(1);
        assert_eq!(ask(&link, SAFETY).await, Some(RESERVED));
    }

    #[tokio::test]
    async fn a_response_without_an_end_is_not_read() {
        for steps in [vec![Step::Floods], vec![Step::LogsIn, Step::Floods]] {
            let (port, _) = double(vec![steps.clone(), vec![Step::LogsIn, Step::Reserves]]).await;
            let link = RedisLink::new(&format!("redis://:pw@127.0.0.1:{port}")).unwrap();
            assert_eq!(ask(&link, SAFETY).await, Some(Err(Lost::TooLong)), "{steps:?}");
            link.hang_up(&link.line());
            assert_eq!(ask(&link, SAFETY).await, Some(RESERVED), "{steps:?}");
        }
    }
}
