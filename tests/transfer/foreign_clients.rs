//! Clients that share no code with these crates, against the gateway: an independent check of its rules for files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use wxpay_testing::{Gateway, Refusal, Verdict};

use super::bills::{DATE, offer};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\xff\r\n--\r\n";

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wxpay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program of `peers/` with the settings of a client.
fn run(gateway: &Gateway, program: &Path, script: &str) -> Value {
    let folder = Folder::new(script);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("transfer/peers").join(script);
    let output = Command::new(program)
        .arg(script)
        .env("BASE_URL", gateway.base_url())
        .env("MCHID", gateway.mchid().as_str())
        .env("SERIAL_NO", gateway.serial_no().as_str())
        .env(
            "MERCHANT_KEY",
            folder.file("apiclient_key.pem", gateway.merchant_key_pem().as_bytes()),
        )
        .env("PUBLIC_KEY_ID", gateway.public_key_id().as_str())
        .env("PUBLIC_KEY", folder.file("pub_key.pem", gateway.public_key_pem().as_bytes()))
        .env("FILE", folder.file("logo.png", PNG))
        .env("BILL_DATE", DATE)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let line = output.stdout.split(|b| *b == b'\n').rfind(|line| !line.is_empty());
    serde_json::from_slice(line.expect("a line")).expect("JSON")
}

fn variable(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is set by scripts/with-peers"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs wechatpay-axios-plugin: run scripts/test"]
async fn wechatpay_axios_plugin_uploads_and_downloads() {
    let gateway = Gateway::start().await;
    let bill = offer(&gateway);
    // The script finds the plugin by this variable.
    assert!(!variable("WXPAY_TEST_AXIOS_PLUGIN").is_empty());
    let said = run(&gateway, Path::new("node"), "transfer.js");
    assert!(said["media_url"].as_str().unwrap().starts_with("https://"), "{said}");
    assert_eq!((&said["bytes"], &said["is_right"]), (&bill.len().into(), &true.into()), "{said}");
    assert_eq!(gateway.uploads()[0].content, PNG);
    assert!(gateway.journal().iter().all(|entry| *entry.verdict() == Verdict::Accepted));
}

/// It names no boundary in its `Content-Type`, which the gateway requires as the documentation does.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs wechatpayv3: run scripts/test"]
async fn wechatpayv3_uploads_and_downloads() {
    let gateway = Gateway::start().await;
    let bill = offer(&gateway);
    let python = variable("WXPAY_TEST_WECHATPAYV3");
    let said = run(&gateway, Path::new(&python), "transfer.py");
    assert_eq!((&said["without_boundary"], &said["status"]), (&400.into(), &200.into()), "{said}");
    assert_eq!((&said["bytes"], &said["is_right"]), (&bill.len().into(), &true.into()), "{said}");
    assert_eq!(gateway.uploads()[0].content, PNG);
    let journal = gateway.journal();
    let (first, others) = journal.split_first().expect("requests");
    let refusal = Refusal::MalformedForm("there is no usable boundary");
    assert_eq!(first.verdict(), &Verdict::Refused(refusal));
    assert!(others.iter().all(|entry| *entry.verdict() == Verdict::Accepted));
}
