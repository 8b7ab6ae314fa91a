//! `aws-kms:`

use async_trait::async_trait;
use wxpay_auth_core::internal::remote::SerialSource;

use super::Address;
use super::error::SignerUriError;
use super::kms::{KmsSettings, key, region};
use super::parameters::Parameters;
use super::signer::UriSigner;
use crate::kms::internal::aws_client;
use crate::kms::{AwsKms, Endpoint};

/// `aws-kms:KEY?region=…&endpoint=…`
///
/// Region, endpoint and credentials default to the sources of the AWS tools.
pub(super) struct AwsAddress {
    key_id: String,
    region: Option<String>,
    endpoint: Option<Endpoint>,
    settings: KmsSettings,
}

impl AwsAddress {
    pub(super) fn parse(raw: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        Ok(Self {
            key_id: key(raw)?,
            region: parameters.take("region")?.map(region).transpose()?,
            endpoint: parameters.take("endpoint")?.map(Endpoint::new).transpose()?,
            settings: KmsSettings::take(parameters)?,
        })
    }
}

#[async_trait]
impl Address for AwsAddress {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError> {
        let client = aws_client(self.region.clone(), self.endpoint.as_ref()).await;
        self.settings.connect(AwsKms::new(client, &self.key_id)?, merchant).await
    }
}
