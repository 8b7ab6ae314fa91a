//! `aws-kms:`

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::Address;
use super::error::SignerUriError;
use super::kms::{KmsSettings, key, region};
use super::merchant::Merchant;
use super::parameters::Parameters;
use super::signer::UriSigner;
use crate::kms::{AwsKms, Endpoint};

/// `aws-kms:KEY?region=…&endpoint=…`
///
/// Region, endpoint and credentials come from where AWS tools take them, when they are not named.
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
    async fn connect(&self, merchant: Option<Merchant>) -> Result<UriSigner, SignerUriError> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        // The signer tries again. The client would do so besides, three times for each attempt, and
        // without a word of what was refused.
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled());
        if let Some(region) = &self.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(endpoint.to_string());
        }
        let client = aws_sdk_kms::Client::new(&config.load().await);
        self.settings.connect(AwsKms::new(client, &self.key_id)?, merchant).await
    }
}
