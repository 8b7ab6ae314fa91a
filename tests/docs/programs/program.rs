//! Runs an example, and reads how it ended.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use wxpay_testing::WireServer;

/// The folder of the built examples.
pub(super) static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--examples", "--all-features"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .expect("cargo");
    assert!(built.success());
    // This test is in target/debug/deps.
    let test = std::env::current_exe().expect("a path");
    test.ancestors().nth(2).expect("a folder").join("examples")
});

pub(super) fn example(name: &str) -> Command {
    let mut command = Command::new(EXAMPLES.join(name));
    for (variable, _) in std::env::vars() {
        let lower = variable.to_lowercase();
        if lower.starts_with("wxpay_") || lower.ends_with("_proxy") {
            command.env_remove(variable);
        }
    }
    command
}

/// Returns the standard output, its last line, and the exit code.
pub(super) fn ended(output: &Output) -> (String, String, i32) {
    let stdout = String::from_utf8(output.stdout.clone()).expect("text");
    let last = stdout.lines().last().unwrap_or_default().to_owned();
    (stdout, last, output.status.code().expect("a code"))
}

/// Returns the names of all examples: one per file in their folder.
pub(super) fn all_examples() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
    let paths = folder.expect("a folder").map(|entry| entry.expect("an entry").path());
    let sources = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let names =
        sources.map(|path| path.file_stem().expect("a name").to_str().expect("text").into());
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 13, "{names:?}");
    names
}

/// Keys on disk, as `terminate --live` reads them.
pub(super) struct Keys(PathBuf);

impl Keys {
    pub(super) fn write(server: &WireServer, name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("wxpay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join("apiclient_key.pem"), server.merchant_key_pem()).expect("a file");
        std::fs::write(dir.join("pub_key.pem"), server.public_key_pem()).expect("a file");
        std::fs::write(dir.join("ca.pem"), wxpay_testing::ca_pem()).expect("a file");
        Self(dir)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn live(server: &WireServer, keys: &Keys) -> Command {
    live_with(server, keys, &["--yes"])
}

/// Terminates the plan 12000 with other options.
pub(super) fn live_with(server: &WireServer, keys: &Keys, options: &[&str]) -> Command {
    let mut command = example("terminate");
    command
        .args(["--live", "--timeout", "2", "12000"])
        .args(options)
        .env("WXPAY_BASE_URL", server.base_url())
        .env("WXPAY_MCHID", server.mchid().as_str())
        .env("WXPAY_SERIAL_NO", server.serial_no().as_str())
        .env("WXPAY_PRIVATE_KEY", keys.path("apiclient_key.pem"))
        .env("WXPAY_PUBLIC_KEY_ID", server.public_key_id().as_str())
        .env("WXPAY_PUBLIC_KEY", keys.path("pub_key.pem"));
    command
}

/// Runs a program while the server runs on this runtime.
pub(super) async fn run(mut command: Command) -> (String, String, i32) {
    let output = tokio::task::spawn_blocking(move || command.output().expect("a program"));
    ended(&output.await.expect("an end"))
}
