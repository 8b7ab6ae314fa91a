//! AWS KMS, with the official SDK.

#[cfg(feature = "aws-config")]
pub(crate) mod client;

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    EncryptionAlgorithmSpec, KeyUsageType, MessageType, SigningAlgorithmSpec,
};
use http::StatusCode;
use wxpay_auth_core::internal::without;
use wxpay_auth_core::{Clock, PublicKey, SignErrorKind, SystemClock};
use zeroize::Zeroizing;

use crate::backend::{KmsBackend, KmsKey};
use crate::error::KmsError;
use crate::http::retry_after;
use crate::http::status::{FOREIGN_HINT, kind_of_foreign, kind_of_status};

/// Signs with an asymmetric key in AWS KMS, through a client of `aws-sdk-kms` that the application
/// builds: region, credentials, endpoint, TLS and proxies are those of the client.
///
/// By default the client retries inside one attempt of the signer, which hides the errors. Disable
/// that (`RetryConfig::disabled()`): the signer retries.
///
/// The key is pinned by the ARN that the service returns when the signer connects: pointing an
/// alias at another key has no effect until a new signer connects.
///
/// A key with the `KeyUsage` `ENCRYPT_DECRYPT` decrypts sensitive fields
/// ([`KmsDecryptor`](crate::KmsDecryptor), `RSAES_OAEP_SHA_1`). No key of the service does both.
///
/// Sources: <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>,
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>
///
/// ```no_run
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::Certificate;
/// use wxpay_auth::kms::{AwsKms, KmsSigner};
///
/// # async fn connect(client: aws_sdk_kms::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let signer = KmsSigner::builder(AwsKms::new(client, "alias/wxpay-merchant")?)
///     .certificate(Certificate::from_pem_file("apiclient_cert.pem")?)
///     .connect()
///     .await?;
/// # let _ = signer;
/// # Ok(())
/// # }
/// ```
pub struct AwsKms {
    client: Client,
    key_id: String,
}

/// The maximum length that the service accepts.
const MAX_KEY_ID: usize = 2048;

impl AwsKms {
    /// Creates a back end from a client and the key: its id, its ARN, or an alias (`alias/…`).
    ///
    /// # Errors
    /// [`KmsError`] if the key id is empty, longer than 2048 bytes, or contains characters other
    /// than printable ASCII.
    pub fn new(client: Client, key_id: impl Into<String>) -> Result<Self, KmsError> {
        let key_id = key_id.into();
        let printable = key_id.bytes().all(|b| b.is_ascii_graphic());
        if key_id.is_empty() || key_id.len() > MAX_KEY_ID || !printable {
            return Err(KmsError::setting(
                "the key id is not valid for AWS KMS",
                "give a key id, a key ARN, or an alias (alias/…)",
            ));
        }
        Ok(Self { client, key_id })
    }
}

