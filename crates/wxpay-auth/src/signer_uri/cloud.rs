//! The common parts of Tencent Cloud and Alibaba Cloud addresses.

use super::error::SignerUriError;
use super::kms::{KmsSettings, TlsFiles, key, region};
use super::parameters::Parameters;
use crate::kms::Endpoint;

/// `KEY_ID?region=…&endpoint=…&role=…&metadata=…`
pub(super) struct CloudAddress {
    pub(super) key_id: String,
    pub(super) region: String,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) role: Option<Role>,
    pub(super) tls: TlsFiles,
    pub(super) settings: KmsSettings,
}

/// The role of the machine, instead of an access key in the environment.
pub(super) struct Role {
    /// `None` stands for the machine's role, whatever its name.
    pub(super) name: Option<String>,
    pub(super) metadata: Option<Endpoint>,
}

impl CloudAddress {
    pub(super) fn parse(raw: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let role = match parameters.take("role")? {
            None if parameters.has("metadata") => {
                return Err(SignerUriError::Without { parameter: "metadata", needed: "role" });
            }
            None => None,
            Some(name) => Some(Role {
                name: Some(name).filter(|name| !name.is_empty()),
                metadata: parameters.take("metadata")?.map(Endpoint::new).transpose()?,
            }),
        };
        Ok(Self {
            key_id: key(raw)?,
            region: region(parameters.needed("region")?)?,
            endpoint: parameters.take("endpoint")?.map(Endpoint::new).transpose()?,
            role,
            tls: TlsFiles::take(parameters)?,
            settings: KmsSettings::take(parameters)?,
        })
    }
}

/// Connects a builder of either cloud: they have the same methods, but no common type.
macro_rules! connect {
    ($cloud:expr, $builder:expr, $role:ident, $merchant:expr) => {{
        let (cloud, mut builder) = (&$cloud, $builder.tls($cloud.tls.read()?));
        builder = match &cloud.role {
            None => builder.credentials_from_env()?,
            Some(wanted) => {
                let mut role = $role::new()?;
                if let Some(name) = &wanted.name {
                    role = role.name(name);
                }
                if let Some(metadata) = &wanted.metadata {
                    role = role.metadata(metadata.clone());
                }
                builder.credentials(role)
            }
        };
        if let Some(endpoint) = &cloud.endpoint {
            builder = builder.endpoint(endpoint.clone());
        }
        cloud.settings.connect(builder.build()?, $merchant).await
    }};
}
pub(super) use connect;
