//! The OpenBao server that `scripts/with-kms` starts, separate servers of single tests, and direct access to
//! them with the program `bao`.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_auth::kms::{Endpoint, Secret, VaultAuth, VaultTransit, VaultTransitBuilder};

/// The minimal policy of a signer.
pub fn policy(mount: &str, key: &str) -> String {
    format!(
        r#"path "{mount}/keys/{key}" {{ capabilities = ["read"] }}
path "{mount}/sign/{key}/sha2-256" {{ capabilities = ["update"] }}
"#
    )
}

/// Reads one of the variables that `scripts/with-kms` sets.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

/// Returns a name that is unique among all tests.
pub fn name(what: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A server, and a token with all permissions.
#[derive(Debug)]
pub struct OpenBao {
    /// The address, plain HTTP.
    pub address: String,
    pub(crate) token: String,
    namespace: Option<String>,
    process: Option<Child>,
}

impl OpenBao {
    /// Returns the server that all tests share; its `transit/keys/merchant` is the merchant key.
    pub fn shared() -> Self {
        let (address, token) =
            (variable("WXPAY_TEST_VAULT_ADDR"), variable("WXPAY_TEST_VAULT_TOKEN"));
        Self { address, token, namespace: None, process: None }
    }

    /// Starts a separate server for one test, stopped on drop.
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let mut server = Self {
            address: format!("http://{port}"),
            token: "root-of-one-test".to_owned(),
            namespace: None,
            process: None,
        };
        server.restart();
        server
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again at the same address, without its previous data.
    pub fn restart(&mut self) {
        self.stop();
        let listen = self.address.trim_start_matches("http://").to_owned();
        let (listen, token) =
            (format!("-dev-listen-address={listen}"), format!("-dev-root-token-id={}", self.token));
        self.serve(&["-dev", "-dev-no-store-token", &listen, &token]);
        self.wait_for(&["secrets", "list"]);
    }

    /// Returns a server that is not started yet, with the token to use.
    pub(crate) fn at(address: String, token: String) -> Self {
        Self { address, token, namespace: None, process: None }
    }

    /// Starts the server with these arguments.
    pub(crate) fn serve(&mut self, arguments: &[&str]) {
        let process = Command::new(variable("WXPAY_TEST_BAO"))
            .arg("server")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        self.process = Some(process);
    }

    /// Runs `bao` until it succeeds, and returns its output.
    pub fn wait_for(&self, arguments: &[&str]) -> String {
        for _ in 0..300 {
            let output = self.command(arguments).output().expect("bao");
            if output.status.success() {
                return String::from_utf8(output.stdout).expect("text").trim().to_owned();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} never does bao {arguments:?}", self.address);
    }

    /// Returns the same server, in a namespace.
    pub fn within(&self, namespace: &str) -> Self {
        let (address, token) = (self.address.clone(), self.token.clone());
        Self { address, token, namespace: Some(namespace.to_owned()), process: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(variable("WXPAY_TEST_BAO"));
        command.args(arguments).env("BAO_ADDR", &self.address).env("BAO_TOKEN", &self.token);
        if let Some(namespace) = &self.namespace {
            command.env("BAO_NAMESPACE", namespace);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `bao`, which must succeed, and returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, "")
    }

    /// Runs `bao` with an input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> String {
        let mut child = self.command(arguments).spawn().expect("bao");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("an open pipe");
        let output = child.wait_with_output().expect("an end");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        assert!(output.status.success(), "bao {arguments:?}: {}", text(output.stderr));
        text(output.stdout).trim().to_owned()
    }

    /// Returns whether `bao` may do this with another token.
    pub fn allows(&self, token: &str, arguments: &[&str]) -> bool {
        let output = self.command(arguments).env("BAO_TOKEN", token).output().expect("bao");
        output.status.success()
    }

    /// Mounts Transit for one test, and creates a key in it.
    pub fn transit(&self, key: &str) -> String {
        let mount = name("transit");
        self.run(&["secrets", "enable", &format!("-path={mount}"), "transit"]);
        self.run(&["write", "-f", &format!("{mount}/keys/{key}"), "type=rsa-2048"]);
        mount
    }

    /// Writes a policy, and returns its name.
    pub fn policy(&self, hcl: &str) -> String {
        let name = name("policy");
        self.run_with(&["policy", "write", &name, "-"], hcl);
        name
    }

    /// Creates a token with one policy, and more settings.
    pub fn token(&self, policy: &str, settings: &[&str]) -> String {
        let policy = format!("-policy={policy}");
        self.run(&[&["token", "create", "-field=token", &policy], settings].concat())
    }

    /// Creates an `AppRole` with one policy, and more settings. Returns its mount, `role_id` and `secret_id`.
    pub fn app_role(&self, policy: &str, settings: &[&str]) -> (String, String, String) {
        let mount = name("approle");
        self.run(&["auth", "enable", &format!("-path={mount}"), "approle"]);
        let role = format!("auth/{mount}/role/signer");
        let policies = format!("token_policies={policy}");
        self.run(&[&["write", &role, &policies], settings].concat());
        let role_id = self.run(&["read", "-field=role_id", &format!("{role}/role-id")]);
        let secret_id =
            self.run(&["write", "-f", "-field=secret_id", &format!("{role}/secret-id")]);
        (mount, role_id, secret_id)
    }

    /// Revokes all tokens of a login.
    pub fn revoke_all(&self, mount: &str) {
        self.run(&["token", "revoke", "-mode=path", &format!("auth/{mount}")]);
    }

    /// Returns a back end for a key, with the token that has all permissions.
    pub fn backend(&self, mount: &str, key: &str) -> VaultTransitBuilder {
        let endpoint = Endpoint::new(&self.address).expect("an address");
        let builder = VaultTransit::builder(endpoint, key)
            .mount(mount)
            .auth(VaultAuth::token(Secret::new(&self.token)));
        match &self.namespace {
            Some(namespace) => builder.namespace(namespace),
            None => builder,
        }
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.stop();
    }
}
