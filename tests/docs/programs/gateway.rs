//! The gateway as a program.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::program::{ended, example};

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
    let variables = std::fs::read_to_string(dir.join("gateway.env")).expect("the variables");
    assert!(variables.contains(&format!("export WXPAY_BASE_URL='{base_url}'\n")), "{variables}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(dir.join("apiclient_key.pem")).expect("a key");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    let (_, command) = variables.lines().next().expect("a line").split_once(": ").expect("how");
    let terminate = |mchid: &str, typed: &str| {
        // As a user does who has another signer, in a shell; another mchid is set after that.
        let script = format!(
            "{command} && export WXPAY_MCHID=\"$0\" && exec \"$1\" 12000 --live --brand 1004"
        );
        let mut terminate = Command::new("sh")
            .current_dir(&dir)
            .env("WXPAY_SIGNER", "file:/nowhere/key.pem")
            .args(["-c", &script])
            .arg(mchid)
            .arg(example("terminate").get_program())
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
    assert!(stdout.contains("plan 12000: TERMINATED, read"), "{stdout}");
    // It is looked up to be shown, and once more before it is called; its end is read.
    for expected in ["GET ", "GET ", "/12000/terminate 204 executed", "GET "] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(expected), "{expected}: {line}");
    }

    // One that has ended is not called, whatever is typed.
    let (stdout, last, code) = terminate(mchid, "12000\n");
    assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");
    assert!(stdout.contains("has ended already: TERMINATED"), "{stdout}");
    assert!(lines.next().unwrap().unwrap().contains("GET "));

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
    for name in names.into_iter().chain(["gateway.json", "gateway.env"]) {
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
    let variables = dir.join("gateway.env");
    let text = std::fs::read_to_string(&variables).unwrap();
    let older = text.replace(": . ./gateway.env", ": . gateway.env");
    assert_ne!(older, text);
    std::fs::write(&variables, older).unwrap();
    gateway_with_keys(&dir).expect("the variables of an older one are accepted");
    let first = |text: &str| text.lines().next().map(str::to_owned);
    assert_eq!(first(&std::fs::read_to_string(&variables).unwrap()), first(&text));
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
