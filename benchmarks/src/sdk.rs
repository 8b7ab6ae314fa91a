//! The SDK with default settings: every protection is on.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wxpay_auth::kms::{Endpoint, KmsSigner, Secret, VaultAuth, VaultTransit};
use wxpay_auth::pkcs11::{Pin, Pkcs11Signer, Pkcs11Uri};
use wxpay_auth::{FileKeySigner, KeyRing, Mchid, PrivateKey, PublicKey, Signer};
use wxpay_transport::{BaseUrl, Client, Replay, Request, Target, Transport};

use crate::floor::message;
use crate::settings::Settings;
use crate::signing::Signing;
use crate::token::Token;
use crate::vault::Vault;
use crate::{Result, tls};

/// The SDK's client, and the call it makes.
pub struct Sdk {
    work: Work,
    target: Target,
    is_repeatable: bool,
    /// Shut down at the end, if there is one.
    token: Option<Arc<Pkcs11Signer>>,
    nonces: AtomicU64,
}

/// What a call is.
enum Work {
    Calls(Box<dyn Transport>),
    Signs(Arc<dyn Signer>),
}

impl Sdk {
    /// Builds the client. Opens no connection yet.
    pub async fn new(settings: &Settings, signing: Signing) -> Result<Self> {
        let mut token = None;
        let work = match signing {
            Signing::SoftHsm => {
                let signer = self::token(settings).await?;
                token = Some(Arc::clone(&signer));
                work(settings, signing, signer)?
            }
            Signing::Vault => work(settings, signing, vault(settings).await?)?,
            Signing::Ring | Signing::AwsLcRs => {
                let key =
                    PrivateKey::from_pem_file_with(signing.backend(), &settings.merchant_key)?;
                work(settings, signing, FileKeySigner::new(key, settings.serial_no.parse()?))?
            }
        };
        let target = Target::new(&settings.target)?;
        let is_repeatable = std::env::var("SDK_CALL").is_ok_and(|call| call == "repeatable");
        Ok(Self { work, target, is_repeatable, token, nonces: AtomicU64::new(0) })
    }

    /// Closes the sessions of a token: many modules crash if a process ends without that.
    pub async fn shut_down(&self) -> Result<()> {
        match &self.token {
            Some(token) => Ok(token.shut_down().await?),
            None => Ok(()),
        }
    }

    /// Makes one call, which must not be repeated unless `SDK_CALL=repeatable` is set: then it recognises its
    /// response, and is sent on kept connections. It is an untyped call, because the typed one is limited to the
    /// documented 100 per second.
    pub async fn call(&self) -> Result<()> {
        let client = match &self.work {
            Work::Calls(client) => client,
            Work::Signs(signer) => {
                signer.sign(message(&self.nonces).as_bytes()).await?;
                return Ok(());
            }
        };
        let mut request = Request::post("benchmark.terminate", self.target.clone());
        if self.is_repeatable {
            request = request.with_replay(Replay::Safe).recognised_by(<[u8]>::is_empty);
        }
        let response = client.send(request).await?;
        if response.status() == http::StatusCode::NO_CONTENT {
            return Ok(());
        }
        Err(format!("the status is {}", response.status()).into())
    }
}

fn work<S: Signer + 'static>(settings: &Settings, signing: Signing, signer: S) -> Result<Work> {
    Ok(if settings.only_signs {
        Work::Signs(Arc::new(signer))
    } else {
        Work::Calls(Box::new(client(settings, signing, signer)?))
    })
}

fn client<S: Signer>(
    settings: &Settings,
    signing: Signing,
    signer: S,
) -> Result<Client<S, KeyRing>> {
    let ring = KeyRing::new();
    let public_key = PublicKey::from_pem_file(&settings.public_key)?;
    let public_key = public_key.with_backend(signing.backend())?;
    ring.insert_public_key(settings.public_key_id.parse()?, public_key)?;
    let builder = Client::builder(Mchid::new(&settings.mchid)?, signer, ring)
        .base_url(BaseUrl::new(&settings.base_url)?);
    let builder = match &settings.ca_file {
        Some(ca_file) if settings.origin.is_tls => builder.tls(tls::roots(ca_file)?),
        _ => builder,
    };
    Ok(builder.build()?)
}

async fn token(settings: &Settings) -> Result<Arc<Pkcs11Signer>> {
    let token = Token::from_env()?;
    let uri = Pkcs11Uri::new(&token.module)
        .token(Token::LABEL)
        .object(Token::KEY)
        .pin(Pin::new(token.pin));
    let builder = Pkcs11Signer::builder(uri).serial_no(settings.serial_no.parse()?);
    Ok(Arc::new(builder.connect().await?))
}

async fn vault(settings: &Settings) -> Result<KmsSigner<VaultTransit>> {
    let vault = Vault::from_env()?;
    let builder = VaultTransit::builder(Endpoint::new(&vault.address)?, Vault::KEY);
    let transit = builder.auth(VaultAuth::token(Secret::new(vault.token))).build()?;
    Ok(KmsSigner::builder(transit).serial_no(settings.serial_no.parse()?).connect().await?)
}
