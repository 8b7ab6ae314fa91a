//! The settings of a client, from the environment or a file.

use std::env::VarError;
use std::error::Error as StdError;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use wxpay_auth::{KeyRing, Mchid, PublicKey, SerialNo, SignerUri, UriSigner, WechatpaySerial};

use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::connection::base_url::BaseUrl;
use crate::error::{Error, SettingsCause, SettingsError};

/// Settings of a client: the caller, its key, and the WeChat Pay key that verifies responses.
/// Read from the environment, or from a file with `serde`.
///
/// | member | variable | what it is |
/// |---|---|---|
/// | `mchid` | `WXPAY_MCHID` | the merchant number of the service provider |
/// | `private_key` | `WXPAY_PRIVATE_KEY` | the path of `apiclient_key.pem`; set either this or `signer` |
/// | `signer` | `WXPAY_SIGNER` | the address of the signer ([`SignerUri`]); each scheme needs its feature of `wxpay-auth` |
/// | `serial_no` | `WXPAY_SERIAL_NO` | the serial of the merchant certificate; required with `private_key`, and with a signer whose address does not name the certificate. Ignored if the address does; takes precedence over a certificate on a token |
/// | `public_key_id` | `WXPAY_PUBLIC_KEY_ID` | `PUB_KEY_ID_…` |
/// | `public_key` | `WXPAY_PUBLIC_KEY` | the path of `pub_key.pem` |
/// | `base_url` | `WXPAY_BASE_URL` | where requests go; WeChat Pay's main domain by default |
///
/// An account that still has platform certificates builds its client with [`Client::builder`] and a
/// [`KeyRing`] of them.
///
/// A member that is present but empty is an error, so that no other key or host is used in its place.
///
/// ```
/// use wxpay_transport::ClientSettings;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys");
/// # let text = serde_json::json!({
/// #     "mchid": "1900007291",
/// #     "signer": format!("file:{keys}/merchant_private_key.pem?certificate={keys}/merchant_certificate.pem"),
/// #     "public_key_id": "PUB_KEY_ID_0000000000000024101100397200000006",
/// #     "public_key": format!("{keys}/wechat_pay_public_key.pem"),
/// # }).to_string();
/// let settings: ClientSettings = serde_json::from_str(&text)?; // from a file
/// let client = settings.builder().await?.user_agent("my-shop/1.2").build()?;
/// # assert_eq!(client.base_url().to_string(), "https://api.mch.weixin.qq.com");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientSettings {
    mchid: String,
    private_key: Option<String>,
    signer: Option<String>,
    serial_no: Option<String>,
    public_key_id: String,
    public_key: String,
    base_url: Option<String>,
    is_from_env: bool,
}

const MEMBERS: [&str; 7] =
    ["mchid", "private_key", "signer", "serial_no", "public_key_id", "public_key", "base_url"];

/// Errors quote no text: it may be a key in the wrong place.
impl<'de> Deserialize<'de> for ClientSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = ClientSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "settings with the members {}", MEMBERS.join(", "))
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<ClientSettings, E> {
                Err(E::custom(format_args!("a string is not {}", Expected(&self))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ClientSettings, A::Error> {
                let mut settings = ClientSettings::empty();
                let mut seen = Vec::with_capacity(MEMBERS.len());
                while let Some(name) = map.next_key::<String>()? {
                    let Some(member) = MEMBERS.into_iter().find(|member| *member == name) else {
                        let is_name = |b: u8| b.is_ascii_lowercase() || b == b'_';
                        let is_name = name.len() <= 24 && name.bytes().all(is_name);
                        let name = if is_name { &*name } else { "one that is not shown" };
                        return Err(de::Error::custom(format_args!(
                            "there is no member {name} in {}",
                            Expected(&self)
                        )));
                    };
                    if seen.contains(&member) {
                        return Err(de::Error::duplicate_field(member));
                    }
                    seen.push(member);
                    match member {
                        "private_key" => settings.private_key = map.next_value()?,
                        "signer" => settings.signer = map.next_value()?,
                        "serial_no" => settings.serial_no = map.next_value()?,
                        "base_url" => settings.base_url = map.next_value()?,
                        "public_key_id" => settings.public_key_id = map.next_value()?,
                        "public_key" => settings.public_key = map.next_value()?,
                        _ => settings.mchid = map.next_value()?,
                    }
                }
                let needed = ["mchid", "public_key_id", "public_key"];
                let missing = needed.into_iter().filter(|member| !seen.contains(member));
                match *missing.collect::<Vec<_>>() {
                    [] => Ok(settings),
                    [member] => Err(de::Error::missing_field(member)),
                    ref members => Err(de::Error::custom(format_args!(
                        "missing fields {}",
                        members.join(", ")
                    ))),
                }
            }
        }

        deserializer.deserialize_any(Members)
    }
}

