//! A program of `tests/doubles/kms` that replaces a key service, and its control API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::token::variable;

/// A program of `tests/doubles/kms`, stopped on drop. See `tests/doubles/kms/double.py`.
#[derive(Debug)]
pub struct KmsService {
    process: Child,
    ready: Value,
}

const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);

impl KmsService {
    /// Starts a program, such as `tencent.py`, with the merchant key of the test gateway.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let key = root.join("crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem");
        let mut process = Command::new(variable("WXPAY_TEST_PYTHON"))
            .arg("-B")
            .arg(root.join("tests/doubles/kms").join(program))
            .arg("--key")
            .arg(key)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
        let ready =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{program}: {e}: {line}"));
        Self { process, ready }
    }

    /// Starts a program with TLS, with the certificate and key in the files that these variables name. Its
    /// control API is not reachable.
    pub fn start_tls(program: &str, certificate: &str, key: &str) -> Self {
        Self::start(program, &["--tls", &variable(certificate), &variable(key)])
    }

    /// Returns the address of the program.
    pub fn url(&self) -> &str {
        self.text("/url")
    }

    /// Returns a text in its first line by JSON pointer, such as `/keys/merchant`.
    pub fn text(&self, pointer: &str) -> &str {
        self.find(pointer).unwrap_or_else(|| panic!("no {pointer} in {}", self.ready))
    }

    /// Like [`text`](Self::text), for a text that may be missing.
    pub fn find(&self, pointer: &str) -> Option<&str> {
        self.ready.pointer(pointer).and_then(Value::as_str)
    }

    /// Changes a setting of the control API, such as `{"role": null}`.
    #[expect(clippy::needless_pass_by_value, reason = "json!(…) is written in its place")]
    pub fn set(&self, wishes: Value) {
        let (status, response) = self.exchange("POST", "/_control", &wishes.to_string());
        assert_eq!(status, 200, "{wishes}: {response}");
    }

    /// Sets the fault, replacing previous ones, and clears the journal.
    pub fn fault(&self, fault: Value) {
        self.set(json!({"faults": [fault], "journal": []}));
    }

    /// Removes all faults, and clears the journal.
    pub fn mend(&self) {
        self.set(json!({"faults": [], "journal": []}));
    }

    /// Returns the requests so far.
    pub fn journal(&self) -> Vec<Value> {
        let (status, response) = self.exchange("GET", "/_journal", "");
        assert_eq!(status, 200, "{response}");
        serde_json::from_str(&response).expect("JSON")
    }

    /// Returns the requests so far for one action.
    pub fn calls(&self, action: &str) -> Vec<Value> {
        let of_action = |entry: &Value| entry["action"] == action;
        self.journal().into_iter().filter(of_action).collect()
    }

    /// Sends an HTTP/1.1 request over a new connection.
    fn exchange(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let host = self.url().strip_prefix("http://").expect("a service without TLS");
        let mut stream = TcpStream::connect(host).expect("a connection");
        stream.set_read_timeout(Some(CONTROL_TIMEOUT)).expect("a timeout");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("an open connection");
        let mut response = BufReader::new(stream);
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            response.read_line(&mut line).expect("a line");
            let line = line.trim_end().to_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().expect("a status");
            } else if let Some(rest) = line.strip_prefix("content-length:") {
                length = rest.trim().parse().expect("a length");
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        response.read_exact(&mut body).expect("a body");
        (status, String::from_utf8(body).expect("text"))
    }
}

impl Drop for KmsService {
    fn drop(&mut self) {
        // Closes its standard input first, then kills it in case it does not exit by itself.
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
