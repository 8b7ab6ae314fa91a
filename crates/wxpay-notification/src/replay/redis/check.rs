//! How a server is set.

use crate::replay::redis::RedisReplayStore;
use crate::replay::{Begun, Claim, ReplayStore, ReplayStoreError, StoreFinding};

use std::time::Duration;

/// Tries the scripts, and reads the settings.
pub(super) async fn findings(
    store: &RedisReplayStore,
) -> Result<Vec<StoreFinding>, ReplayStoreError> {
    // No id of WeChat Pay begins like that.
    let claim = Claim::new("wxpay-notification check")?;
    let begun = store.begin(&claim, Duration::from_secs(5)).await?;
    if begun != Begun::First && begun != Begun::InProgress {
        return Err(ReplayStoreError::unavailable("another program writes under its keys"));
    }
    store.release(&claim).await?;
    Ok(read(&Settings::of(store).await))
}

/// What the server says. `None` if it does not.
#[derive(Debug, Default)]
struct Settings {
    memory: Option<String>,
    persistence: Option<String>,
    replication: Option<String>,
    appendfsync: Option<String>,
}

impl Settings {
    async fn of(store: &RedisReplayStore) -> Self {
        let (server, time) = (&store.server, store.response_timeout);
        let info = async |section| server.command::<String>(&["INFO", section], time).await.ok();
        let fsync = server.command::<Vec<String>>(&["CONFIG", "GET", "appendfsync"], time).await;
        Self {
            memory: info("memory").await,
            persistence: info("persistence").await,
            replication: info("replication").await,
            appendfsync: fsync.ok().and_then(|pair| pair.into_iter().nth(1)),
        }
    }
}

/// Returns the value of a line of `INFO`.
fn value<'i>(info: Option<&'i str>, name: &str) -> Option<&'i str> {
    let lines = info?.lines();
    lines.filter_map(|line| line.split_once(':')).find(|(n, _)| *n == name).map(|(_, v)| v.trim())
}

fn read(settings: &Settings) -> Vec<StoreFinding> {
    let mut findings = Vec::new();
    match value(settings.memory.as_deref(), "maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => findings.push(StoreFinding::evicts(policy)),
        None => findings.push(StoreFinding::NotKnown { setting: "maxmemory-policy" }),
    }
    match value(settings.persistence.as_deref(), "aof_enabled") {
        Some("1") => match settings.appendfsync.as_deref() {
            Some("always") => {}
            Some(other) => findings.push(StoreFinding::loses_the_last(other)),
            None => findings.push(StoreFinding::NotKnown { setting: "appendfsync" }),
        },
        Some(_) => findings.push(StoreFinding::NotPersistent),
        None => findings.push(StoreFinding::NotKnown { setting: "appendonly" }),
    }
    let replicas = value(settings.replication.as_deref(), "connected_slaves");
    match replicas.and_then(|replicas| replicas.parse().ok()) {
        Some(0) => {}
        Some(replicas) => findings.push(StoreFinding::AsynchronousReplicas { replicas }),
        None => findings.push(StoreFinding::NotKnown { setting: "replicas" }),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(policy: &str, aof: &str, fsync: &str, replicas: &str) -> Settings {
        Settings {
            memory: Some(format!("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n")),
            persistence: Some(format!("# Persistence\r\naof_enabled:{aof}\r\n")),
            replication: Some(format!("role:master\r\nconnected_slaves:{replicas}\r\n")),
            appendfsync: Some(fsync.to_owned()),
        }
    }

    #[test]
    fn a_server_that_keeps_its_memory_gives_no_finding() {
        assert_eq!(read(&settings("noeviction", "1", "always", "0")), []);
    }

    #[test]
    fn each_setting_that_forgets_is_found() {
        for (settings, finding) in [
            (settings("allkeys-lru", "1", "always", "0"), StoreFinding::evicts("allkeys-lru")),
            (settings("noeviction", "0", "always", "0"), StoreFinding::NotPersistent),
            (
                settings("noeviction", "1", "everysec", "0"),
                StoreFinding::loses_the_last("everysec"),
            ),
            (
                settings("noeviction", "1", "always", "2"),
                StoreFinding::AsynchronousReplicas { replicas: 2 },
            ),
        ] {
            assert_eq!(read(&settings), [finding]);
        }
    }

    #[test]
    fn what_the_server_does_not_say_is_found() {
        let findings = read(&Settings::default());
        assert_eq!(findings.len(), 3, "{findings:?}");
        let aof = Settings { appendfsync: None, ..settings("noeviction", "1", "", "0") };
        assert_eq!(read(&aof), [StoreFinding::NotKnown { setting: "appendfsync" }]);
        for finding in findings {
            assert!(finding.to_string().starts_with("the server does not say its "), "{finding}");
        }
    }
}
