//! Host names that resolve as a test specifies.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use wxpay_transport::{Resolve, async_trait};

/// A resolver with a table that can change at any time. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Switchboard(Arc<Mutex<HashMap<String, Line>>>);

#[derive(Debug, Clone)]
enum Line {
    To(Vec<IpAddr>),
    Stalled,
}

impl Switchboard {
    /// Makes a name resolve to an address.
    pub fn connect(&self, name: &str, address: IpAddr) {
        self.connect_all(name, &[address]);
    }

    /// Makes a name resolve to several addresses.
    pub fn connect_all(&self, name: &str, addresses: &[IpAddr]) {
        self.set(name, Some(Line::To(addresses.to_vec())));
    }

    /// Makes a name unknown.
    pub fn disconnect(&self, name: &str) {
        self.set(name, None);
    }

    /// Makes the lookup of a name never complete.
    pub fn stall(&self, name: &str) {
        self.set(name, Some(Line::Stalled));
    }

    fn set(&self, name: &str, line: Option<Line>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match line {
            Some(line) => lines.insert(name.to_owned(), line),
            None => lines.remove(name),
        };
    }
}

#[async_trait]
impl Resolve for Switchboard {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        match line {
            Some(Line::To(addresses)) => Ok(addresses),
            Some(Line::Stalled) => std::future::pending().await,
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