#[async_trait]
impl KmsBackend for AwsKms {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        let sent = Sent::default();
        let request = self.client.get_public_key().key_id(&self.key_id);
        let asked = request.customize().interceptor(sent.clone()).send().await;
        let response = asked.map_err(|e| failed(e, "return the public key", &sent))?;
        if response.key_usage() != Some(&KeyUsageType::SignVerify) {
            return Err(unsupported("the key may not sign (its KeyUsage is not SIGN_VERIFY)"));
        }
        let algorithm = SigningAlgorithmSpec::RsassaPkcs1V15Sha256;
        if !response.signing_algorithms().contains(&algorithm) {
            return Err(unsupported("the key does not sign with RSASSA_PKCS1_V1_5_SHA_256"));
        }
        let (Some(der), Some(arn)) = (response.public_key(), response.key_id()) else {
            return Err(incomplete());
        };
        Ok(KmsKey::new(PublicKey::from_spki_der(der.as_ref())?).with_version(sent.cut_out_of(arn)))
    }

    async fn sign_sha256(&self, key: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        let sent = Sent::default();
        let asked = self
            .client
            .sign()
            .key_id(key.version().unwrap_or(&self.key_id))
            .message(Blob::new(digest.as_slice()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::RsassaPkcs1V15Sha256)
            .customize()
            .interceptor(sent.clone())
            .send()
            .await;
        let response = asked.map_err(|e| failed(e, "sign", &sent))?;
        response.signature.map(Blob::into_inner).ok_or_else(incomplete)
    }

    async fn decryption_key(&self) -> Result<KmsKey, KmsError> {
        let sent = Sent::default();
        let request = self.client.get_public_key().key_id(&self.key_id);
        let asked = request.customize().interceptor(sent.clone()).send().await;
        let response = asked.map_err(|e| decrypting(failed(e, "return the public key", &sent)))?;
        if response.key_usage() != Some(&KeyUsageType::EncryptDecrypt) {
            return Err(KmsError::new(
                SignErrorKind::Unsupported,
                "the key may not decrypt (its KeyUsage is not ENCRYPT_DECRYPT)",
            )
            .with_hint(ENCRYPT_DECRYPT));
        }
        let algorithm = EncryptionAlgorithmSpec::RsaesOaepSha1;
        if !response.encryption_algorithms().contains(&algorithm) {
            let message = "the key does not decrypt with RSAES_OAEP_SHA_1";
            return Err(
                KmsError::new(SignErrorKind::Unsupported, message).with_hint(ENCRYPT_DECRYPT)
            );
        }
        let (Some(der), Some(arn)) = (response.public_key(), response.key_id()) else {
            return Err(incomplete());
        };
        Ok(KmsKey::new(PublicKey::from_spki_der(der.as_ref())?).with_version(sent.cut_out_of(arn)))
    }

    async fn decrypt_oaep_sha1(
        &self,
        key: &KmsKey,
        ciphertext: &[u8],
    ) -> Result<Option<Vec<u8>>, KmsError> {
        let sent = Sent::default();
        let asked = self
            .client
            .decrypt()
            .key_id(key.version().unwrap_or(&self.key_id))
            .ciphertext_blob(Blob::new(ciphertext))
            .encryption_algorithm(EncryptionAlgorithmSpec::RsaesOaepSha1)
            .customize()
            .interceptor(sent.clone())
            .send()
            .await;
        match asked {
            Ok(response) => {
                response.plaintext.map(Blob::into_inner).map(Some).ok_or_else(incomplete)
            }
            Err(error) => match decrypting(failed(error, "decrypt", &sent)) {
                error if error.code() == Some("InvalidCiphertextException") => Ok(None),
                error => Err(error),
            },
        }
    }
}

const ENCRYPT_DECRYPT: &str = "import the key of the merchant certificate a second time, as a key with the KeyUsage \
     ENCRYPT_DECRYPT: no key of AWS KMS both signs and decrypts";

/// Replaces the hints about signing.
fn decrypting(error: KmsError) -> KmsError {
    match error.code() {
        Some("AccessDeniedException" | "AccessDenied" | "InvalidGrantTokenException") => {
            error.with_hint("allow kms:Decrypt and kms:GetPublicKey for this key")
        }
        Some("InvalidKeyUsageException" | "UnsupportedOperationException") => {
            error.with_hint(ENCRYPT_DECRYPT)
        }
        _ => error,
    }
}

fn unsupported(message: &str) -> KmsError {
    KmsError::new(SignErrorKind::Unsupported, message)
        .with_hint("use a key with the KeySpec RSA_2048 and the KeyUsage SIGN_VERIFY")
}

fn incomplete() -> KmsError {
    KmsError::new(SignErrorKind::Other, "the response of AWS KMS is incomplete")
}

/// The secrets that a request was signed with, to redact them in texts of the response.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Zeroizing<String>>>>);

impl Sent {
    const HEADERS: [&str; 2] = ["authorization", "x-amz-security-token"];

    fn cut_out_of(&self, text: &str) -> String {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent: Vec<&str> = sent.iter().map(|secret| secret.as_str()).collect();
        without(text, &sent).into_owned()
    }
}

