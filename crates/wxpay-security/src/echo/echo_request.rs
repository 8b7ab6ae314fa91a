//! What is sent by an echo call.

use std::fmt;

use wxpay_auth::{EncryptedField, FieldDecryptor, SecretText};

/// The content of an echo call.
///
/// # An encrypted text
/// With the features `file-key` and `aws-lc-rs` of `wxpay-auth`:
///
/// ```
/// use wxpay_auth::{Backend, FileKeyDecryptor, PrivateKey, SecretText};
/// use wxpay_security::{Echo, EchoRequest};
/// use wxpay_testing::Gateway;
/// use wxpay_transport::{BaseUrl, Client};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::start().await;
/// let key_ring = gateway.key_ring();
/// let client = Client::builder(gateway.mchid(), gateway.signer(), key_ring.clone())
///     .base_url(BaseUrl::new(gateway.base_url())?)
///     .build()?;
/// let key = PrivateKey::from_pem_with(Backend::AwsLcRs, gateway.merchant_key_pem())?;
/// let decryptor = FileKeyDecryptor::new(&key, gateway.serial_no())?;
///
/// let text = SecretText::new("张三");
/// let field = key_ring.field_encryptor()?.encrypt(text.expose())?;
/// let request = EchoRequest::new("self-test-0001").encrypted(field, text, &decryptor);
/// Echo::new(client).send(&request).await?;
/// # Ok(())
/// # }
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015139289>
#[derive(Clone)]
#[must_use = "nothing is sent until it is given to `Echo::send`"]
pub struct EchoRequest<'a> {
    pub(super) message: String,
    pub(super) notify_url: Option<String>,
    pub(super) encrypted: Option<EncryptedText<'a>>,
}

/// A text that is sent encrypted, and what opens the response.
#[derive(Clone)]
pub(super) struct EncryptedText<'a> {
    pub(super) field: EncryptedField,
    pub(super) text: SecretText,
    pub(super) decryptor: &'a dyn FieldDecryptor,
}

impl<'a> EchoRequest<'a> {
    /// Takes a text (`echo_message`), which is sent back as it is. Which lengths and characters are allowed is not
    /// documented: a short one of ASCII is safe. A notification has nothing but this text to be recognised by.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), notify_url: None, encrypted: None }
    }

    /// Adds a text that is sent encrypted, as a sensitive field (敏感信息), and comes back encrypted with the key of
    /// the merchant certificate: `field` is the encrypted `text`, and `decryptor` opens the response.
    ///
    /// The call is then sent with the serial of the field's key as its `Wechatpay-Serial`. WeChat Pay does not
    /// support a field for one kind of key (public key or certificate) and a response signed by the other.
    pub fn encrypted(
        mut self,
        field: EncryptedField,
        text: SecretText,
        decryptor: &'a dyn FieldDecryptor,
    ) -> Self {
        self.encrypted = Some(EncryptedText { field, text, decryptor });
        self
    }

    /// Sets where WeChat Pay is to send a notification (`SECURITY_ECHO.SUCCESS`) as well: a complete URL that can be
    /// reached from the internet, without query parameters. Without it no notification is sent.
    pub fn notify_url(mut self, url: impl Into<String>) -> Self {
        self.notify_url = Some(url.into());
        self
    }
}

/// Shows no text.
impl fmt::Debug for EchoRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoRequest")
            .field("message", &format_args!("[{} bytes]", self.message.len()))
            .field("encrypted", &self.encrypted.as_ref().map(|encrypted| &encrypted.field))
            .field("notify_url", &self.notify_url)
            .finish()
    }
}
