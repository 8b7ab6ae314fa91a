//! The common parts of cloud addresses.

use super::error::SignerUriError;
use super::kms::{KmsSettings, TlsFiles, key, region};
use super::parameters::Parameters;
use crate::kms::{CloudKmsBuilder, CloudRole, Endpoint};

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

    /// Applies the settings that the builders of all clouds have.
    pub(super) fn set_up<C>(
        &self,
        builder: CloudKmsBuilder<C>,
    ) -> Result<CloudKmsBuilder<C>, SignerUriError> {
        let builder = builder.tls(self.tls.read()?);
        Ok(match &self.endpoint {
            Some(endpoint) => builder.endpoint(endpoint.clone()),
            None => builder,
        })
    }
}

impl Role {
    /// Applies the settings of the role.
    pub(super) fn set_up<C>(&self, mut role: CloudRole<C>) -> CloudRole<C> {
        if let Some(name) = &self.name {
            role = role.name(name);
        }
        if let Some(metadata) = &self.metadata {
            role = role.metadata(metadata.clone());
        }
        role
    }
}
