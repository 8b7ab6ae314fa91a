//! The echo call (回显): a harmless call that shows whether keys, signatures and encrypted fields work.

mod echo_request;
mod echoed;
mod error;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use wxpay_auth::EncryptedField;
use wxpay_transport::{Replay, Request, Target, Transport};

pub use self::echo_request::EchoRequest;
pub use self::echoed::Echoed;
pub use self::error::EchoError;

/// The echo call (回显), for merchants and for service providers: WeChat Pay sends back what it was sent.
///
/// It changes nothing, and so is a test of the whole way before the first payment, after a change of keys, or while
/// a service runs: `mchid`, merchant certificate and signature of the request; key, signature and clock of the
/// response; and, with an encrypted text, the keys of sensitive fields in both directions.
///
/// `T` is a [`Client`](wxpay_transport::Client), a reference to one, or an `Arc<dyn Transport>`.
///
/// Sources: <https://pay.weixin.qq.com/doc/v3/partner/4015139289>,
/// <https://pay.weixin.qq.com/doc/v3/merchant/4014551946>
#[derive(Debug, Clone)]
pub struct Echo<T> {
    transport: T,
}

const PATH: &str = "/v3/security/echo";
const OPERATION: &str = "security.echo";

/// The body of the request.
#[derive(Serialize)]
struct RequestBody<'a> {
    echo_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_echo_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify_url: Option<&'a str>,
}

/// The body of the response.
#[derive(Deserialize)]
struct ResponseBody {
    echo_message: String,
    #[serde(default)]
    encrypted_echo_message: Option<String>,
}

impl<T: Transport> Echo<T> {
    /// Creates the service.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    /// Returns the transport.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Sends an echo call (回显), and compares the response with the request.
    ///
    /// `POST /v3/security/echo`. The caller is the `mchid` of the client. `Wechatpay-Serial` is required, and always
    /// sent by a client whose verifier prefers a key, as a [`KeyRing`](wxpay_auth::KeyRing) does; with an encrypted
    /// text, it is the serial of that text's key. The key that signed the response is in the result.
    ///
    /// # Repetition
    /// Whether WeChat Pay recognises a repetition is not documented, and does not matter: nothing is changed, so the
    /// replay class is [`Replay::Safe`]. With a `notify_url` each execution causes a notification: the class is
    /// [`Replay::Never`] then, so that one call causes one notification at most.
    ///
    /// # Errors
    /// [`EchoError::Transport`] for everything that can fail on the way. Documented codes: 400 `PARAM_ERROR` (also if
    /// WeChat Pay does not know the key of `Wechatpay-Serial`), 400 `INVALID_REQUEST`, 401 `SIGN_ERROR`, 500
    /// `SYSTEM_ERROR`. The other errors are about a verified response that is not an echo of the request.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015139289>
    ///
    /// # Example
    /// ```
    /// use wxpay_security::{Echo, EchoRequest};
    /// use wxpay_testing::Gateway;
    /// use wxpay_transport::{BaseUrl, Client};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    ///
    /// let echoed = Echo::new(client).send(&EchoRequest::new("self-test-0001")).await?;
    /// assert_eq!(echoed.signed_by, gateway.public_key_id());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, request: &EchoRequest<'_>) -> Result<Echoed, EchoError> {
        let response = self.transport.send(to_wire(request)?).await?;
        let request_id = || response.request_id().map(str::to_owned);
        let status = response.status();
        if status != StatusCode::OK {
            return Err(EchoError::UnexpectedStatus { status, request_id: request_id() });
        }
        let body: ResponseBody = response.json()?;
        if body.echo_message != request.message {
            let field = "echo_message";
            return Err(EchoError::Mismatch { field, request_id: request_id() });
        }
        if let Some(sent) = &request.encrypted {
            let field = body
                .encrypted_echo_message
                .ok_or_else(|| EchoError::NotEncrypted { request_id: request_id() })?;
            let failed = |source| EchoError::Decrypt { source, request_id: request_id() };
            let text = sent.decryptor.decrypt(&field).await.map_err(failed)?;
            if text != sent.text {
                let field = "encrypted_echo_message";
                return Err(EchoError::Mismatch { field, request_id: request_id() });
            }
        }
        Ok(Echoed {
            request_id: request_id(),
            host: response.host().to_owned(),
            signed_by: response.body().serial().clone(),
            signed_at: response.body().signed_at(),
        })
    }
}

fn to_wire(request: &EchoRequest<'_>) -> Result<Request, wxpay_transport::Error> {
    let encrypted = request.encrypted.as_ref().map(|encrypted| &encrypted.field);
    let notify_url = request.notify_url.as_deref();
    let body = RequestBody {
        echo_message: &request.message,
        encrypted_echo_message: encrypted.map(EncryptedField::ciphertext),
        notify_url,
    };
    let replay = if notify_url.is_some() { Replay::Never } else { Replay::Safe };
    let wire = Request::post(OPERATION, Target::new(PATH)?).with_json(&body)?.with_replay(replay);
    match encrypted {
        Some(field) => Ok(wire.with_wechatpay_serial(field.serial())?),
        None => Ok(wire),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wxpay_auth::{FieldDecryptError, FieldDecryptor, SecretText, WechatpaySerial, async_trait};

    use super::*;

    #[derive(Debug)]
    struct Unused;

    #[async_trait]
    impl FieldDecryptor for Unused {
        async fn decrypt(&self, _: &str) -> Result<SecretText, FieldDecryptError> {
            unreachable!("nothing is received")
        }
    }

    fn body(request: &Request) -> Value {
        serde_json::from_slice(request.body()).unwrap()
    }

    #[test]
    fn a_request_has_the_documented_fields() {
        let plain = to_wire(&EchoRequest::new("回显")).unwrap();
        assert_eq!(plain.target().as_str(), "/v3/security/echo");
        assert_eq!(plain.method(), "POST");
        assert_eq!(body(&plain), json!({ "echo_message": "回显" }));
        assert_eq!((plain.replay(), plain.wechatpay_serial()), (Replay::Safe, None));

        let serial = WechatpaySerial::new("PUB_KEY_ID_1").unwrap();
        let field = EncryptedField::new(serial.clone(), "AAAA");
        let request = EchoRequest::new("x")
            .encrypted(field, SecretText::new("hunter2"), &Unused)
            .notify_url("https://notify.example.test/echo");
        let whole = to_wire(&request).unwrap();
        let expected = json!({
            "echo_message": "x",
            "encrypted_echo_message": "AAAA",
            "notify_url": "https://notify.example.test/echo",
        });
        assert_eq!(body(&whole), expected);
        assert_eq!((whole.replay(), whole.wechatpay_serial()), (Replay::Never, Some(&serial)));
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
