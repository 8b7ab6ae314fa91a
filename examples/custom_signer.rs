//! Signs with a key that the library never sees: here it is owned by a separate thread, as it would be by a
//! key service of the company.
//!
//! ```sh
//! cargo run -p wxpay-examples --example custom_signer
//! ```

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error as StdError;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use tokio::sync::{mpsc, oneshot};
use wxpay_auth::{
    Algorithm, KeyRing, SerialNo, SignError, SignErrorKind, Signature, Signer, async_trait,
};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client};

type Job = (Vec<u8>, oneshot::Sender<Vec<u8>>);

/// Requests signatures from the thread that owns the key.
#[derive(Debug)]
struct MySigner {
    serial_no: SerialNo,
    jobs: mpsc::Sender<Job>,
}

#[async_trait]
impl Signer for MySigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        Some(self.serial_no.clone())
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let gone = || SignError::new(SignErrorKind::Unavailable, "the key service has ended");
        let (reply, signature) = oneshot::channel();
        self.jobs.send((message.to_vec(), reply)).await.map_err(|e| gone().with_source(e))?;
        let bytes = signature.await.map_err(|e| gone().with_source(e))?;
        Ok(Signature::new(self.serial_no.clone(), bytes))
    }
}

/// Starts the key service. In production it runs elsewhere, together with the key.
fn start_key_service(key: RsaKeyPair) -> mpsc::Sender<Job> {
    let (jobs, mut queue) = mpsc::channel::<Job>(64);
    std::thread::spawn(move || {
        while let Some((message, reply)) = queue.blocking_recv() {
            let mut bytes = vec![0; key.public().modulus_len()];
            if key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut bytes).is_ok() {
                let _ = reply.send(bytes);
            }
        }
    });
    jobs
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let ([], [signer]) = arguments::arguments("custom_signer [file]");
    let gateway = Gateway::start().await;
    let key = RsaKeyPair::from_pkcs8(&gateway.merchant_key_der()).map_err(|e| e.to_string())?;
    let jobs = start_key_service(key);
    let my_signer = || MySigner { serial_no: gateway.serial_no(), jobs: jobs.clone() };
    let base_url = BaseUrl::new(gateway.base_url())?;

    // The signer as a type parameter, chosen at compile time.
    let client = Client::builder(gateway.mchid(), my_signer(), gateway.key_ring())
        .base_url(base_url.clone())
        .build()?;
    let plans: DeliveryPlans<Client<MySigner, KeyRing>> = DeliveryPlans::new(client);
    // Its futures can be moved to other threads.
    let terminated =
        tokio::spawn(async move { plans.terminate(&PlanId::new("12000")?).await }).await??;
    println!("{} terminated, signed by MySigner", terminated.plan_id);

    // The signer as a trait object, chosen at run time.
    let signer: Arc<dyn Signer> = match signer.as_deref() {
        None => Arc::new(my_signer()),
        Some("file") => Arc::new(gateway.signer()),
        Some(other) => return Err(format!("there is no signer {other}, but file").into()),
    };
    let client =
        Client::builder(gateway.mchid(), signer, gateway.key_ring()).base_url(base_url).build()?;
    let plans: DeliveryPlans<Client<Arc<dyn Signer>, KeyRing>> = DeliveryPlans::new(client);
    let terminated = plans.terminate(&PlanId::new("12001")?).await?;
    println!("{} terminated, signed by an Arc<dyn Signer>", terminated.plan_id);
    Ok(())
}
