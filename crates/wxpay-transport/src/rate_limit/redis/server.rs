//! A server of Redis or Valkey for another crate of this workspace.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Script};
use tokio::time::{Instant, timeout};

use crate::connection::dns::resolve::Resolve;
use crate::connection::tls::Tls;
use crate::error::ConfigError;
use crate::rate_limit::redis::link::{Line, RedisLink};
use crate::rate_limit::redis::lost::Lost;
use crate::rate_limit::redis::store::SharedStore;

/// How late a query may be polled. A later one says nothing about the server.
const LATEST: Duration = Duration::from_millis(100);

/// One connection to Redis or Valkey. The first query opens it in the background; dropping this closes it.
pub struct RedisServer {
    link: RedisLink,
}

/// A script that runs on the server.
#[derive(Debug)]
pub struct RedisScript(Script);

impl RedisScript {
    /// Takes the text of a script in Lua.
    pub fn new(lua: &str) -> Self {
        Self(Script::new(lua))
    }
}

/// Why there was no usable response. Contains no secret, so no server text beyond a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisFailure(Lost);

impl RedisFailure {
    /// Returns the code of an error of the server, such as `OOM`; `None` if it did not respond.
    pub fn code(&self) -> Option<&str> {
        match &self.0 {
            Lost::Refused(code) => Some(code),
            _ => None,
        }
    }

    /// Returns whether there was no connection, or none any more, so that another try uses a new one.
    pub fn is_connection(&self) -> bool {
        matches!(self.0, Lost::Connection | Lost::Tls)
    }
}

impl fmt::Display for RedisFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for RedisFailure {}

impl RedisServer {
    /// Parses the URL, as [`RedisRateLimiter::new`](crate::RedisRateLimiter::new) does. Does not connect yet.
    ///
    /// # Errors
    /// [`ConfigError::RedisUrl`] if the URL is invalid; the error does not repeat it.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Ok(Self { link: RedisLink::new(url)? })
    }

    /// Returns host and port.
    pub fn address(&self) -> String {
        self.link.server()
    }

    /// Sets the TLS settings for `rediss://`.
    ///
    /// # Errors
    /// [`ConfigError::Tls`] if they cannot be used.
    pub fn tls(&mut self, tls: impl Into<Tls>) -> Result<(), ConfigError> {
        self.link.tls(&tls.into())
    }

    /// Sets the resolver of the host name.
    pub fn resolver(&mut self, resolver: impl Resolve + 'static) {
        self.link.resolver(Arc::new(resolver));
    }

    /// Runs a script with one key, within this time, and returns the number that it returns.
    ///
    /// # Errors
    /// [`RedisFailure`]. The script may have run nevertheless, or may still run, unless there is a
    /// [code](RedisFailure::code).
    pub async fn run(
        &self,
        script: &RedisScript,
        key: &str,
        arguments: &[&str],
        time: Duration,
    ) -> Result<i64, RedisFailure> {
        let mut query = script.0.key(key);
        for argument in arguments {
            query.arg(*argument);
        }
        let line = self.link.line();
        let response = line
            .response(|mut connection| async move { query.invoke_async(&mut connection).await });
        self.within(time, &line, response).await
    }

    /// Sends a command, within this time.
    ///
    /// # Errors
    /// [`RedisFailure`].
    pub async fn command<T: FromRedisValue + Send>(
        &self,
        words: &[&str],
        time: Duration,
    ) -> Result<T, RedisFailure> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let line = self.link.line();
        let response = line
            .response(|mut connection| async move { command.query_async(&mut connection).await });
        self.within(time, &line, response).await
    }

    async fn within<T>(
        &self,
        time: Duration,
        line: &Arc<Line>,
        response: impl Future<Output = Result<T, Lost>>,
    ) -> Result<T, RedisFailure> {
        let (asked, responses) = (Instant::now(), line.responses());
        let response = timeout(time, response).await;
        let lost = match response {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(lost)) => lost,
            Err(_) => Lost::Slow,
        };
        let works = match &lost {
            // Others get responses, or this process gets too little time. Each new connection would make both worse,
            // and would lose all queries under way.
            Lost::Slow => line.responses() != responses || asked.elapsed() > time + LATEST,
            // A server that refuses responds. A replica would refuse again, and another server may have taken over
            // under its name.
            Lost::Refused(code) => code != "READONLY",
            _ => false,
        };
        if !works {
            self.link.hang_up(line);
        }
        Err(RedisFailure(lost))
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.link, f)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Reads one command, and returns its last word.
    async fn command(stream: &mut BufReader<TcpStream>) -> String {
        let mut lines = Vec::new();
        let mut left = 1;
        while left > 0 {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let line = line.trim().to_owned();
            left -= 1;
            if let Some(words) = line.strip_prefix('*') {
                left = 2 * words.parse::<usize>().unwrap();
            }
            lines.push(line);
        }
        lines.pop().unwrap()
    }

    /// Late responses are handed to those that asked, in order, so a query that is given up harms no other one.
    #[tokio::test]
    async fn a_query_without_a_response_does_not_end_a_connection_that_works() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let double = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let opens = command(&mut stream).await;
            stream.write_all(format!("+{opens}\r\n").as_bytes()).await.unwrap();
            let first = command(&mut stream).await;
            let slow = command(&mut stream).await;
            stream.write_all(format!("+{first}\r\n").as_bytes()).await.unwrap();
            // The slow one was given up by now.
            let last = command(&mut stream).await;
            stream.write_all(format!("+{slow}\r\n+{last}\r\n").as_bytes()).await.unwrap();
            // Another connection would find nobody who accepts it.
            std::future::pending::<()>().await;
        });
        let server = RedisServer::new(&url).unwrap();
        let (long, short) = (Duration::from_secs(60), Duration::from_secs(3));
        server.command::<String>(&["GET", "opens"], long).await.unwrap();
        let first = server.command::<String>(&["GET", "first"], long);
        let slow = server.command::<String>(&["GET", "slow"], short);
        let (first, slow) = tokio::join!(first, slow);
        assert_eq!((first.as_deref(), slow), (Ok("first"), Err(RedisFailure(Lost::Slow))));
        let last = server.command::<String>(&["GET", "last"], long).await;
        assert_eq!(last.as_deref(), Ok("last"));
        double.abort();
    }
}
