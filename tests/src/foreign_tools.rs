//! Third-party tools that store keys and certificates on a token.

use std::path::PathBuf;
use std::process::Command;

use wxpay_auth::pkcs11::{Pkcs11Error, Pkcs11Signer};

use crate::token::{PIN, Token, delete};

/// The merchant key.
pub const KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/wxpay-auth-core/testdata/keys/merchant_private_key.pem"
);

/// The certificate of the merchant key.
pub const CERTIFICATE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/wxpay-auth-core/testdata/keys/issued_merchant_certificate.pem"
);

/// Tools for one token, with a folder for their files that is deleted on drop.
#[derive(Debug)]
pub struct ForeignTools {
    /// The token.
    pub token: Token,
    /// The number of its slot, for tools that cannot select a token otherwise.
    pub slot: String,
    folder: PathBuf,
}

impl ForeignTools {
    /// Returns tools for the SoftHSM token `foreign`, which is emptied first.
    pub fn softhsm(name: &str) -> Self {
        let token = Token::softhsm("foreign");
        delete(&token.session(), &[]);
        Self::on(token, name)
    }

    /// Returns tools for a token without changing it.
    pub fn on(token: Token, name: &str) -> Self {
        let slot = token.back_door().1.id().to_string();
        let folder = std::env::temp_dir().join(format!("wxpay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self { token, slot, folder }
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("text").to_owned()
    }

    /// Returns the path of the module.
    pub fn module(&self) -> &str {
        self.token.module.to_str().expect("text")
    }

    /// Runs a program to completion, and returns its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).env("GNUTLS_PIN", PIN).env("LC_ALL", "C.UTF-8");
        let output =
            command.output().unwrap_or_else(|e| panic!("{program}: {e}: run scripts/test"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{program} {arguments:?}: {stdout}{stderr}");
        stdout
    }

    /// Runs `pkcs11-tool` on the token.
    pub fn pkcs11_tool(&self, arguments: &[&str]) -> String {
        let token = ["--module", self.module(), "--slot", &self.slot, "--login", "--pin", PIN];
        self.run("pkcs11-tool", &[&token, arguments].concat())
    }

    /// Runs `p11tool` on the module.
    pub fn p11tool(&self, arguments: &[&str]) -> String {
        self.run("p11tool", &[&["--provider", self.module(), "--login"], arguments].concat())
    }

    /// Runs `keytool` on the token.
    pub fn keytool(&self, arguments: &[&str]) -> String {
        let settings = self.path("keytool.cfg");
        let lines = format!("name = wxpay\nlibrary = {}\nslot = {}\n", self.module(), self.slot);
        std::fs::write(&settings, lines).expect("a file");
        let provider =
            ["-providerClass", "sun.security.pkcs11.SunPKCS11", "-providerArg", &settings];
        self.run("keytool", &[arguments, &provider].concat())
    }

    /// Returns the URIs of the private keys on the token, as printed by `p11tool`.
    pub fn printed_uris(&self) -> Vec<String> {
        let slot = self.token.uri();
        let token = slot.to_string();
        let token = token.split('?').next().expect("a token");
        let printed = self.p11tool(&["--only-urls", "--list-privkeys", token]);
        printed.lines().filter(|line| line.starts_with("pkcs11:")).map(str::to_owned).collect()
    }

    /// Returns the only one of these URIs.
    pub fn printed_uri(&self) -> String {
        let [uri] = <[String; 1]>::try_from(self.printed_uris()).expect("one private key");
        uri
    }

    /// Connects to a key by a URI without module and PIN, as tools print it.
    ///
    /// # Errors
    /// As [`Pkcs11Signer::connect`].
    pub async fn connect(&self, uri: &str) -> Result<Pkcs11Signer, Pkcs11Error> {
        let module = self.module();
        Pkcs11Signer::connect(&format!("{uri}?module-path={module}&pin-value={PIN}")).await
    }

    /// Issues a certificate for a request with a new authority. Returns the chain.
    pub fn issue(&self, request: &str) -> String {
        let [key, root, leaf, chain] =
            ["ca.key", "ca.pem", "leaf.pem", "chain.pem"].map(|f| self.path(f));
        let subject = "/C=CN/O=Tenpay.com/CN=Tenpay.com Root CA";
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        self.run(
            "openssl",
            &[&new[..], &["-subj", subject, "-keyout", &key, "-out", &root]].concat(),
        );
        let sign = [
            "x509",
            "-req",
            "-days",
            "2",
            "-set_serial",
            "0x5F1C72E2A8931B72A2E13AF8DEE92471EB397115",
        ];
        let files = ["-in", request, "-CA", &root, "-CAkey", &key, "-out", &leaf];
        self.run("openssl", &[&sign[..], &files].concat());
        let read = |path: &str| std::fs::read_to_string(path).expect("a file");
        std::fs::write(&chain, read(&leaf) + &read(&root)).expect("a file");
        chain
    }
}

impl Drop for ForeignTools {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
