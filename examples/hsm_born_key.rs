//! The life of a merchant key that is generated in an HSM and never leaves it, on SoftHSM: a token, a key,
//! a certificate request, a certificate, and a plan that is terminated with them.
//!
//! ```sh
//! sudo apt-get install softhsm2
//! cargo run -p wxpay-examples --example hsm_born_key
//! ```
//!
//! The token is in a temporary directory, which is deleted at the end. A test authority takes the place of
//! the merchant platform (商户平台 → 账户中心 → API安全 → 申请API证书).

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use wxpay_auth::pkcs11::{Pin, Pkcs11KeyPair, Pkcs11KeyUsage, Pkcs11Signer, Pkcs11Uri};
use wxpay_auth::{Certificate, CertificateRequest, CertificateSubject};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client};

const PIN: &str = "a user PIN";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let ([], []) = arguments::arguments("hsm_born_key");
    match std::env::var_os("WXPAY_EXAMPLE_DIR") {
        Some(dir) => {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(the_whole_way(Path::new(&dir)))?;
            Ok(ExitCode::SUCCESS)
        }
        None => with_a_folder_of_its_own(),
    }
}

/// SoftHSM reads the path of its settings from the environment when it is loaded, so this program starts
/// itself again with that variable set.
fn with_a_folder_of_its_own() -> Result<ExitCode, Box<dyn Error>> {
    if Command::new("softhsm2-util").arg("--version").output().is_err() {
        eprintln!("error: there is no softhsm2-util\nhint: sudo apt-get install softhsm2");
        return Ok(ExitCode::from(4));
    }
    let dir = std::env::temp_dir().join(format!("wxpay-hsm-born-key-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("tokens"))?;
    let settings = dir.join("softhsm2.conf");
    let tokens = dir.join("tokens");
    std::fs::write(&settings, format!("directories.tokendir = {}\n", tokens.display()))?;
    let ended = Command::new(std::env::current_exe()?)
        .env("SOFTHSM2_CONF", &settings)
        .env("WXPAY_EXAMPLE_DIR", &dir)
        .status();
    std::fs::remove_dir_all(&dir)?;
    Ok(if ended?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn the_whole_way(dir: &Path) -> Result<(), Box<dyn Error>> {
    let gateway = Gateway::start().await;

    println!("1. a token");
    let initialized = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "wxpay", "--so-pin", "an SO PIN", "--pin", PIN])
        .output()?;
    if !initialized.status.success() {
        return Err(String::from_utf8_lossy(&initialized.stderr).into());
    }

    println!("2. a key in it, which cannot leave it");
    let uri = Pkcs11Uri::new(module()?).token("wxpay").object("merchant").pin(Pin::new(PIN));
    let pair = Pkcs11KeyPair::generate(uri.clone(), Pkcs11KeyUsage::Sign).await?;
    println!("   {}", pair.uri());

    println!("3. a certificate request, signed by that key, for the merchant platform");
    let signer = Pkcs11Signer::builder(uri.clone()).without_certificate().connect().await?;
    let subject = CertificateSubject::new(&gateway.mchid()).country("CN")?;
    let request = CertificateRequest::sign(&subject, pair.public_key(), &signer).await?;
    signer.shut_down().await?;
    let request_file = dir.join("request.pem");
    std::fs::write(&request_file, request.to_pem())?;
    println!("   {subject}: {} bytes", request.to_pem().len());

    println!("4. the certificate that comes back, here from a test authority");
    let certificate_file = dir.join("apiclient_cert.pem");
    let issued = gateway.issue_certificate(&std::fs::read_to_string(&request_file)?)?;
    std::fs::write(&certificate_file, issued)?;

    println!("5. is it for our key? then it goes onto the token, beside the key");
    let certificate = Certificate::from_pem_file(&certificate_file)?;
    certificate.require_key(pair.public_key())?;
    println!("   serial_no: {}", certificate.serial_no());
    pair.store_certificate(certificate).await?;

    println!("6. a plan is terminated");
    let signer = Pkcs11Signer::builder(uri).connect().await?;
    let client = Client::builder(gateway.mchid(), signer.clone(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .build()?;
    let terminated = DeliveryPlans::new(client).terminate(&PlanId::new("12000")?).await?;
    signer.shut_down().await?;
    println!("   plan {}: terminated, signed as {}", terminated.plan_id, signer.serial_no());
    Ok(())
}

/// Finds the module of SoftHSM, wherever this distribution keeps it.
fn module() -> Result<PathBuf, Box<dyn Error>> {
    let found =
        ["/usr/lib/softhsm", "/usr/lib64/pkcs11", "/usr/lib64/softhsm", "/usr/local/lib/softhsm"]
            .iter()
            .map(|dir| Path::new(dir).join("libsofthsm2.so"))
            .find(|path| path.exists());
    Ok(found.ok_or("libsofthsm2.so is in none of the usual places")?)
}
