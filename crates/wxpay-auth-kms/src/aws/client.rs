//! A client of `aws-sdk-kms`, set up as AWS tools do.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use crate::http::endpoint::Endpoint;

/// Makes a client. Region, endpoint and credentials come from where AWS tools take them, when they are
/// not named.
pub async fn aws_client(region: Option<String>, endpoint: Option<&Endpoint>) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    // The signer tries again. The client would do so besides, three times for each attempt, and
    // without a word of what was refused.
    let mut config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::disabled());
    if let Some(region) = region {
        config = config.region(Region::new(region));
    }
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint.to_string());
    }
    Client::new(&config.load().await)
}
