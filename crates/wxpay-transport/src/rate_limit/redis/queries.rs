//! Queries of other crates of this workspace, on a connection like that of the limit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Script, ScriptInvocation};
use tokio::time::timeout;

use crate::connection::dns::resolve::Resolve;
use crate::connection::tls::Tls;
use crate::error::ConfigError;
use crate::rate_limit::redis::link::RedisLink;
use crate::rate_limit::redis::lost::Lost;
use crate::rate_limit::redis::store::SharedStore;

/// Sends commands and scripts to Redis. The first one opens the connection; after a failure, the next one opens
/// another.
pub struct RedisQueries {
    link: RedisLink,
}

/// A script, with its digest.
pub struct RedisScript(Script);

impl RedisScript {
    /// Reads a script.
    pub fn new(code: &str) -> Self {
        Self(Script::new(code))
    }
}

impl RedisQueries {
    /// Parses the URL. Does not connect yet.
    ///
    /// # Errors
    /// [`ConfigError::RedisUrl`].
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        RedisLink::new(url).map(|link| Self { link })
    }

    /// Sets the TLS settings, if the URL uses TLS.
    ///
    /// # Errors
    /// [`ConfigError::Tls`].
    pub fn tls(&mut self, tls: &Tls) -> Result<(), ConfigError> {
        self.link.tls(tls)
    }

    /// Sets the resolver of the host name.
    pub fn resolver(&mut self, resolver: impl Resolve + 'static) {
        self.link.resolver(Arc::new(resolver));
    }

    /// Returns host and port, for errors.
    pub fn server(&self) -> String {
        self.link.server()
    }

    /// Runs a command that returns a text or nothing.
    ///
    /// # Errors
    /// Why there was no usable response, without any text of the server. The command may be carried out later.
    pub async fn text(&self, command: &[&str], time: Duration) -> Result<Option<String>, String> {
        let mut words = Cmd::new();
        for word in command {
            words.arg(word);
        }
        let line = self.link.line();
        let response = timeout(time, self.link.command(&line, &words)).await;
        self.ended(&line, response.unwrap_or(Err(Lost::Slow)))
    }

    /// Runs a script that returns a number.
    ///
    /// # Errors
    /// Why there was no usable response, without any text of the server. The script may be carried out later.
    pub async fn run(
        &self,
        script: &RedisScript,
        key: &str,
        arguments: &[&str],
        time: Duration,
    ) -> Result<i64, String> {
        let mut invocation: ScriptInvocation<'_> = script.0.key(key);
        for argument in arguments {
            invocation.arg(argument);
        }
        let line = self.link.line();
        let response = timeout(time, self.link.invoke(&line, &invocation)).await;
        self.ended(&line, response.unwrap_or(Err(Lost::Slow)))
    }

    /// Closes the connection after a failure. An error is a response: its connection works.
    fn ended<T>(
        &self,
        line: &<RedisLink as SharedStore>::Line,
        response: Result<T, Lost>,
    ) -> Result<T, String> {
        response.map_err(|lost| {
            if !matches!(lost, Lost::Refused(_)) {
                self.link.hang_up(line);
            }
            lost.to_string()
        })
    }
}

impl fmt::Debug for RedisQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisQueries").field("link", &self.link).finish()
    }
}

impl fmt::Debug for RedisScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisScript").field("hash", &self.0.get_hash()).finish()
    }
}
