//! The server, and the settings that programs get to reach it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use wxpay_benchmarks::Result;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wxpay-auth-core/testdata/keys");
const PLATFORM_ROOTS: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
const PLATFORM_ROOTS_FOLDER: &str = "/etc/ssl/certs";
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
const TARGET: &str = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";

/// The program `stub`, which is ended with this value.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    description: Description,
    work: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Description {
    tls: Ports,
    plain: Ports,
    ca_file: String,
    platform_certificate: String,
    platform_serial: String,
}

#[derive(Debug, Deserialize)]
struct Ports {
    public_key: u16,
    certificate: u16,
}

/// The server's counts since the last query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) resumed: u64,
    pub(crate) requests: u64,
    pub(crate) checked: u64,
    pub(crate) refused: u64,
    pub(crate) first_refusal: Option<String>,
}

/// The number of calls and callers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) callers: usize,
    pub(crate) warmup: usize,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let work = std::env::temp_dir().join(format!("wxpay-benchmarks-{}", std::process::id()));
        std::fs::create_dir_all(&work)?;
        let mut child = Command::new(std::env::current_exe()?.with_file_name("stub"))
            .arg(&work)
            .arg(key("wechat_pay_private_key.pem")?)
            .arg(PUBLIC_KEY_ID)
            .arg(key("merchant_private_key.pem")?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let description = serde_json::from_str(&line).map_err(|e| format!("stub: {line}: {e}"))?;
        Ok(Self { child, stdin, stdout, description, work })
    }

    /// Returns the counts since the last call.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        self.stdin.as_mut().ok_or("it has ended")?.write_all(b"report\n")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Returns the environment described in `peers/README.md`.
    pub(crate) fn environment(
        &self,
        over: &str,
        with_certificate: bool,
        load: Load,
    ) -> Result<Vec<(&'static str, String)>> {
        let Description { tls, plain, .. } = &self.description;
        let only_signs = (over == "nothing").then(|| ("ONLY_SIGNS", "1".to_owned()));
        let (scheme, ports) = if over == "plain" { ("http", plain) } else { ("https", tls) };
        let port = if with_certificate { ports.certificate } else { ports.public_key };
        // Clients read either this one root, or those of the platform, which include it.
        let mut environment = if over == "tls+roots" {
            let file = platform_roots(&self.work, &self.description.ca_file)?;
            vec![("SSL_CERT_FILE", file), ("SSL_CERT_DIR", PLATFORM_ROOTS_FOLDER.to_owned())]
        } else {
            vec![("CA_FILE", self.description.ca_file.clone())]
        };
        environment.extend([
            ("BASE_URL", format!("{scheme}://localhost:{port}")),
            ("MCHID", "1900007291".to_owned()),
            ("SERIAL_NO", SERIAL_NO.to_owned()),
            ("MERCHANT_KEY", key("merchant_private_key.pem")?),
            ("PUBLIC_KEY_ID", PUBLIC_KEY_ID.to_owned()),
            ("PUBLIC_KEY", key("wechat_pay_public_key.pem")?),
            ("PLATFORM_CERTIFICATE", self.description.platform_certificate.clone()),
            ("PLATFORM_SERIAL", self.description.platform_serial.clone()),
            ("TARGET", TARGET.to_owned()),
            ("CALLS", load.calls.to_string()),
            ("CONCURRENCY", load.callers.to_string()),
            ("WARMUP", load.warmup.to_string()),
        ]);
        environment.extend(only_signs);
        Ok(environment)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.work);
    }
}

/// Writes the platform's roots and ours to one file. Its folder of roots is read, too, as where nothing is set.
fn platform_roots(work: &Path, ca_file: &str) -> Result<String> {
    let file = work.join("roots.pem");
    if !file.exists() {
        let platform = PLATFORM_ROOTS.iter().find_map(|file| std::fs::read_to_string(file).ok());
        let platform = platform.ok_or("the platform has no roots: install ca-certificates")?;
        std::fs::write(&file, platform + &std::fs::read_to_string(ca_file)?)?;
    }
    Ok(file.to_string_lossy().into_owned())
}

fn key(name: &str) -> Result<String> {
    Ok(Path::new(KEYS).canonicalize()?.join(name).to_string_lossy().into_owned())
}
