//! `vault:`

use std::sync::Arc;

use async_trait::async_trait;

use super::Address;
use super::error::SignerUriError;
use super::kms::{KmsSettings, key, tls};
use super::merchant::Merchant;
use super::parameters::Parameters;
use crate::kms::{Endpoint, KmsTls, Secret, VaultAuth, VaultTransit};
use crate::signer::Signer;

/// `vault:KEY?address=…&mount=…&key_version=…&namespace=…`, and how to log in.
pub(super) struct VaultAddress {
    key: String,
    address: Option<Endpoint>,
    mount: Option<String>,
    key_version: Option<u32>,
    namespace: Option<String>,
    auth: Auth,
    auth_mount: Option<String>,
    tls: Option<KmsTls>,
    settings: KmsSettings,
}

enum Auth {
    TokenVariable,
    TokenFile(String),
    AppRole { role_id: String, secret_id_file: String },
    Kubernetes { role: String, jwt_file: Option<String> },
}

impl VaultAddress {
    pub(super) fn parse(raw: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        Ok(Self {
            key: key(raw)?,
            address: parameters.take("address")?.map(Endpoint::new).transpose()?,
            mount: parameters.take("mount")?,
            key_version: parameters.take_parsed("key_version", "is not a number")?,
            namespace: parameters.take("namespace")?,
            auth: Auth::take(parameters)?,
            auth_mount: parameters.take("auth_mount")?,
            tls: tls(parameters)?,
            settings: KmsSettings::take(parameters)?,
        })
    }
}

impl Auth {
    fn take(parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        match parameters.take("auth")?.as_deref() {
            None | Some("token") => Ok(match parameters.take("token_file")? {
                Some(path) => Self::TokenFile(path),
                None => Self::TokenVariable,
            }),
            Some("approle") => Ok(Self::AppRole {
                role_id: parameters.needed("role_id")?,
                secret_id_file: parameters.needed("secret_id_file")?,
            }),
            Some("kubernetes") => Ok(Self::Kubernetes {
                role: parameters.needed("role")?,
                jwt_file: parameters.take("jwt_file")?,
            }),
            Some(_) => {
                let problem = "is neither token nor approle nor kubernetes";
                Err(SignerUriError::Value { parameter: "auth", problem })
            }
        }
    }

    fn to_vault(&self) -> Result<VaultAuth, SignerUriError> {
        Ok(match self {
            Self::TokenVariable => VaultAuth::token(Secret::variable("VAULT_TOKEN")?),
            Self::TokenFile(path) => VaultAuth::token(Secret::file(path)),
            Self::AppRole { role_id, secret_id_file } => {
                VaultAuth::app_role(role_id, Secret::file(secret_id_file))
            }
            Self::Kubernetes { role, jwt_file } => {
                let auth = VaultAuth::kubernetes(role);
                match jwt_file {
                    Some(path) => auth.jwt(path),
                    None => auth,
                }
            }
        })
    }
}

#[async_trait]
impl Address for VaultAddress {
    async fn connect(&self, merchant: Option<Merchant>) -> Result<Arc<dyn Signer>, SignerUriError> {
        let address = match &self.address {
            Some(address) => address.clone(),
            None => match std::env::var("VAULT_ADDR") {
                Ok(address) => Endpoint::new(address)?,
                Err(_) => return Err(SignerUriError::Missing { parameter: "address" }),
            },
        };
        let mut auth = self.auth.to_vault()?;
        if let Some(mount) = &self.auth_mount {
            auth = auth.mount(mount);
        }
        let mut builder = VaultTransit::builder(address, &self.key).auth(auth);
        if let Some(mount) = &self.mount {
            builder = builder.mount(mount);
        }
        if let Some(version) = self.key_version {
            builder = builder.key_version(version);
        }
        if let Some(namespace) = &self.namespace {
            builder = builder.namespace(namespace);
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        self.settings.connect(builder.build()?, merchant).await
    }
}