/// Displays what the visitor expects.
struct Expected<'v>(&'v dyn de::Expected);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientSettings {
    /// Creates settings of which nothing is set yet.
    fn empty() -> Self {
        Self {
            mchid: String::new(),
            private_key: None,
            signer: None,
            serial_no: None,
            public_key_id: String::new(),
            public_key: String::new(),
            base_url: None,
            is_from_env: false,
        }
    }

    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// [`Error::Settings`], which names the variable that is missing, empty, or not Unicode.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name))
    }

    fn from_variables(read: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, Error> {
        let variable = |setting| match read(&SettingsError::variable(setting)) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(of_env(setting, SettingsCause::NotUnicode)),
        };
        let (mchid, signer) = (variable("mchid")?, variable("signer")?);
        let (private_key, serial_no) = (variable("private_key")?, variable("serial_no")?);
        let (public_key_id, public_key) = (variable("public_key_id")?, variable("public_key")?);
        let base_url = variable("base_url")?;
        let is_missing = [
            ("mchid", mchid.is_none()),
            ("private_key", private_key.is_none() && signer.is_none()),
            ("serial_no", serial_no.is_none() && signer.is_none()),
            ("public_key_id", public_key_id.is_none()),
            ("public_key", public_key.is_none()),
        ];
        let mut missing = is_missing.into_iter().filter_map(|(setting, is)| is.then_some(setting));
        let (Some(mchid), Some(public_key_id), Some(public_key)) =
            (mchid, public_key_id, public_key)
        else {
            // One of the three is.
            let first = missing.next().unwrap_or("mchid");
            return Err(of_env(first, SettingsCause::Missing { also: missing.collect() }));
        };
        let settings = Self {
            mchid,
            private_key,
            signer,
            serial_no,
            public_key_id,
            public_key,
            base_url,
            is_from_env: true,
        };
        settings.require_values()?;
        Ok(settings)
    }

    /// Returns the merchant number.
    pub fn mchid(&self) -> &str {
        &self.mchid
    }

    /// Connects the signer, reads the keys, and returns a client builder.
    ///
    /// Needs a Tokio runtime with timers, as the signer does.
    ///
    /// # Errors
    /// [`Error::Settings`], which names the setting that cannot be used.
    pub async fn builder(self) -> Result<ClientBuilder<UriSigner, KeyRing>, Error> {
        self.require_values()?;
        let mchid = Mchid::new(&*self.mchid).map_err(|e| self.wrong("mchid", e.hint(), e))?;
        let key_id: Result<WechatpaySerial, _> = self.public_key_id.parse();
        let key_id = key_id.map_err(|e| self.wrong("public_key_id", e.hint(), e))?;
        let public_key = PublicKey::from_pem_file(&self.public_key)
            .map_err(|e| self.wrong("public_key", e.hint(), e))?;
        let ring = KeyRing::new();
        ring.insert_public_key(key_id, public_key)
            .map_err(|e| self.wrong("public_key_id", e.hint(), e))?;
        let base_url = self.base_url.as_deref().map(BaseUrl::new).transpose();
        let base_url = base_url.map_err(|e| self.wrong("base_url", e.hint(), e))?;
        // Last: it may log in to a token, or send requests to a key service.
        let builder = Client::builder(mchid, self.connect_signer().await?, ring);
        Ok(match base_url {
            Some(base_url) => builder.base_url(base_url),
            None => builder,
        })
    }

    async fn connect_signer(&self) -> Result<UriSigner, Error> {
        let (setting, address) = match (&self.signer, &self.private_key) {
            (Some(address), None) => ("signer", address.parse()),
            (None, Some(path)) => ("private_key", SignerUri::key_file(path)),
            (None, None) => return Err(self.error("private_key", SettingsCause::NoKey)),
            (Some(_), Some(_)) => return Err(self.error("signer", SettingsCause::TwoKeys)),
        };
        let mut address: SignerUri = address.map_err(|e| self.uri(setting, e))?;
        if !address.names_certificate() {
            if let Some(serial_no) = &self.serial_no {
                let serial_no: Result<SerialNo, _> = serial_no.parse();
                address =
                    address.serial_no(serial_no.map_err(|e| self.wrong("serial_no", e.hint(), e))?);
            } else if setting == "private_key" {
                return Err(self.error("serial_no", SettingsCause::Missing { also: Vec::new() }));
            }
        }
        address.connect().await.map_err(|e| self.uri(setting, e))
    }

    /// Rejects settings that are set but empty.
    fn require_values(&self) -> Result<(), Error> {
        let given = [
            ("mchid", Some(&self.mchid)),
            ("private_key", self.private_key.as_ref()),
            ("signer", self.signer.as_ref()),
            ("serial_no", self.serial_no.as_ref()),
            ("public_key_id", Some(&self.public_key_id)),
            ("public_key", Some(&self.public_key)),
            ("base_url", self.base_url.as_ref()),
        ];
        match given.into_iter().find(|(_, value)| value.is_some_and(String::is_empty)) {
            Some((setting, _)) => Err(self.error(setting, SettingsCause::Empty)),
            None => Ok(()),
        }
    }

    fn error(&self, setting: &'static str, cause: SettingsCause) -> Error {
        Error::Settings(SettingsError::new(setting, self.is_from_env, cause))
    }

    fn uri(&self, setting: &'static str, error: wxpay_auth::SignerUriError) -> Error {
        let (kind, hint) = (Some(error.kind()), error.hint().into());
        self.error(setting, SettingsCause::Unusable { kind, source: Box::new(error), hint })
    }

    fn wrong(
        &self,
        setting: &'static str,
        hint: &'static str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Error {
        let source = Box::new(source);
        self.error(setting, SettingsCause::Unusable { kind: None, source, hint: hint.into() })
    }
}

