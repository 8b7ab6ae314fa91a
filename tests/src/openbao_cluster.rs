//! Two nodes of OpenBao with integrated storage (raft): one active, one standby.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::openbao::{OpenBao, name};

/// The cluster of one test, stopped on drop.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    key: String,
    /// The active node while it runs: by itself it is a majority.
    pub first: OpenBao,
    /// The standby node.
    pub second: OpenBao,
}

impl Cluster {
    /// Starts and unseals both nodes.
    pub fn start() -> Self {
        let folder = std::env::temp_dir().join(name("wxpay-cluster"));
        let node = || OpenBao::at(format!("http://{}", free()), String::new());
        let (first, second) = (node(), node());
        let mut cluster = Self { folder, key: String::new(), first, second };
        cluster.configure("first", &cluster.first, "");
        let join = format!("retry_join {{\n leader_api_addr = {:?}\n }}", cluster.first.address);
        cluster.configure("second", &cluster.second, &join);

        cluster.first.serve(&[&cluster.argument("first")]);
        let init = ["operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"];
        let keys: Value = serde_json::from_str(&cluster.first.wait_for(&init)).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        cluster.key = text(&keys["unseal_keys_b64"][0]);
        cluster.first.token = text(&keys["root_token"]);
        cluster.second.token.clone_from(&cluster.first.token);
        cluster.unseal_first();
        cluster.second.serve(&[&cluster.argument("second")]);
        cluster.unseal(&cluster.second);
        cluster.second.wait_for(&["secrets", "list"]);
        cluster
    }

    /// Starts the first node again, which becomes the active one.
    pub fn restart_first(&mut self) {
        let argument = self.argument("first");
        self.first.serve(&[&argument]);
        self.unseal_first();
    }

    fn unseal_first(&self) {
        self.unseal(&self.first);
        // Writes succeed only once it is active.
        self.first.wait_for(&["write", "identity/entity", "name=nobody"]);
    }

    /// A joining node accepts the key before it can use it, and needs it a second time.
    fn unseal(&self, node: &OpenBao) {
        for _ in 0..300 {
            let unseal = ["operator", "unseal", &self.key];
            if node.allows(&node.token, &unseal) && node.allows(&node.token, &["status"]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} is never unsealed", node.address);
    }

    fn configure(&self, name: &str, node: &OpenBao, join: &str) {
        let listen = node.address.trim_start_matches("http://");
        let (data, others) = (self.folder.join(name), free());
        std::fs::create_dir_all(&data).expect("a folder");
        let settings = format!(
            r#"storage "raft" {{
 path = {data:?}
 node_id = "{name}"
 performance_multiplier = 1
 {join}
}}
listener "tcp" {{
 address = "{listen}"
 cluster_address = "{others}"
 tls_disable = true
}}
api_addr = "http://{listen}"
cluster_addr = "https://{others}"
"#
        );
        std::fs::write(self.folder.join(name).with_extension("hcl"), settings).expect("a file");
    }

    fn argument(&self, name: &str) -> String {
        format!("-config={}", self.folder.join(name).with_extension("hcl").display())
    }
}

fn free() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.first.stop();
        self.second.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
