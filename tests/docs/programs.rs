//! The example programs, run like a user runs them: last line and exit code.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use wxpay_auth::Certificate;
use wxpay_testing::{
    ConnectProxy, ErrorBody, Fault, How, Misbehaviour, Point, ProxyManners, ServerTls, WechatPay,
    WireServer,
};
use wxpay_tests::kms_service::KmsService;

/// The folder of the built examples.
static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
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

fn example(name: &str) -> Command {
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
fn ended(output: &Output) -> (String, String, i32) {
    let stdout = String::from_utf8(output.stdout.clone()).expect("text");
    let last = stdout.lines().last().unwrap_or_default().to_owned();
    (stdout, last, output.status.code().expect("a code"))
}

/// Returns the names of all examples: one per file in their folder.
fn all_examples() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
    let paths = folder.expect("a folder").map(|entry| entry.expect("an entry").path());
    let sources = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let names =
        sources.map(|path| path.file_stem().expect("a name").to_str().expect("text").into());
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 13, "{names:?}");
    names
}

/// Unknown arguments are refused before anything is done: `audit_log --help` once wrote a file of that name.
#[test]
fn every_example_answers_help_and_refuses_what_it_does_not_know() {
    let dir = std::env::temp_dir().join(format!("wxpay-arguments-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    for name in all_examples() {
        let run = |arguments: &[&str]| {
            let output = example(&name).args(arguments).current_dir(&dir).output();
            let output = output.expect("a program");
            let stderr = String::from_utf8(output.stderr.clone()).expect("text");
            let (stdout, _, code) = ended(&output);
            (stdout, stderr, code)
        };
        for help in ["--help", "-h"] {
            let (stdout, stderr, code) = run(&[help]);
            assert_eq!((stderr.as_str(), code), ("", 0), "{name} {help}");
            assert!(stdout.starts_with(&format!("usage: {name}")), "{name} {help}: {stdout}");
        }
        for unknown in [&["--no-such-option"][..], &["a", "b", "c", "d", "e", "f"]] {
            let (stdout, stderr, code) = run(unknown);
            assert!(stderr.starts_with("error: ") && code != 0, "{name} {unknown:?}: {stderr}");
            assert_eq!(stdout, "", "{name} {unknown:?}");
        }
        let (_, stderr, _) = run(&["--no-such-option"]);
        assert!(stderr.contains("--no-such-option"), "{name}: {stderr}");
    }
    let written = std::fs::read_dir(&dir).expect("a folder").count();
    std::fs::remove_dir_all(&dir).expect("a folder");
    assert_eq!(written, 0, "a program has written a file");
}

/// An error returned from `main` is one line, with its cause and a hint.
#[test]
fn an_error_that_main_returns_is_one_line_with_a_hint() {
    let output = example("certificate_request").args(["file:/no/such.pem", "1900007291"]).output();
    let output = output.expect("a program");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).expect("text"),
        "Error: /no/such.pem does not exist; check the path; a relative one starts at the working \
         directory\n"
    );
}

/// Keys on disk, as `terminate --live` reads them.
struct Keys(PathBuf);

