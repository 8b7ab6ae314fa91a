//! The example that terminates a plan: outcomes, usage, proxies, roots, time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use wxpay_testing::{
    ConnectProxy, ErrorBody, Fault, How, Misbehaviour, Plan, PlanState, Point, ProxyManners,
    ServerTls, WireServer,
};

use super::program::{Keys, ended, example, live, live_with, run};

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

/// Has the plan shown, changes something, and types its id.
fn checked(server: &WireServer, keys: &Keys, change: impl FnOnce()) -> (String, String, i32) {
    tokio::task::block_in_place(|| {
        let mut command = live_with(server, keys, &["--brand", "1004"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().expect("a program");
        let mut lines = BufReader::new(program.stdout.take().expect("a pipe")).lines();
        let mut shown = Vec::new();
        for line in lines.by_ref().map(|line| line.expect("text")) {
            shown.push(line);
            if shown.iter().any(|line| line.contains("Type its id")) {
                break;
            }
        }
        change();
        // A program that has refused before it asks has closed its input.
        let _ = program.stdin.take().expect("a pipe").write_all(b"12000\n");
        shown.extend(lines.map(|line| line.expect("text")));
        let code = program.wait().expect("an end").code().expect("a code");
        (shown.join("\n"), shown.last().cloned().unwrap_or_default(), code)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn live_with_a_brand_the_plan_that_was_shown_is_ended_and_its_end_read() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "checked");
    let posts = || server.journal().iter().filter(|entry| entry.method() == "POST").count();
    let renamed = || {
        server.add_plan(Plan::new("12000", "1004").with_field("plan_name", "another"));
    };
    let (stdout, last, code) = checked(&server, &keys, renamed);
    assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");
    assert!(stdout.contains("plan_name is \"another\""), "{stdout}");

    for state in [PlanState::Expired, PlanState::Terminated] {
        server.add_plan(Plan::new("12000", "1004").with_state(state));
        let (stdout, last, code) = checked(&server, &keys, || {});
        assert_eq!((last.as_str(), code), ("outcome: not_sent", 2), "{stdout}");
        assert!(stdout.contains("has ended already"), "{stdout}");
    }
    assert_eq!(posts(), 0);

    server.add_plan(Plan::new("12000", "1004"));
    let (stdout, last, code) = checked(&server, &keys, || {});
    assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{stdout}");

    // It has ended, but is shown as if it had not.
    let refused = Plan::new("12000", "1004").with_state(PlanState::Terminated);
    server.add_plan(refused.with_field("plan_state", "DELIVERING"));
    let (stdout, last, code) = checked(&server, &keys, || {});
    assert_eq!((last.as_str(), code), ("outcome: rejected", 1), "{stdout}");
    assert!(stdout.contains("still DELIVERING"), "{stdout}");

    server.add_plan(Plan::new("12000", "1004"));
    let (stdout, last, code) = checked(&server, &keys, || server.terminate_slowly(1_000_000));
    assert_eq!((last.as_str(), code), ("outcome: unknown", 3), "{stdout}");
    assert!(stdout.contains("the state has not followed"), "{stdout}");
    assert_eq!(posts(), 3);
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
