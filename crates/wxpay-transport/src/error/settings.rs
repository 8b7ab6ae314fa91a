//! Invalid settings of an application.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use wxpay_auth::{SignErrorKind, write_report};

/// A setting cannot be used. Nothing was sent.
pub struct SettingsError {
    setting: &'static str,
    is_from_env: bool,
    cause: SettingsCause,
}

/// Why a setting cannot be used.
pub(crate) enum SettingsCause {
    /// It is not set, nor are these others.
    Missing {
        also: Vec<&'static str>,
    },
    Empty,
    NotUnicode,
    /// Neither a key file nor a signer is set.
    NoKey,
    /// Both a key file and a signer are set.
    TwoKeys,
    Unusable {
        /// The kind of error of a signer that could not be connected.
        kind: Option<SignErrorKind>,
        source: Box<dyn StdError + Send + Sync>,
        hint: Cow<'static, str>,
    },
}

impl SettingsError {
    /// Creates the error of a setting that is not set, for custom transports.
    pub fn missing(setting: &'static str) -> Self {
        Self::new(setting, false, SettingsCause::Missing { also: Vec::new() })
    }

    /// Creates the error of a setting that cannot be used, for custom transports: the cause, and what to do.
    pub fn unusable(
        setting: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (source, hint) = (source.into(), hint.into());
        Self::new(setting, false, SettingsCause::Unusable { kind: None, source, hint })
    }

    pub(crate) fn new(setting: &'static str, is_from_env: bool, cause: SettingsCause) -> Self {
        Self { setting, is_from_env, cause }
    }

    /// Returns the environment variable of a setting.
    pub(crate) fn variable(setting: &str) -> String {
        format!("WXPAY_{}", setting.to_ascii_uppercase())
    }

    /// Returns the name of the setting, or of its variable if it comes from the environment.
    pub fn setting(&self) -> Cow<'static, str> {
        self.named(self.setting)
    }

    fn named(&self, setting: &'static str) -> Cow<'static, str> {
        if self.is_from_env { Self::variable(setting).into() } else { setting.into() }
    }

    /// Returns why the signer could not be connected, if that was the cause. A signer that is unavailable may
    /// be available later.
    pub fn sign_error_kind(&self) -> Option<SignErrorKind> {
        match &self.cause {
            SettingsCause::Unusable { kind, .. } => *kind,
            _ => None,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match &self.cause {
            SettingsCause::Missing { also } if also.is_empty() => match what(self.setting) {
                Some(what) => format!("set it to {what}").into(),
                None => "set it".into(),
            },
            SettingsCause::Missing { also } => {
                let all = std::iter::once(&self.setting).chain(also).map(|setting| {
                    let name = self.named(setting);
                    what(setting)
                        .map_or_else(|| name.to_string(), |what| format!("{name} to {what}"))
                });
                format!("set {}", all.collect::<Vec<_>>().join("; ")).into()
            }
            SettingsCause::Empty => "give it a value, or remove it".into(),
            SettingsCause::NotUnicode => "write it in UTF-8".into(),
            SettingsCause::NoKey => {
                let (file, signer) = (self.named("private_key"), self.named("signer"));
                format!("set {file} to the path of apiclient_key.pem, or {signer} to an address")
                    .into()
            }
            SettingsCause::TwoKeys => {
                let (file, signer) = (self.named("private_key"), self.named("signer"));
                format!(
                    "remove {file} to sign with the key at the address, or {signer} to sign with the \
                     key in the file"
                )
                .into()
            }
            SettingsCause::Unusable { hint, .. } => hint.clone(),
        }
    }
}

/// Returns what a required setting is.
fn what(setting: &str) -> Option<&'static str> {
    Some(match setting {
        "mchid" => "the merchant number of the service provider, as the merchant platform shows it",
        "private_key" => "the path of apiclient_key.pem, or the signer to an address",
        "serial_no" => {
            "the serial of the merchant certificate: openssl x509 -in apiclient_cert.pem -noout -serial"
        }
        "public_key_id" => "the id of WeChat Pay's public key, PUB_KEY_ID_…",
        "public_key" => "the path of WeChat Pay's public key, pub_key.pem",
        _ => return None,
    })
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = self.setting();
        match &self.cause {
            SettingsCause::Missing { also } => {
                let Some((last, others)) = also.split_last() else {
                    return write!(f, "{setting} is not set");
                };
                f.write_str(&setting)?;
                for other in others {
                    write!(f, ", {}", self.named(other))?;
                }
                write!(f, " and {} are not set", self.named(last))
            }
            SettingsCause::Empty => write!(f, "{setting} is set, and empty"),
            SettingsCause::NotUnicode => write!(f, "{setting} is not UTF-8"),
            SettingsCause::NoKey => {
                write!(f, "neither {} nor {} is set", setting, self.named("signer"))
            }
            SettingsCause::TwoKeys => {
                write!(f, "{} and {} are both set", setting, self.named("private_key"))
            }
            SettingsCause::Unusable { .. } => write!(f, "{setting} cannot be used"),
        }
    }
}

impl StdError for SettingsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            SettingsCause::Unusable { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// Prints one line with the causes and the hint, so that a `main` that returns the error shows them.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}
