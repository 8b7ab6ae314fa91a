//! `tencent-kms:`

use async_trait::async_trait;
use wxpay_auth_core::internal::remote::SerialSource;

use super::Address;
use super::cloud::CloudAddress;
use super::error::SignerUriError;
use super::parameters::Parameters;
use super::signer::UriSigner;
use crate::kms::{TencentKms, TencentRole};

/// `tencent-kms:KEY_ID?region=…`
pub(super) struct TencentAddress(CloudAddress);

impl TencentAddress {
    pub(super) fn parse(raw: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        CloudAddress::parse(raw, parameters).map(Self)
    }
}

#[async_trait]
impl Address for TencentAddress {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError> {
        let builder = TencentKms::builder(&self.0.region, &self.0.key_id);
        let builder = self.0.set_up(builder)?;
        let builder = match &self.0.role {
            Some(role) => builder.credentials(role.set_up(TencentRole::new()?)),
            None => builder.credentials_from_env()?,
        };
        self.0.settings.connect(builder.build()?, merchant).await
    }
}
