//! Signers by address, for settings.

#[cfg(feature = "kms-alibaba")]
mod alibaba;
#[cfg(feature = "kms-aws-config")]
mod aws;
#[cfg(feature = "_access-key")]
mod cloud;
mod error;
#[cfg(feature = "file-key")]
mod file;
#[cfg(feature = "_endpoint")]
mod kms;
mod merchant;
mod parameters;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod signer;
#[cfg(feature = "kms-tencent")]
mod tencent;
#[cfg(feature = "kms-vault")]
mod vault;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth_core::internal::invisible;
use wxpay_auth_core::internal::remote::SerialSource;
use wxpay_auth_core::{Certificate, SerialNo, Signer};

pub use self::error::SignerUriError;
use self::merchant::MerchantSource;
use self::parameters::Parameters;
pub use self::signer::UriSigner;

/// Connects the signer at an address; see [`SignerUri`].
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys");
/// # let address = format!("file:{keys}/merchant_private_key.pem?certificate={keys}/merchant_certificate.pem");
/// # if cfg!(feature = "file-key") {
/// let signer = wxpay_auth::signer_from_uri(&address).await?; // from the settings
/// let signature = signer.sign(b"message").await?;
/// # assert_eq!(signature.serial_no().as_str(), "5F1C72E2A8931B72A2E13AF8DEE92471EB397115");
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`SignerUriError`]: the address is malformed, its feature is not compiled in, or the signer cannot
/// be connected.
pub async fn signer_from_uri(uri: &str) -> Result<Arc<dyn Signer>, SignerUriError> {
    uri.parse::<SignerUri>()?.connect().await.map(UriSigner::into_signer)
}

/// The address of a signer, so that the signer can be chosen in an application's settings.
///
/// | address | feature |
/// |---|---|
/// | `file:PATH` | `file-key` |
/// | `pkcs11:…`, as in RFC 7512 | `pkcs11` |
/// | `vault:KEY?address=…` | `kms-vault` |
/// | `tencent-kms:KEY_ID?region=…` | `kms-tencent` |
/// | `alibaba-kms:KEY_ID?region=…&key_version_id=…` | `kms-alibaba` |
/// | `aws-kms:KEY?region=…` | `kms-aws-config` |
///
/// After the question mark come parameters, percent-encoded and separated by `&`. All schemes take
/// `certificate=PATH` (the merchant certificate, which must belong to the key) or `serial_no=…` (its
/// serial, which cannot be checked); one of them is required, unless a token contains the
/// certificate. The others:
///
/// | scheme | parameters |
/// |---|---|
/// | `file` | `backend` (`ring`, or `aws-lc-rs` with that feature) |
/// | `pkcs11` | those of RFC 7512 (`module-path`, `pin-source` …), `sessions`, `mechanism` |
/// | `vault` | `address` (or `VAULT_ADDR`), `mount`, `key_version`, `namespace`; `auth=token` (`token_file`, or `VAULT_TOKEN`), `auth=approle` (`role_id`, `secret_id_file`) or `auth=kubernetes` (`role`, `jwt_file`); `auth_mount`; `ca`, `client_certificate`, `client_key` (PEM files) |
/// | `tencent-kms` | `region`, `endpoint`; `role` and `metadata`, or the environment, as in `TencentKmsBuilder::credentials_from_env`; `ca` … |
/// | `alibaba-kms` | `key_version_id`, and as above |
/// | `aws-kms` | `region`, `endpoint`; the rest is read as AWS tools do, except for retries, which the signer does itself |
///
/// Wherever a file path is expected, also after `file:`, `credential:NAME` is accepted instead: the credential
/// that systemd passes to the service (`LoadCredential=NAME:PATH`), which is the file of this name in
/// `$CREDENTIALS_DIRECTORY`. It is looked up when the file is read.
///
/// An empty `role=` stands for the role of the machine, whatever its name. The key services also
/// take `concurrency`.
///
/// An address cannot contain a secret, except for the `pin-value` of RFC 7512: settings tend to be copied
/// around.
#[derive(Clone)]
#[must_use = "nothing happens until it is connected"]
pub struct SignerUri {
    scheme: &'static str,
    address: Arc<dyn Address>,
    merchant: Option<MerchantSource>,
}

/// The part of an address that depends on its scheme.
#[async_trait]
trait Address: Send + Sync {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError>;
}

/// Every scheme, and the feature it needs.
const SCHEMES: [(&str, &str); 6] = [
    ("file", "file-key"),
    ("pkcs11", "pkcs11"),
    ("vault", "kms-vault"),
    ("tencent-kms", "kms-tencent"),
    ("alibaba-kms", "kms-alibaba"),
    ("aws-kms", "kms-aws-config"),
];

impl SignerUri {
    /// Creates the address of a key in a file, from its unencoded path, or `credential:NAME`.
    ///
    /// ```
    /// # use wxpay_auth::SignerUri;
    /// # if cfg!(feature = "file-key") {
    /// let address = SignerUri::key_file("/etc/pay/apiclient_key.pem")?;
    /// assert_eq!(address.scheme(), "file");
    /// # }
    /// # Ok::<(), wxpay_auth::SignerUriError>(())
    /// ```
    ///
    /// # Errors
    /// [`SignerUriError::NotCompiledIn`] without the feature `file-key`.
    #[allow(unused_variables, reason = "without features there is no scheme")]
    pub fn key_file(path: &str) -> Result<Self, SignerUriError> {
        #[cfg(feature = "file-key")]
        return Ok(Self {
            scheme: "file",
            address: Arc::new(file::FileAddress::new(path)),
            merchant: None,
        });
        #[cfg(not(feature = "file-key"))]
        Err(SignerUriError::NotCompiledIn { scheme: "file", feature: "file-key" })
    }

