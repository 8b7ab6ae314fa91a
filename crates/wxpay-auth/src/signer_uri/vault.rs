//! `vault:`

use async_trait::async_trait;
use wxpay_auth_core::internal::FileSource;
use wxpay_auth_core::internal::remote::SerialSource;

use super::Address;
use super::error::SignerUriError;
use super::kms::{KmsSettings, TlsFiles, key};
use super::parameters::Parameters;
use super::signer::UriSigner;
use crate::kms::internal::{secret_file_in, with_jwt};
use crate::kms::{Endpoint, Secret, VaultAuth, VaultTransit};

/// `vault:KEY?address=…&mount=…&key_version=…&namespace=…`, and the login.
pub(super) struct VaultAddress {
    key: String,
    address: Option<Endpoint>,
    mount: Option<String>,
    key_version: Option<u32>,
    namespace: Option<String>,
    auth: Auth,
    auth_mount: Option<String>,
    tls: TlsFiles,
    settings: KmsSettings,
}

enum Auth {
    TokenVariable,
    TokenFile(FileSource),
    AppRole { role_id: String, secret_id_file: FileSource },
    Kubernetes { role: String, jwt_file: Option<FileSource> },
}

/// Parameters that require a particular login.
const OF_LOGINS: [(&str, &str); 5] = [
    ("token_file", "auth=token"),
    ("role_id", "auth=approle"),
    ("secret_id_file", "auth=approle"),
    ("role", "auth=kubernetes"),
    ("jwt_file", "auth=kubernetes"),
];

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
            tls: TlsFiles::take(parameters)?,
            settings: KmsSettings::take(parameters)?,
        })
    }
}

impl Auth {
    fn take(parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let auth = match parameters.take("auth")?.as_deref() {
            None | Some("token") => match parameters.take_file("token_file")? {
                Some(file) => Self::TokenFile(file),
                None => Self::TokenVariable,
            },
            Some("approle") => Self::AppRole {
                role_id: parameters.needed("role_id")?,
                secret_id_file: parameters
                    .take_file("secret_id_file")?
                    .ok_or(SignerUriError::Missing { parameter: "secret_id_file" })?,
            },
            Some("kubernetes") => Self::Kubernetes {
                role: parameters.needed("role")?,
                jwt_file: parameters.take_file("jwt_file")?,
            },
            Some(_) => {
                let problem = "is neither token nor approle nor kubernetes";
                return Err(SignerUriError::Value { parameter: "auth", problem });
            }
        };
        // What remains belongs to another login.
        if let Some((parameter, needed)) = OF_LOGINS.into_iter().find(|(p, _)| parameters.has(p)) {
            return Err(SignerUriError::Without { parameter, needed });
        }
        if matches!(auth, Self::TokenVariable | Self::TokenFile(_)) && parameters.has("auth_mount")
        {
            let needed = "auth=approle or auth=kubernetes";
            return Err(SignerUriError::Without { parameter: "auth_mount", needed });
        }
        Ok(auth)
    }

    fn to_vault(&self) -> Result<VaultAuth, SignerUriError> {
        Ok(match self {
            Self::TokenVariable => VaultAuth::token(Secret::variable("VAULT_TOKEN")?),
            Self::TokenFile(file) => VaultAuth::token(secret_file_in("token_file", file.clone())),
            Self::AppRole { role_id, secret_id_file } => VaultAuth::app_role(
                role_id,
                secret_file_in("secret_id_file", secret_id_file.clone()),
            ),
            Self::Kubernetes { role, jwt_file } => {
                let auth = VaultAuth::kubernetes(role);
                match jwt_file {
                    Some(file) => with_jwt(auth, secret_file_in("jwt_file", file.clone())),
                    None => auth,
                }
            }
        })
    }
}

#[async_trait]
impl Address for VaultAddress {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError> {
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
        let mut builder =
            VaultTransit::builder(address, &self.key).auth(auth).tls(self.tls.read()?);
        if let Some(mount) = &self.mount {
            builder = builder.mount(mount);
        }
        if let Some(version) = self.key_version {
            builder = builder.key_version(version);
        }
        if let Some(namespace) = &self.namespace {
            builder = builder.namespace(namespace);
        }
        self.settings.connect(builder.build()?, merchant).await
    }
}