impl Keys {
    fn write(server: &WireServer, name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("wxpay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join("apiclient_key.pem"), server.merchant_key_pem()).expect("a file");
        std::fs::write(dir.join("pub_key.pem"), server.public_key_pem()).expect("a file");
        std::fs::write(dir.join("ca.pem"), wxpay_testing::ca_pem()).expect("a file");
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn live(server: &WireServer, keys: &Keys) -> Command {
    let mut command = example("terminate");
    command
        .args(["--live", "--yes", "--timeout", "2", "12000"])
        .env("WXPAY_BASE_URL", server.base_url())
        .env("WXPAY_MCHID", server.mchid().as_str())
        .env("WXPAY_SERIAL_NO", server.serial_no().as_str())
        .env("WXPAY_PRIVATE_KEY", keys.path("apiclient_key.pem"))
        .env("WXPAY_PUBLIC_KEY_ID", server.public_key_id().as_str())
        .env("WXPAY_PUBLIC_KEY", keys.path("pub_key.pem"));
    command
}

/// Runs a program while the server runs on this runtime.
async fn run(mut command: Command) -> (String, String, i32) {
    let output = tokio::task::spawn_blocking(move || command.output().expect("a program"));
    ended(&output.await.expect("an end"))
}

#[test]
fn on_the_embedded_gateway() {
    let (stdout, last, code) = ended(&example("terminate").arg("12000").output().unwrap());
    assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{stdout}");
    for expected in [
        "plan 12000 before: DELIVERING",
        "sent: POST /v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate",
        "signature=\"(left out)\"",
        "response: 204, verified",
        "plan 12000 after: TERMINATED",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (stdout, last, code) = ended(&example("terminate").arg("777").output().unwrap());
    assert_eq!((last.as_str(), code), ("outcome: rejected", 1), "{stdout}");
    assert!(stdout.contains("code: RESOURCE_NOT_EXISTS"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_each_outcome_has_its_line_and_its_code() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "outcomes");

    let (stdout, last, code) = run(live(&server, &keys)).await;
    assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{stdout}");

    let (stdout, last, code) = run(live(&server, &keys)).await;
    assert_eq!((last.as_str(), code), ("outcome: rejected", 1), "{stdout}");
    for expected in ["code: INVALID_REQUEST", "cause: ", "hint: fix", "request id: 08F5B8"] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }

    let mut nobody = live(&server, &keys);
    nobody.env("WXPAY_BASE_URL", "http://127.0.0.1:1");
    let (stdout, last, code) = run(nobody).await;
    assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");

    for misbehaviour in [
        Misbehaviour::Probe,
        Misbehaviour::UnsignedSuccess,
        Misbehaviour::Redirect,
        Misbehaviour::Status {
            status: 500,
            body: ErrorBody::json("SYSTEM_ERROR", "系统错误"),
            signed: true,
            executed: false,
        },
    ] {
        server.add_plan(wxpay_testing::Plan::new("12000", "1004"));
        server.misbehave_once(misbehaviour.clone());
        let (stdout, last, code) = run(live(&server, &keys)).await;
        assert_eq!((last.as_str(), code), ("outcome: unknown", 3), "{misbehaviour:?}: {stdout}");
    }
    for how in [How::Reset, How::Stall] {
        server.fault_once(Fault::new(Point::Executed, how));
        let (stdout, last, code) = run(live(&server, &keys)).await;
        assert_eq!((last.as_str(), code), ("outcome: unknown", 3), "{how:?}: {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_wrong_usage_and_configuration_end_with_4() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "usage");
    let wrong = |name: &str, value: &Path| {
        let mut command = live(&server, &keys);
        command.env(name, value);
        command
    };
    let mut commands = vec![
        (wrong("WXPAY_MCHID", Path::new("19x")), "digit"),
        (wrong("WXPAY_MCHID", Path::new("")), "WXPAY_MCHID is set, and empty"),
        (wrong("WXPAY_SIGNER", Path::new("")), "WXPAY_SIGNER is set, and empty"),
        (wrong("WXPAY_SIGNER", Path::new("file:key.pem")), "remove WXPAY_PRIVATE_KEY"),
        (wrong("WXPAY_BASE_URL", Path::new("")), "WXPAY_BASE_URL is set, and empty"),
        (wrong("WXPAY_SERIAL_NO", Path::new("PUB_KEY_ID_01")), "PUB_KEY_ID_"),
        (wrong("WXPAY_PRIVATE_KEY", &keys.path("nothing.pem")), "does not exist"),
        (wrong("WXPAY_PRIVATE_KEY", &keys.path("pub_key.pem")), "a public key was given"),
        (wrong("WXPAY_PRIVATE_KEY", &keys.path("ca.pem")), "a certificate was given"),
        (wrong("WXPAY_PUBLIC_KEY", &keys.path("apiclient_key.pem")), "a private key was given"),
        (wrong("WXPAY_PRIVATE_KEY", Path::new(server.merchant_key_pem())), "is not shown"),
        (wrong("WXPAY_PUBLIC_KEY", Path::new(server.merchant_key_pem())), "is not shown"),
        (wrong("WXPAY_PUBLIC_KEY_ID", Path::new("12:34")), "neither"),
        (
            wrong("WXPAY_PUBLIC_KEY_ID", Path::new(server.serial_no().as_str())),
            "the id of a public key (PUB_KEY_ID_…) is needed",
        ),
        (wrong("WXPAY_BASE_URL", Path::new("http://192.0.2.1")), "plain http"),
        (wrong("WXPAY_BASE_URL", Path::new("https://a.example/v3")), "a path"),
    ];
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let not_text = Path::new(std::ffi::OsStr::from_bytes(b"file:\xff"));
        for name in ["WXPAY_SIGNER", "WXPAY_BASE_URL"] {
            commands.push((wrong(name, not_text), "is not UTF-8"));
        }
    }
    let mut neither = live(&server, &keys);
    neither.env_remove("WXPAY_PRIVATE_KEY");
    commands.push((neither, "neither WXPAY_PRIVATE_KEY nor WXPAY_SIGNER is set"));
    for arguments in [
        vec![],
        vec!["--no-such-option"],
        vec!["1", "2"],
        vec![""],
        vec!["a/b"],
        vec![".."],
        vec!["12000 "],
        vec!["--timeout", "-1", "12000"],
    ] {
        let mut command = example("terminate");
        command.args(arguments);
        commands.push((command, "hint: "));
    }
    for (command, expected) in commands {
        let shown = format!("{command:?}");
        let output = tokio::task::spawn_blocking(move || {
            let mut command = command;
            command.output().expect("a program")
        });
        let output = output.await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{shown}: {stderr}");
        assert!(stderr.contains(expected) && stderr.contains("hint: "), "{shown}: {stderr}");
        assert!(!stderr.contains("BEGIN"), "{shown}: {stderr}");
        let key = server.merchant_key_pem().lines().filter(|line| !line.starts_with("-----"));
        assert_eq!(key.filter(|line| stderr.contains(*line)).count(), 0, "{shown}: {stderr}");
    }
    assert_eq!(server.journal().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_through_the_proxy_and_with_the_roots_of_the_environment() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let keys = Keys::write(&server, "proxy");
    let proxy = ConnectProxy::start(ProxyManners::Credentials("user:secret".to_owned())).await;
    let port = server.address().port();
    let through = |no_proxy: &str| {
        let mut command = live(&server, &keys);
        command
            // Only the proxy can resolve this name.
            .env("WXPAY_BASE_URL", format!("https://gateway.example:{port}"))
            .env("SSL_CERT_FILE", keys.path("ca.pem"))
            .env_remove("SSL_CERT_DIR")
            .env("HTTPS_PROXY", proxy.url_with("user:secret"))
            .env("NO_PROXY", no_proxy);
        command
    };
    let (stdout, last, code) = run(through("")).await;
    assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{stdout}");
    assert_eq!((proxy.tunnels(), server.executions()), (1, 1));

    for no_proxy in [".example", "*"] {
        let (stdout, last, code) = run(through(no_proxy)).await;
        assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");
        assert!(stdout.contains("(dns)"), "{stdout}");
    }
    assert_eq!(proxy.tunnels(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_is_given_is_that_of_the_call() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "time");
    server.misbehave(Misbehaviour::Slow(std::time::Duration::from_secs(60)));
    let (stdout, last, code) = run(live(&server, &keys)).await;
    assert_eq!((last.as_str(), code), ("outcome: unknown", 3), "{stdout}");
    assert!(stdout.contains("took longer than 2s (call timeout)"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_that_cannot_be_used_is_not_passed_by() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let keys = Keys::write(&server, "no-proxy");
    let port = server.address().port();
    let live = |variable: &str, value: &str| {
        let mut command = live(&server, &keys);
        command
            .arg("--verbose")
            .env("WXPAY_BASE_URL", format!("https://gateway.example:{port}"))
            .env("SSL_CERT_FILE", keys.path("ca.pem"))
            .env_remove("SSL_CERT_DIR")
            .env(variable, value);
        command
    };
    for (variable, value, hint) in [
        ("HTTPS_PROXY", "\"http://user:m4rk3r@proxy.example:3128\"", "without quotes"),
        ("https_proxy", "htp://user:m4rk3r@proxy.example:3128", "without quotes"),
        ("ALL_PROXY", "socks5://user:m4rk3r@proxy.example:3128", "without quotes"),
        ("all_proxy", "ftp://user:m4rk3r@proxy.example", "without quotes"),
        ("HTTPS_PROXY", "http:///", "without quotes"),
        ("HTTPS_PROXY", "http://user:m4rk3r x@proxy.example:3128", "%40"),
        ("HTTPS_PROXY", "http://user:m4rk3r#x@proxy.example:3128", "%40"),
        ("HTTPS_PROXY", "user:x@m4rk3r@proxy.example:3128", "%40"),
    ] {
        let mut command = live(variable, value);
        let output = tokio::task::spawn_blocking(move || command.output().expect("a program"));
        let output = output.await.expect("an end");
        let (stdout, _, code) = ended(&output);
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(code, 4, "{value}: {stdout}{stderr}");
        let expected = format!("the proxy in the variable {variable} cannot be used");
        assert!(stderr.contains(&expected) && stderr.contains(hint), "{value}: {stderr}");
        assert!(!format!("{stdout}{stderr}").contains("m4rk3r"), "{stdout}{stderr}");
    }
    assert_eq!(server.connections(), 0);

    // It is not needed for this machine, nor for a host that is an exception.
    let mut direct = live("HTTPS_PROXY", "socks5://proxy.example");
    direct.env("WXPAY_BASE_URL", format!("https://localhost:{port}"));
    let (stdout, last, _) = run(direct).await;
    assert_eq!(last, "outcome: terminated", "{stdout}");
    let mut excepted = live("HTTPS_PROXY", "socks5://proxy.example");
    excepted.env("NO_PROXY", "gateway.example");
    let (stdout, last, _) = run(excepted).await;
    assert_eq!(last, "outcome: not_sent", "{stdout}");
    assert!(stdout.contains("(dns)"), "{stdout}");
}

/// Stops a program when the test ends, even by a panic.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_gateway_as_a_program() {
    let dir = std::env::temp_dir().join(format!("wxpay-gateway-{}", std::process::id()));
    let child = example("gateway")
        .args(["--port", "0", "--keys"])
        .arg(&dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a program");
    let mut gateway = Running(child);
    let mut lines = BufReader::new(gateway.0.stdout.take().expect("a pipe")).lines();
    let first = lines.next().expect("a line").expect("text");
    let base_url = first.strip_prefix("listening on ").expect("where it listens").to_owned();
    let described = std::fs::read_to_string(dir.join("gateway.json")).expect("a description");
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described["base_url"], base_url.as_str());
    assert_eq!(described["plans"][0]["plan_id"], "12000");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(dir.join("apiclient_key.pem")).expect("a key");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    let terminate = |mchid: &str, typed: &str| {
        let text = |name: &str| described[name].as_str().expect("text").to_owned();
        let mut terminate = example("terminate")
            .args(["12000", "--live", "--brand", "1004"])
            .env("WXPAY_BASE_URL", &base_url)
            .env("WXPAY_MCHID", mchid)
            .env("WXPAY_SERIAL_NO", text("serial_no"))
            .env("WXPAY_PRIVATE_KEY", dir.join(text("private_key")))
            .env("WXPAY_PUBLIC_KEY_ID", text("public_key_id"))
            .env("WXPAY_PUBLIC_KEY", dir.join(text("public_key")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program");
        // A program that has refused before it asks has closed its input.
        let _ = terminate.stdin.take().expect("a pipe").write_all(typed.as_bytes());
        ended(&terminate.wait_with_output().expect("an end"))
    };
    let mchid = described["mchid"].as_str().unwrap();
    let (stdout, last, code) = terminate(mchid, "12001\n");
    assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");
    assert!(stdout.contains("plan_state: DELIVERING"), "{stdout}");
    assert!(lines.next().unwrap().unwrap().contains("GET "));

    let (stdout, last, code) = terminate(mchid, "12000\n");
    assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{stdout}");
    assert!(lines.next().unwrap().unwrap().contains("GET "));
    assert!(lines.next().unwrap().unwrap().ends_with("/12000/terminate 204 executed"));

    let (stdout, last, code) = terminate("1900000001", "12000\n");
    assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");
    let refused = lines.next().unwrap().unwrap();
    assert!(refused.contains("401 refused: mchid 1900000001 is not"), "{refused}");
    let _ = std::fs::remove_dir_all(&dir);
}

/// Runs the gateway with this folder until it listens or fails.
fn gateway_with_keys(dir: &Path) -> Result<(), String> {
    let mut command = example("gateway");
    command.args(["--port", "0", "--keys"]).arg(dir);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut gateway = Running(child.expect("a program"));
    let stdout = gateway.0.stdout.take().expect("a pipe");
    if BufReader::new(stdout).lines().next().is_some() {
        return Ok(());
    }
    assert_eq!(gateway.0.wait().expect("an end").code(), Some(4));
    let stderr = gateway.0.stderr.take().expect("a pipe");
    Err(std::io::read_to_string(stderr).expect("text"))
}

/// A user passes the folder with the keys of a live account.
#[test]
fn the_gateway_leaves_other_keys_alone() {
    let dir = std::env::temp_dir().join(format!("wxpay-own-keys-{}", std::process::id()));
    let names = ["apiclient_key.pem", "apiclient_cert.pem", "pub_key.pem", "wechatpay_cert.pem"];
    for name in names.into_iter().chain(["gateway.json"]) {
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join(name), "a key that is used\n").expect("a file");
        let error = gateway_with_keys(&dir).expect_err(name);
        assert!(error.contains(name) && error.contains("nothing was written"), "{error}");
        let held: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(held, [name], "nothing was added");
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!(text, "a key that is used\n");
    }
    #[cfg(unix)]
    {
        // A link to a key that does not exist at the moment also belongs to the user.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink("/nowhere/key.pem", dir.join("apiclient_key.pem")).unwrap();
        gateway_with_keys(&dir).unwrap_err();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    }
    for other in [
        "{}",
        r#"{"base_url":"https://pay.example"}"#,
        // A description of another account.
        r#"{"base_url":"","certificate":"apiclient_cert.pem","mchid":"1900000001","plans":[],
            "platform_certificate":"wechatpay_cert.pem","private_key":"apiclient_key.pem",
            "public_key":"pub_key.pem","public_key_id":"PUB_KEY_ID_01","serial_no":"5F1C"}"#,
    ] {
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("gateway.json"), other).unwrap();
        gateway_with_keys(&dir).unwrap_err();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(dir.join("gateway.json")).unwrap(), other);
    }
    let _ = std::fs::remove_dir_all(&dir);
    gateway_with_keys(&dir).expect("a missing folder is created");
    let before = std::fs::read(dir.join("apiclient_key.pem")).unwrap();
    gateway_with_keys(&dir).expect("its own keys are accepted");
    assert_eq!(std::fs::read(dir.join("apiclient_key.pem")).unwrap(), before);
    #[cfg(unix)]
    {
        // Nothing is written through a link, not even if the gateway has written there before.
        let (own, kept) = (dir.join("gateway.json"), dir.join("kept.json"));
        std::fs::rename(&own, &kept).unwrap();
        std::os::unix::fs::symlink(&kept, &own).unwrap();
        let before = std::fs::read(&kept).unwrap();
        let error = gateway_with_keys(&dir).unwrap_err();
        assert!(error.contains("gateway.json"), "{error}");
        assert_eq!(std::fs::read(&kept).unwrap(), before);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn the_other_examples_end_well() {
    for (name, expected) in [
        ("custom_signer", "12001 terminated, signed by an Arc<dyn Signer>"),
        ("error_handling", "it was carried out after all"),
        ("own_test", "ended"),
    ] {
        let (stdout, _, code) = ended(&example(name).output().unwrap());
        assert_eq!(code, 0, "{name}: {stdout}");
        assert!(stdout.contains(expected), "{name}: {stdout}");
    }
}

#[test]
fn the_audit_log_has_a_line_for_each_signed_request_and_only_grows() {
    let dir = std::env::temp_dir().join(format!("wxpay-audit-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("audit.jsonl");
    for runs in 1..=2 {
        let mut command = example("audit_log");
        let (stdout, _, code) = ended(&command.arg(&path).output().unwrap());
        assert_eq!(code, 0, "{stdout}");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2 * runs);
        for (line, (outcome, status)) in
            lines.iter().zip([("verified", 204), ("rejected", 400)].iter().cycle())
        {
            assert_eq!(
                (&line["outcome"], &line["status"]),
                (&(*outcome).into(), &(*status).into())
            );
            assert_eq!(line["operation"], "delivery_plans.terminate");
            assert_eq!(line["identity"], "1900007291");
            assert!(line["path"].as_str().unwrap().ends_with("/12000/terminate"));
            for field in ["signed_at", "serial_no", "host", "request_id", "took_ms", "attempt"] {
                assert!(!line[field].is_null(), "{field}: {line}");
            }
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
#[ignore = "needs SoftHSM: run scripts/test"]
fn with_a_key_in_an_hsm() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("run scripts/test"));
    let uri = format!(
        "pkcs11:token=main;object=merchant?module-path={}&pin-value={}",
        variable("WXPAY_TEST_SOFTHSM"),
        variable("WXPAY_TEST_PIN"),
    );
    let (stdout, last, code) = ended(&example("hsm").arg(&uri).output().unwrap());
    assert_eq!(code, 0, "{stdout}");
    assert!(last.starts_with("terminated 12000, signed as 5F"), "{stdout}");

    let output = example("hsm").arg(uri.replace("merchant", "nobody")).output().unwrap();
    assert_eq!(ended(&output).2, 1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check object and id"), "{stderr}");
    assert!(!stderr.contains("pin"), "{stderr}");
}

#[test]
#[ignore = "needs OpenBao: run scripts/test"]
fn with_a_key_in_vault() {
    let file = std::env::temp_dir().join(format!("wxpay-vault-token-{}", std::process::id()));
    let address = wxpay_tests::openbao::variable("WXPAY_TEST_VAULT_ADDR");
    let token = wxpay_tests::openbao::variable("WXPAY_TEST_VAULT_TOKEN");
    std::fs::write(&file, &token).unwrap();
    let run = |key: &str| example("kms_vault").args([&address, key]).arg(&file).output().unwrap();
    let (stdout, last, code) = ended(&run("merchant"));
    assert_eq!(code, 0, "{stdout}");
    assert!(last.starts_with("terminated 12000, signed as 5F"), "{stdout}");

    let output = run("nobody");
    assert_eq!(ended(&output).2, 1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check the names of mount, key"), "{stderr}");
    assert!(!stderr.contains(&token), "{stderr}");
    std::fs::remove_file(file).unwrap();
}

#[test]
#[ignore = "needs SoftHSM: run scripts/test"]
fn with_a_key_that_is_born_in_an_hsm() {
    let mut command = example("hsm_born_key");
    // It creates its own settings.
    command.env_remove("SOFTHSM2_CONF");
    let (stdout, last, code) = ended(&command.output().unwrap());
    assert_eq!(code, 0, "{stdout}");
    let serial_no = stdout.lines().find_map(|line| line.trim().strip_prefix("serial_no: "));
    let serial_no = serial_no.expect("the serial");
    assert_eq!(serial_no.len(), 40, "{stdout}");
    assert_eq!(last, format!("   plan 12000: terminated, signed as {serial_no}"), "{stdout}");
    assert!(stdout.contains("pkcs11:token=wxpay;object=merchant;id=%"), "{stdout}");

    let mut without = example("hsm_born_key");
    let (_, _, code) = ended(&without.env("PATH", "/nowhere").output().unwrap());
    assert_eq!(code, 4);
}

/// Runs the example of a cloud against the double of its key service; the access key is in the environment.
fn on_a_double(name: &str, double: &KmsService, arguments: &[&str], variables: [&str; 3]) {
    let access_key = ["id", "secret", "token"]
        .map(|field| double.text(&format!("/credentials/temporary/{field}")).to_owned());
    let mut command = example(name);
    command.args(arguments).envs(variables.into_iter().zip(access_key));
    let output = command.output().expect("a program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (stdout, last, code) = ended(&output);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(last.starts_with("terminated 12000, signed as "), "{stdout}{stderr}");
    let output = command.env_remove(variables[1]).output().expect("a program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(variables[1]) && !output.status.success(), "{stderr}");
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn kms_tencent() {
    let double = KmsService::start("tencent.py", &[]);
    let arguments = [double.text("/region"), double.text("/keys/born"), double.url()];
    let variables = ["TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"];
    on_a_double("kms_tencent", &double, &arguments, variables);
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn kms_alibaba() {
    let double = KmsService::start("alibaba.py", &[]);
    let (key, version) = (double.text("/keys/born"), double.text("/versions/born/0"));
    let variables = [
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ];
    let arguments = [double.text("/region"), key, version, double.url()];
    on_a_double("kms_alibaba", &double, &arguments, variables);
}

/// The environment variables that AWS tools read.
fn aws(double: &KmsService) -> [(&'static str, String); 5] {
    [
        ("AWS_ACCESS_KEY_ID", double.text("/credentials/static/id").to_owned()),
        ("AWS_SECRET_ACCESS_KEY", double.text("/credentials/static/secret").to_owned()),
        ("AWS_REGION", double.text("/region").to_owned()),
        ("AWS_ENDPOINT_URL", double.url().to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn kms_aws() {
    let double = KmsService::start("moto_kms.py", &[]);
    let run = |key: &str| example("kms_aws").arg(key).envs(aws(&double)).output().unwrap();
    let (stdout, last, code) = ended(&run(double.text("/keys/merchant")));
    assert_eq!(code, 0, "{stdout}");
    assert!(last.starts_with("terminated 12000, signed as 5F"), "{stdout}");

    let output = run("alias/nobody");
    assert_eq!(ended(&output).2, 1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check the key id, the alias"), "{stderr}");
}

/// `WXPAY_SIGNER` takes the address of a key in a file, in a token, or in any key service.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM, OpenBao and Python: run scripts/test"]
async fn the_signer_is_chosen_by_its_address() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "addresses");
    let [tencent, alibaba, moto] =
        ["tencent.py", "alibaba.py", "moto_kms.py"].map(|program| KmsService::start(program, &[]));
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("run scripts/test"));
    let certificate = keys.path("apiclient_cert.pem");
    std::fs::write(&certificate, server.merchant_certificate_pem()).unwrap();
    let addresses = [
        format!("file:{}", keys.path("apiclient_key.pem").display()),
        format!(
            "pkcs11:token=main;object=merchant?module-path={}&pin-value={}",
            variable("WXPAY_TEST_SOFTHSM"),
            variable("WXPAY_TEST_PIN"),
        ),
        format!("vault:merchant?address={}", variable("WXPAY_TEST_VAULT_ADDR")),
        format!(
            "tencent-kms:{}?region={}&endpoint={}",
            tencent.text("/keys/merchant"),
            tencent.text("/region"),
            tencent.url()
        ),
        format!(
            "alibaba-kms:{}?key_version_id={}&region={}&endpoint={}&role=&metadata={}",
            alibaba.text("/keys/merchant"),
            alibaba.text("/versions/merchant/0"),
            alibaba.text("/region"),
            alibaba.url(),
            alibaba.text("/metadata_url"),
        ),
        format!("aws-kms:{}", moto.text("/keys/merchant")),
    ];
    let logged_in = |mut command: Command| {
        command
            .env("VAULT_TOKEN", variable("WXPAY_TEST_VAULT_TOKEN"))
            .env("TENCENTCLOUD_SECRET_ID", tencent.text("/credentials/static/id"))
            .env("TENCENTCLOUD_SECRET_KEY", tencent.text("/credentials/static/secret"))
            .envs(aws(&moto));
        command
    };
    let live = |address: &str| {
        let mut command = logged_in(live(&server, &keys));
        command
            .args(["--timeout", "60"])
            .env_remove("WXPAY_PRIVATE_KEY")
            .env("WXPAY_SIGNER", address);
        command
    };
    let wechat_pay = WechatPay::builder().build();
    let key = wxpay_tests::token::reference();
    for address in addresses {
        // Before there is a certificate, a request for one can be made.
        let mut request = logged_in(example("certificate_request"));
        request.args([&address, server.mchid().as_str()]);
        let (pem, last, code) = run(request).await;
        assert_eq!((last.as_str(), code), ("-----END CERTIFICATE REQUEST-----", 0), "{address}");
        let issued =
            wechat_pay.issue_certificate(&pem).unwrap_or_else(|e| panic!("{address}: {e}"));
        Certificate::from_pem(&issued).unwrap().require_key(key.public_key()).unwrap();

        let joint = if address.contains('?') { '&' } else { '?' };
        let with_certificate = format!("{address}{joint}certificate={}", certificate.display());
        let mut without_serial = live(&with_certificate);
        without_serial.env_remove("WXPAY_SERIAL_NO");
        for command in [live(&address), without_serial] {
            server.add_plan(wxpay_testing::Plan::new("12000", "1004"));
            let (stdout, last, code) = run(command).await;
            assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{address}: {stdout}");
        }
    }
    let (stdout, _, code) = run(live("vault:nobody")).await;
    assert_eq!(code, 4, "{stdout}");
}

/// Only the signer retries, and reports the refusal: one request per attempt.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: run scripts/test"]
async fn aws_is_asked_once_for_each_attempt() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "attempts");
    let moto = KmsService::start("moto_kms.py", &[]);
    let mut command = live(&server, &keys);
    command
        .env_remove("WXPAY_PRIVATE_KEY")
        .env("WXPAY_SIGNER", format!("aws-kms:{}", moto.text("/keys/merchant")))
        .envs(aws(&moto));
    let code = "KMSInternalException";
    moto.fault(serde_json::json!({
        "kind": "error", "code": code, "status": 500, "action": "Sign", "times": -1,
    }));
    let output = tokio::task::spawn_blocking(move || command.output().expect("a program"));
    let output = output.await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains(code), "{stderr}");
    assert_eq!(moto.calls("Sign").len(), 4, "{:?}", moto.journal());
    assert!(server.journal().is_empty());
}