impl Intercept for Sent {
    fn name(&self) -> &'static str {
        "what was sent"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let headers = context.request().headers();
        let sent = Self::HEADERS.iter().filter_map(|name| headers.get(name));
        let sent = sent.map(|value| Zeroizing::new(value.to_owned()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(sent);
        Ok(())
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").finish_non_exhaustive()
    }
}

/// Converts an error of the SDK.
fn failed<E>(error: SdkError<E, HttpResponse>, task: &str, sent: &Sent) -> KmsError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    SdkError<E, HttpResponse>: RequestId,
{
    let failed = |kind, what: &str| KmsError::new(kind, format!("AWS KMS did not {task}: {what}"));
    let request_id = error.request_id().map(|id| sent.cut_out_of(id));
    let retry_after = error.raw_response().and_then(named_wait);
    let mut failed = match &error {
        SdkError::ServiceError(response) => match response.err().code() {
            Some(code) => {
                let (kind, hint) = sorted(code).unwrap_or_else(|| unknown(response.raw()));
                failed(kind, &sent.cut_out_of(response.err().message().unwrap_or("no message")))
                    .with_code(sent.cut_out_of(code))
                    .with_hint(hint.unwrap_or(kind.hint()))
            }
            None => foreign(response.raw(), task),
        },
        SdkError::ResponseError(response) => foreign(response.raw(), task),
        SdkError::TimeoutError(_) => failed(SignErrorKind::Timeout, "no response in time"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            failed(SignErrorKind::Timeout, "no response in time")
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            failed(SignErrorKind::Configuration, "the client cannot send the request")
                .with_hint("check region, endpoint and credentials of the client")
        }
        // The SDK does not distinguish a broken connection from missing credentials.
        SdkError::DispatchFailure(_) => failed(SignErrorKind::Unavailable, "it cannot be reached")
            .with_hint(
                "check that the service can be reached, and that the client has credentials; then \
                 try again",
            ),
        _ => failed(SignErrorKind::Configuration, "the request cannot be built")
            .with_hint("check region and credentials of the client"),
    };
    if let Some(request_id) = request_id {
        failed = failed.with_request_id(request_id);
    }
    if let Some(wait) = retry_after {
        failed = failed.with_retry_after(wait);
    }
    match error {
        // The code and the message have been extracted; the rest quotes the whole response.
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => failed,
        error => failed.with_source(error),
    }
}

/// Classifies an unknown code by the HTTP status, which may come from a proxy in between.
fn unknown(response: &HttpResponse) -> (SignErrorKind, Option<&'static str>) {
    match StatusCode::from_u16(response.status().as_u16()).map(kind_of_status) {
        Ok(kind) if kind.is_transient() => (kind, None),
        _ => (SignErrorKind::Other, None),
    }
}

/// Returns the error for a response that does not come from AWS KMS.
fn foreign(response: &HttpResponse, task: &str) -> KmsError {
    let status = response.status().as_u16();
    let kind = StatusCode::from_u16(status).map_or(SignErrorKind::Other, kind_of_foreign);
    let message = format!("AWS KMS did not {task}: the response ({status}) is not from AWS KMS");
    KmsError::new(kind, message).with_hint(FOREIGN_HINT)
}

fn named_wait(response: &HttpResponse) -> Option<Duration> {
    retry_after::retry_after(response.headers().get("retry-after")?, SystemClock.now())
}

/// Classifies the error codes of the service; `None` for an unknown one.
///
/// Source: <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>,
/// <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>
fn sorted(code: &str) -> Option<(SignErrorKind, Option<&'static str>)> {
    use SignErrorKind as K;
    Some(match code {
        "NotFoundException" => {
            (K::KeyNotFound, Some("check the key id, the alias, and the region of the client"))
        }
        "DisabledException" => (K::Configuration, Some("enable the key")),
        "KMSInvalidStateException" => {
            (K::Configuration, Some("check the state of the key: it may be pending deletion"))
        }
        "InvalidKeyUsageException" | "UnsupportedOperationException" => {
            (K::Unsupported, Some("use a key with KeySpec RSA_2048 and KeyUsage SIGN_VERIFY"))
        }
        "AccessDeniedException" | "AccessDenied" | "InvalidGrantTokenException" => {
            (K::PermissionDenied, Some("allow kms:Sign and kms:GetPublicKey for this key"))
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired"
        | "SignatureDoesNotMatch" => {
            (K::PermissionDenied, Some("check the credentials of the client, and the clock"))
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            (K::PermissionDenied, Some("give the client credentials that are renewed"))
        }
        "RequestExpired" | "RequestTimeTooSkewed" => {
            (K::Configuration, Some("set the clock of this machine"))
        }
        "ThrottlingException"
        | "Throttling"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException" => (K::Throttled, None),
        "DependencyTimeoutException"
        | "KeyUnavailableException"
        | "KMSInternalException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => (K::Unavailable, None),
        _ => return None,
    })
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
