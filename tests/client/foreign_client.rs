//! A client that shares no code with these crates, built from `openssl` and `curl`, against the gateway: an
//! independent check of both sides of the signature.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth::{Clock, SystemClock};
use wxpay_testing::{Gateway, PlanState};

/// Runs a program with this standard input, and returns its standard output.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    child.stdin.take().expect("a pipe").write_all(input).expect("an open pipe");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{program} {arguments:?}: {:?}", output.status);
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl and curl: run scripts/test"]
async fn openssl_signs_and_verifies() {
    let gateway = Gateway::start().await;
    let dir = std::env::temp_dir().join(format!("wxpay-foreign-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let (key, public_key) = (dir.join("apiclient_key.pem"), dir.join("pub_key.pem"));
    let signature_file = dir.join("signature");
    std::fs::write(&key, gateway.merchant_key_pem()).expect("a file");
    std::fs::write(&public_key, gateway.public_key_pem()).expect("a file");

    let target = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";
    let (timestamp, nonce) = (SystemClock.now(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let message = format!("POST\n{target}\n{timestamp}\n{nonce}\n\n");
    let signature = run("openssl", &["dgst", "-sha256", "-sign", text(&key)], message.as_bytes());
    let authorization = format!(
        "Authorization: WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"{nonce}\",\
         timestamp=\"{timestamp}\",serial_no=\"{}\",signature=\"{}\"",
        gateway.mchid(),
        gateway.serial_no(),
        STANDARD.encode(&signature),
    );
    let url = format!("{}{target}", gateway.base_url());
    let (accept, json) = ("Accept: application/json", "Content-Type: application/json");
    let noproxy = ["--noproxy", "*"];
    let arguments =
        ["-sS", "-i", "-X", "POST", "-d", "", "-H", &authorization, "-H", accept, "-H", json, &url];
    let response = run("curl", &[&noproxy[..], &arguments[..]].concat(), b"");
    let response = String::from_utf8(response).expect("text");
    assert!(response.starts_with("HTTP/1.1 204"), "{response}");
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated));

    let header = |name: &str| {
        let of = |line: &str| {
            Some(line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name))?.1.to_owned())
        };
        response.lines().find_map(of).unwrap_or_else(|| panic!("no {name}: {response}"))
    };
    assert_eq!(header("Wechatpay-Serial"), gateway.public_key_id().as_str());
    let signature = STANDARD.decode(header("Wechatpay-Signature")).expect("base64");
    std::fs::write(&signature_file, signature).expect("a file");
    let message = format!("{}\n{}\n\n", header("Wechatpay-Timestamp"), header("Wechatpay-Nonce"));
    let verified = run(
        "openssl",
        &["dgst", "-sha256", "-verify", text(&public_key), "-signature", text(&signature_file)],
        message.as_bytes(),
    );
    assert_eq!(verified, b"Verified OK\n");
    let _ = std::fs::remove_dir_all(&dir);
}
