//! What every example does.

use super::program::{all_examples, ended, example};

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

#[test]
fn the_other_examples_end_well() {
    for (name, expected) in [
        ("custom_signer", "12001 terminated, signed by an Arc<dyn Signer>"),
        ("error_handling", "it was carried out after all"),
        ("notifications", "handed over: plan 12000 is TERMINATED"),
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
            assert_eq!(line["mchid"], "1900007291");
            assert!(line["path"].as_str().unwrap().ends_with("/12000/terminate"));
            for field in ["signed_at", "serial_no", "host", "request_id", "took_ms", "attempt"] {
                assert!(!line[field].is_null(), "{field}: {line}");
            }
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
