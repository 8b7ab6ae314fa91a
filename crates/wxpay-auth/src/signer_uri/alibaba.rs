//! `alibaba-kms:`

use async_trait::async_trait;
use wxpay_auth_core::internal::remote::SerialSource;

use super::Address;
use super::cloud::CloudAddress;
use super::error::SignerUriError;
use super::parameters::Parameters;
use super::signer::UriSigner;
use crate::kms::{AlibabaKms, AlibabaRole};

/// `alibaba-kms:KEY_ID?key_version_id=…&region=…`
pub(super) struct AlibabaAddress {
    cloud: CloudAddress,
    key_version_id: String,
}

impl AlibabaAddress {
    pub(super) fn parse(raw: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let key_version_id = parameters.needed("key_version_id")?;
        Ok(Self { cloud: CloudAddress::parse(raw, parameters)?, key_version_id })
    }
}

#[async_trait]
impl Address for AlibabaAddress {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError> {
        let CloudAddress { region, key_id, .. } = &self.cloud;
        let builder = AlibabaKms::builder(region, key_id, &self.key_version_id);
        let builder = self.cloud.set_up(builder)?;
        let builder = match &self.cloud.role {
            Some(role) => builder.credentials(role.set_up(AlibabaRole::new()?)),
            None => builder.credentials_from_env()?,
        };
        self.cloud.settings.connect(builder.build()?, merchant).await
    }
}