    /// Returns the scheme, such as `file`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns whether the address names the merchant certificate or its serial.
    pub fn names_certificate(&self) -> bool {
        self.merchant.is_some()
    }

    /// Sets the merchant certificate, which replaces that of the address.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.merchant = Some(MerchantSource::Given(SerialSource::Certificate(certificate)));
        self
    }

    /// Sets the serial of the merchant certificate, which replaces that of the address.
    pub fn serial_no(mut self, serial_no: SerialNo) -> Self {
        self.merchant = Some(MerchantSource::Given(SerialSource::Given(serial_no)));
        self
    }

    /// Connects to a key that has no certificate yet, to sign a
    /// [`CertificateRequest`](crate::CertificateRequest). Its signatures are valid for nothing else.
    ///
    /// ```
    /// use wxpay_auth::{CertificateRequest, CertificateSubject, Mchid, SignerUri};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), wxpay_auth::Error> {
    /// # let address = concat!("file:", env!("CARGO_MANIFEST_DIR"), "/testdata/keys/merchant_private_key.pem");
    /// # if cfg!(feature = "file-key") {
    /// let address: SignerUri = address.parse()?; // from the settings
    /// let signer = address.without_certificate().connect().await?;
    /// let subject = CertificateSubject::new(&Mchid::new("1900007291")?);
    /// let request = CertificateRequest::sign(&subject, signer.public_key(), &signer).await?;
    /// # assert!(request.to_pem().starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_certificate(self) -> Self {
        self.serial_no(SerialNo::uncertified())
    }

    /// Connects the signer. Needs a Tokio runtime with timers. Files are read synchronously, and only by
    /// this method.
    ///
    /// # Errors
    /// [`SignerUriError`], whose [`kind`](SignerUriError::kind) and [`hint`](SignerUriError::hint)
    /// say what to do.
    pub async fn connect(self) -> Result<UriSigner, SignerUriError> {
        let merchant = self.merchant.map(MerchantSource::read).transpose()?;
        self.address.connect(merchant).await
    }
}

impl FromStr for SignerUri {
    type Err = SignerUriError;

    fn from_str(uri: &str) -> Result<Self, SignerUriError> {
        let known = uri.split_once(':').and_then(|(scheme, rest)| {
            let (scheme, feature) = SCHEMES.into_iter().find(|(known, _)| *known == scheme)?;
            Some((scheme, feature, rest))
        });
        let (scheme, feature, rest) = known.ok_or_else(|| no_scheme(uri))?;
        let (key, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parameters = Parameters::parse(query)?;
        let merchant = MerchantSource::take(&mut parameters)?;
        let address = address(scheme, key, &mut parameters)?
            .ok_or(SignerUriError::NotCompiledIn { scheme, feature })?;
        parameters.finish()?;
        Ok(Self { scheme, address, merchant })
    }
}

/// Returns what is wrong with an address without a scheme. It may be a secret, so it is not quoted.
fn no_scheme(uri: &str) -> SignerUriError {
    let path = uri.split_once('?').map_or(uri, |(path, _)| path);
    let is_drive =
        matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    let is_path = path.starts_with(['/', '~', '\\'])
        || path.starts_with("./")
        || path.starts_with("../")
        || Path::new(path).extension().is_some_and(|end| end == "pem" || end == "key");
    match invisible(uri) {
        Some(character) => SignerUriError::Invisible { character },
        None if is_path || is_drive => SignerUriError::BarePath,
        None => SignerUriError::Scheme,
    }
}

/// Parses the part that depends on the scheme; `None` if the scheme is not compiled in.
#[allow(
    clippy::unnecessary_wraps,
    unused_variables,
    reason = "without features there is no scheme"
)]
fn address(
    scheme: &str,
    key: &str,
    parameters: &mut Parameters,
) -> Result<Option<Arc<dyn Address>>, SignerUriError> {
    Ok(match scheme {
        #[cfg(feature = "file-key")]
        "file" => Some(Arc::new(file::FileAddress::parse(key, parameters)?)),
        #[cfg(feature = "pkcs11")]
        "pkcs11" => Some(Arc::new(pkcs11::Pkcs11Address::parse(key, parameters)?)),
        #[cfg(feature = "kms-vault")]
        "vault" => Some(Arc::new(vault::VaultAddress::parse(key, parameters)?)),
        #[cfg(feature = "kms-tencent")]
        "tencent-kms" => Some(Arc::new(tencent::TencentAddress::parse(key, parameters)?)),
        #[cfg(feature = "kms-alibaba")]
        "alibaba-kms" => Some(Arc::new(alibaba::AlibabaAddress::parse(key, parameters)?)),
        #[cfg(feature = "kms-aws-config")]
        "aws-kms" => Some(Arc::new(aws::AwsAddress::parse(key, parameters)?)),
        _ => None,
    })
}

impl fmt::Debug for SignerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerUri")
            .field("scheme", &self.scheme)
            .field("merchant", &self.merchant)
            .finish_non_exhaustive()
    }
}
