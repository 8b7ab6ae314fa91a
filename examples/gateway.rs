//! Runs the test gateway as a program, to test clients in any language against it.
//!
//! ```sh
//! cargo run -p wxpay-examples --example gateway -- --port 18080 --keys DIR
//! ```
//!
//! It writes the keys, a `gateway.json` and a `gateway.env` (for `. DIR/gateway.env`) into DIR, prints `listening on http://127.0.0.1:PORT`, and then
//! a line for each request, with the reason if it is refused. It runs until interrupted.

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use wxpay_testing::Gateway;

const USAGE: &str = "\
usage: gateway [--port PORT] [--keys DIR]

  --port PORT  where to listen on 127.0.0.1; 0, the default, takes a free port
  --keys DIR   where to write apiclient_key.pem, apiclient_cert.pem, pub_key.pem,
               wechatpay_cert.pem, gateway.json, and gateway.env with the variables of a
               client (`. DIR/gateway.env`); nothing is written without it, nor into a
               folder where one of these is another
  --help       show this";

#[derive(Default)]
struct Arguments {
    port: u16,
    keys: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match arguments() {
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Some(arguments)) => match run(arguments).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(4)
            }
        },
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            ExitCode::from(4)
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", arguments.port))
        .map_err(|e| io::Error::new(e.kind(), format!("port {}: {e}", arguments.port)))?;
    let gateway = Gateway::start_on(listener, |entry| println!("{entry}")).await;
    if let Some(dir) = &arguments.keys {
        write_keys(&gateway, dir)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", dir.display())))?;
    }
    println!("listening on {}", gateway.base_url());
    io::stdout().flush()?;
    interrupted().await
}

/// Writes the keys and the description. A folder with others in it is refused before anything is written: they
/// may be somebody's real ones.
fn write_keys(gateway: &Gateway, dir: &Path) -> io::Result<()> {
    let keys = [
        ("apiclient_key.pem", gateway.merchant_key_pem()),
        ("apiclient_cert.pem", gateway.merchant_certificate_pem()),
        ("pub_key.pem", gateway.public_key_pem()),
        ("wechatpay_cert.pem", gateway.platform_certificate_pem()),
    ];
    let mut missing = Vec::new();
    for (name, text) in keys {
        match fs::symlink_metadata(dir.join(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push((name, text)),
            _ if fs::read(dir.join(name)).is_ok_and(|held| held == text.as_bytes()) => {}
            _ => return Err(is_anothers(name)),
        }
    }
    let description = description(gateway);
    let has_description = holds(dir, "gateway.json", |held| is_own(held, &description))?;
    let has_variables = holds(dir, "gateway.env", |held| held.starts_with(ENV.as_bytes()))?;
    fs::create_dir_all(dir)?;
    for (name, text) in missing {
        write_new(&dir.join(name), text, name == "apiclient_key.pem")?;
    }
    let variables = environment(gateway, &fs::canonicalize(dir)?);
    replace(&dir.join("gateway.json"), has_description, &format!("{description:#}\n"))?;
    replace(&dir.join("gateway.env"), has_variables, &variables)
}

/// Tells whether a folder holds a file of a gateway that ran before; one of another program is refused.
fn holds(dir: &Path, name: &str, is_own: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    match fs::symlink_metadata(dir.join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Ok(held) if held.is_file() && is_own(&fs::read(dir.join(name))?) => Ok(true),
        _ => Err(is_anothers(name)),
    }
}

fn replace(path: &Path, is_there: bool, text: &str) -> io::Result<()> {
    if is_there {
        fs::remove_file(path)?;
    }
    write_new(path, text, false)
}

/// How `gateway.env` begins, also in older versions.
const ENV: &str = "# The test gateway of wxpay, for a client in a shell: . ";

/// Returns the variables that `Client::from_env` reads.
fn environment(gateway: &Gateway, dir: &Path) -> String {
    let path = |name| dir.join(name).display().to_string();
    let variables = [
        ("WXPAY_BASE_URL", gateway.base_url().to_owned()),
        ("WXPAY_MCHID", gateway.mchid().as_str().to_owned()),
        ("WXPAY_SERIAL_NO", gateway.serial_no().as_str().to_owned()),
        ("WXPAY_PRIVATE_KEY", path("apiclient_key.pem")),
        ("WXPAY_PUBLIC_KEY_ID", gateway.public_key_id().as_str().to_owned()),
        ("WXPAY_PUBLIC_KEY", path("pub_key.pem")),
    ];
    let export = |(name, value): (&str, String)| {
        let quoted = value.replace('\'', r"'\''");
        format!("export {name}='{quoted}'\n")
    };
    let variables = variables.map(export).concat();
    // Without a slash, a shell searches only PATH. A signer beside a key file is refused.
    format!("{ENV}./gateway.env\nunset WXPAY_SIGNER\n{variables}")
}

fn is_anothers(name: &str) -> io::Error {
    let problem = format!(
        "{name} is there already, and is not the gateway's: nothing was written; give an empty folder"
    );
    io::Error::new(io::ErrorKind::AlreadyExists, problem)
}

/// Tells whether this is the description of a gateway that ran before: it listened elsewhere, and had its plans
/// in other states.
fn is_own(held: &[u8], description: &Value) -> bool {
    let Ok(Value::Object(held)) = serde_json::from_slice(held) else { return false };
    let Value::Object(description) = description else { return false };
    description.iter().all(|(name, value)| match name.as_str() {
        "base_url" | "plans" => held.contains_key(name),
        _ => held.get(name) == Some(value),
    }) && held.len() == description.len()
}

fn description(gateway: &Gateway) -> Value {
    let plans: Vec<_> = gateway
        .plans()
        .iter()
        .map(|plan| {
            json!({
                "plan_id": plan.plan_id(),
                "brand_id": plan.brand_id(),
                "plan_state": plan.state().as_str(),
            })
        })
        .collect();
    json!({
        "base_url": gateway.base_url(),
        "mchid": gateway.mchid().as_str(),
        "serial_no": gateway.serial_no().as_str(),
        "public_key_id": gateway.public_key_id().as_str(),
        "private_key": "apiclient_key.pem",
        "certificate": "apiclient_cert.pem",
        "public_key": "pub_key.pem",
        "platform_certificate": "wechatpay_cert.pem",
        "plans": plans,
    })
}

/// Writes a new file; a private one is readable only by its owner.
fn write_new(path: &Path, text: &str, is_private: bool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = is_private;
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(unix)]
async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

fn arguments() -> Result<Option<Arguments>, String> {
    let mut parsed = Arguments::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--port" => {
                let port = value()?;
                parsed.port = port.parse().map_err(|_| format!("{port} is no port"))?;
            }
            "--keys" => parsed.keys = Some(value()?.into()),
            other => return Err(format!("{other} is not known")),
        }
    }
    Ok(Some(parsed))
}