impl Client<UriSigner, KeyRing> {
    /// Builds a client from the settings in the environment; see [`ClientSettings`].
    ///
    /// ```no_run
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), wxpay_transport::Error> {
    /// let client = wxpay_transport::Client::from_env().await?;
    /// # let _ = client;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Settings`], which names the variable, or [`Error::Config`].
    pub async fn from_env() -> Result<Self, Error> {
        ClientSettings::from_env()?.builder().await?.build()
    }
}

fn of_env(setting: &'static str, cause: SettingsCause) -> Error {
    Error::Settings(SettingsError::new(setting, true, cause))
}

/// Omits addresses and paths, which could contain a secret by mistake.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mchid = Mchid::new(&*self.mchid).ok();
        f.debug_struct("ClientSettings").field("mchid", &mchid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::connection::proxy::Proxy;

    const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys");

    fn settings(changes: Value) -> ClientSettings {
        let mut settings = json!({
            "mchid": "1900007291",
            "private_key": format!("{KEYS}/merchant_private_key.pem"),
            "serial_no": "5F1C72E2A8931B72A2E13AF8DEE92471EB397115",
            "public_key_id": "PUB_KEY_ID_0000000000000024101100397200000006",
            "public_key": format!("{KEYS}/wechat_pay_public_key.pem"),
        });
        let Value::Object(changes) = changes else { panic!("{changes}") };
        for (name, value) in changes {
            settings[name] = value;
        }
        serde_json::from_value(settings).unwrap()
    }

    async fn refused(changes: Value) -> Error {
        settings(changes).builder().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_client_is_made_of_settings() {
        let by_path = settings(json!({})).builder().await.unwrap();
        let client = by_path.proxy(Proxy::none()).build().unwrap();
        assert_eq!(client.base_url().to_string(), BaseUrl::MAIN);
        let address = format!(
            "file:{KEYS}/merchant_private_key.pem?certificate={KEYS}/merchant_certificate.pem"
        );
        let changes = json!({"private_key": null, "serial_no": null, "signer": address,
            "base_url": "http://127.0.0.1:7"});
        let client = settings(changes).builder().await.unwrap().build().unwrap();
        assert_eq!(client.base_url().to_string(), "http://127.0.0.1:7");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named_with_what_to_do() {
        for (changes, says, hint) in [
            (json!({"mchid": "19x"}), "mchid cannot be used", "digits"),
            (json!({"mchid": ""}), "mchid is set, and empty", "remove it"),
            (json!({"signer": "", "private_key": null}), "signer is set, and empty", "remove it"),
            (json!({"signer": "file:x"}), "signer and private_key are both set", "remove"),
            (json!({"private_key": null}), "neither private_key nor signer is set", "set"),
            (json!({"serial_no": null}), "serial_no is not set", "set"),
            (json!({"serial_no": "PUB_KEY_ID_01"}), "serial_no cannot be used", "certificate"),
            (json!({"private_key": "/nothing.pem"}), "private_key cannot be used", "path"),
            (json!({"public_key": "/nothing.pem"}), "public_key cannot be used", "path"),
            (json!({"public_key_id": "12:34"}), "public_key_id cannot be used", "PUB_KEY_ID_"),
            (json!({"base_url": "ftp://x"}), "base_url cannot be used", "https"),
        ] {
            let error = refused(changes.clone()).await;
            assert_eq!(error.to_string(), says, "{changes}");
            assert!(error.hint().contains(hint), "{changes}: {}", error.hint());
            assert_eq!(error.delivery(), crate::error::delivery::Delivery::NotSent);
        }
    }

    #[tokio::test]
    async fn a_key_in_place_of_its_path_is_shown_nowhere() {
        let pem = std::fs::read_to_string(format!("{KEYS}/merchant_private_key.pem")).unwrap();
        let line = pem.lines().nth(1).unwrap();
        for setting in MEMBERS {
            let mut changes = json!({"private_key": null});
            changes[setting] = pem.clone().into();
            let settings = settings(changes);
            let shown = format!("{settings:?}");
            assert!(!shown.contains(line), "{shown}");
            let error = settings.builder().await.unwrap_err();
            assert!(!format!("{error:?}").contains(line), "{setting}: {error:?}");
        }
    }

    #[test]
    fn a_setting_that_is_not_known_is_refused() {
        let refused =
            |json: Value| serde_json::from_value::<ClientSettings>(json).unwrap_err().to_string();
        assert!(refused(json!({"mch_id": "1"})).contains("no member mch_id in settings with"));
        assert!(
            refused(json!({"mchid": "1"})).contains("missing fields public_key_id, public_key")
        );
        let address = "pkcs11:token=x?pin-value=123456";
        for json in [json!(address), json!({ (address): "1" }), json!([address])] {
            let error = refused(json);
            assert!(!error.contains("123456"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_signer_that_is_out_of_reach_may_be_there_later() {
        let away = SettingsCause::Unusable {
            kind: Some(wxpay_auth::SignErrorKind::Unavailable),
            source: "sealed".into(),
            hint: "unseal it".into(),
        };
        assert!(of_env("signer", away).may_retry());
        assert!(!refused(json!({"mchid": "19x"})).await.may_retry());
    }

    #[test]
    fn all_variables_that_are_missing_are_named_at_once() {
        let read = |set: &'static [&'static str]| {
            ClientSettings::from_variables(move |name| {
                let is_set = set.contains(&name);
                if is_set { Ok("1".to_owned()) } else { Err(VarError::NotPresent) }
            })
        };
        let all = "WXPAY_MCHID, WXPAY_PRIVATE_KEY, WXPAY_SERIAL_NO, WXPAY_PUBLIC_KEY_ID and \
                   WXPAY_PUBLIC_KEY are not set";
        let error = read(&[]).unwrap_err();
        assert_eq!(error.to_string(), all);
        let hint = error.hint();
        assert!(hint.starts_with("set WXPAY_MCHID to the merchant number"), "{hint}");
        assert!(hint.contains("; WXPAY_PUBLIC_KEY to the path of WeChat Pay's"), "{hint}");
        let error = read(&["WXPAY_MCHID", "WXPAY_SIGNER", "WXPAY_PUBLIC_KEY"]).unwrap_err();
        assert_eq!(error.to_string(), "WXPAY_PUBLIC_KEY_ID is not set");
        assert!(error.hint().starts_with("set it to the id of WeChat Pay's"), "{}", error.hint());
        let given = &["WXPAY_MCHID", "WXPAY_SIGNER", "WXPAY_PUBLIC_KEY", "WXPAY_PUBLIC_KEY_ID"];
        assert_eq!(read(given).unwrap().mchid(), "1");
    }
}
