//! Builds a client of `aws-sdk-kms`, configured as AWS tools do.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::SharedHttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{HttpClient, http_client_fn};

use crate::http::endpoint::Endpoint;
use crate::runtimes::PerRuntime;

/// Builds a client. Region, endpoint and credentials that are not given come from the same sources
/// as for AWS tools.
pub async fn aws_client(region: Option<String>, endpoint: Option<&Endpoint>) -> Client {
    // The signer retries. The client would retry as well, three times per attempt, and would hide
    // which errors it retried.
    let mut config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .retry_config(RetryConfig::disabled());
    if let Some(region) = region {
        config = config.region(Region::new(region));
    }
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint.to_string());
    }
    Client::new(&config.load().await)
}

/// Keeps a separate connection pool per runtime: a request must not wait for a runtime that sleeps.
fn http_client() -> SharedHttpClient {
    /// Idle connections close themselves after 90 s.
    const UNUSED_FOR: Duration = Duration::from_secs(120);
    let clients = PerRuntime::new(UNUSED_FOR);
    http_client_fn(move |settings, components| {
        let client = clients.here(|| {
            let provider = Provider::Rustls(CryptoMode::Ring);
            aws_smithy_http_client::Builder::new().tls_provider(provider).build_https()
        });
        client.http_connector(settings, components)
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::config::{Config, Credentials};
    use tokio::runtime::{Builder, Runtime};
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn no_request_waits_for_a_runtime_that_sleeps() {
        let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = servers.block_on(async {
            let server = MockServer::start().await;
            let response =
                ResponseTemplate::new(200).set_body_raw("{}", "application/x-amz-json-1.1");
            Mock::given(any()).respond_with(response).mount(&server).await;
            server
        });
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(server.uri())
            // A retry would use another connection.
            .retry_config(RetryConfig::disabled())
            .http_client(http_client())
            .build();
        let client = Client::from_conf(config);
        let (sleeping, awake) = (runtime(), runtime());
        for runtime in [&sleeping, &awake, &sleeping] {
            runtime.block_on(async {
                for _ in 0..2 {
                    let sent = client.list_keys().send();
                    let sent = tokio::time::timeout(Duration::from_secs(60), sent).await;
                    sent.expect("it does not wait for another runtime").unwrap();
                    // Wait until the connection is back in its pool.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }
}
