//! The subject of a certificate request.

use std::fmt;

use thiserror::Error;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use crate::identity::Mchid;
use crate::text::debug_as_report;

/// The subject of a certificate request: whom the certificate is for.
///
/// Values are UTF-8, so they may be Chinese; the country is two capital letters.
///
/// # What is documented, and what is not
/// It is documented that a merchant may make the request without the official certificate tool, and
/// that the certificate contains the merchant number and the company name. The tool asks for these
/// two, the name as in the business licence. It is *not* documented which attributes of a request
/// contain them, nor whether the merchant platform reads them from it at all. Issued certificates have
/// been seen with `CN=`(merchant number), `O=微信商户系统`, `OU=`(company), `C=CN`, `L=ShenZhen`; the
/// example below follows them. So every attribute except the common name is optional here, and none
/// has a default. To see what the tool does, inspect a request of it:
/// `openssl req -in REQUEST -noout -subject -nameopt utf8`.
///
/// Source: <https://pay.weixin.qq.com/doc/global/v3/zh/4012354975> (商户可自行生成证书请求串),
/// <https://pay.weixin.qq.com/doc/v3/partner/4012073263>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{CertificateSubject, Mchid};
///
/// let subject = CertificateSubject::new(&Mchid::new("1900007291")?)
///     .country("CN")?
///     .locality("ShenZhen")?
///     .organization("微信商户系统")?
///     .organizational_unit("某某科技有限公司")?;
/// assert_eq!(
///     subject.to_string(),
///     "C=CN, L=ShenZhen, O=微信商户系统, OU=某某科技有限公司, CN=1900007291"
/// );
/// assert!(CertificateSubject::new(&Mchid::new("1900007291")?).country("China").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSubject {
    country: Option<String>,
    state_or_province: Option<String>,
    locality: Option<String>,
    organization: Option<String>,
    organizational_unit: Option<String>,
    common_name: String,
}

impl CertificateSubject {
    /// Creates a subject with the merchant number as its common name (`CN`).
    pub fn new(mchid: &Mchid) -> Self {
        Self {
            country: None,
            state_or_province: None,
            locality: None,
            organization: None,
            organizational_unit: None,
            common_name: mchid.as_str().to_owned(),
        }
    }

    /// Sets another common name (`CN`), up to 64 characters.
    ///
    /// # Errors
    /// [`CertificateSubjectError`] if it is empty or too long, or contains a control character.
    pub fn common_name(self, value: impl Into<String>) -> Result<Self, CertificateSubjectError> {
        Ok(Self { common_name: checked(value.into(), "common name", 64)?, ..self })
    }

    /// Sets the organization (`O`), up to 64 characters.
    ///
    /// # Errors
    /// As [`common_name`](Self::common_name).
    pub fn organization(self, value: impl Into<String>) -> Result<Self, CertificateSubjectError> {
        Ok(Self { organization: Some(checked(value.into(), "organization", 64)?), ..self })
    }

    /// Sets the organizational unit (`OU`), up to 64 characters.
    ///
    /// # Errors
    /// As [`common_name`](Self::common_name).
    pub fn organizational_unit(
        self,
        value: impl Into<String>,
    ) -> Result<Self, CertificateSubjectError> {
        let value = checked(value.into(), "organizational unit", 64)?;
        Ok(Self { organizational_unit: Some(value), ..self })
    }

    /// Sets the locality (`L`), up to 128 characters.
    ///
    /// # Errors
    /// As [`common_name`](Self::common_name).
    pub fn locality(self, value: impl Into<String>) -> Result<Self, CertificateSubjectError> {
        Ok(Self { locality: Some(checked(value.into(), "locality", 128)?), ..self })
    }

    /// Sets the state or province (`ST`), up to 128 characters.
    ///
    /// # Errors
    /// As [`common_name`](Self::common_name).
    pub fn state_or_province(
        self,
        value: impl Into<String>,
    ) -> Result<Self, CertificateSubjectError> {
        let value = checked(value.into(), "state or province", 128)?;
        Ok(Self { state_or_province: Some(value), ..self })
    }

    /// Sets the country (`C`): two capital letters, such as `CN`.
    ///
    /// # Errors
    /// [`CertificateSubjectError::Country`] if it is anything else.
    pub fn country(self, value: impl Into<String>) -> Result<Self, CertificateSubjectError> {
        let value = value.into();
        if value.len() != 2 || !value.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(CertificateSubjectError::Country);
        }
        Ok(Self { country: Some(value), ..self })
    }

    /// Returns the attributes that are set, from the widest to the narrowest, in the usual order of subjects.
    fn parts(&self) -> impl Iterator<Item = (&'static str, ObjectIdentifier, &str)> {
        let oid = ObjectIdentifier::new_unwrap;
        [
            ("C", oid("2.5.4.6"), self.country.as_deref()),
            ("ST", oid("2.5.4.8"), self.state_or_province.as_deref()),
            ("L", oid("2.5.4.7"), self.locality.as_deref()),
            ("O", oid("2.5.4.10"), self.organization.as_deref()),
            ("OU", oid("2.5.4.11"), self.organizational_unit.as_deref()),
            ("CN", oid("2.5.4.3"), Some(self.common_name.as_str())),
        ]
        .into_iter()
        .filter_map(|(name, oid, value)| Some((name, oid, value?)))
    }

    pub(crate) fn to_name(&self) -> x509_cert::der::Result<Name> {
        let mut sequence = RdnSequence::default();
        for (name, oid, text) in self.parts() {
            let value = match name {
                "C" => Any::encode_from(&PrintableStringRef::new(text)?)?,
                _ => Any::encode_from(&Utf8StringRef::new(text)?)?,
            };
            let part =
                RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid, value }])?;
            sequence.push(part);
        }
        Name::from_der(&sequence.to_der()?)
    }
}

impl fmt::Display for CertificateSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _, value) in self.parts() {
            write!(f, "{separator}{name}={value}")?;
            separator = ", ";
        }
        Ok(())
    }
}

fn checked(
    value: String,
    attribute: &'static str,
    most: usize,
) -> Result<String, CertificateSubjectError> {
    if value.trim().is_empty() {
        return Err(CertificateSubjectError::Empty { attribute });
    }
    let characters = value.chars().count();
    if characters > most {
        return Err(CertificateSubjectError::TooLong { attribute, characters, most });
    }
    if value.chars().any(char::is_control) {
        return Err(CertificateSubjectError::Control { attribute });
    }
    Ok(value)
}

/// Why the subject of a certificate request is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateSubjectError {
    /// A value is empty.
    #[error("the {attribute} is empty")]
    #[non_exhaustive]
    Empty {
        /// The attribute.
        attribute: &'static str,
    },
    /// A value is too long.
    #[error("the {attribute} has {characters} characters, at most {most} are allowed")]
    #[non_exhaustive]
    TooLong {
        /// The attribute.
        attribute: &'static str,
        /// Its length in characters.
        characters: usize,
        /// The maximum length (RFC 5280, appendix A.1).
        most: usize,
    },
    /// A value contains a control character.
    #[error("the {attribute} has a control character in it")]
    #[non_exhaustive]
    Control {
        /// The attribute.
        attribute: &'static str,
    },
    /// The country is not two capital letters.
    #[error("the country is not two capital letters")]
    Country,
}

impl CertificateSubjectError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "omit it, or give it a value",
            Self::TooLong { .. } => "shorten it: certificates have these limits",
            Self::Control { .. } => "remove line breaks and other control characters",
            Self::Country => "write CN for China",
        }
    }
}

debug_as_report!(CertificateSubjectError);

#[cfg(test)]
mod tests {
    use x509_cert::ext::pkix::name::DirectoryString;

    use super::*;

    fn subject() -> CertificateSubject {
        CertificateSubject::new(&Mchid::new("1900007291").unwrap())
    }

    #[test]
    fn values_have_limits() {
        use CertificateSubjectError as E;
        assert_eq!(subject().organization(" "), Err(E::Empty { attribute: "organization" }));
        let long = "某".repeat(65);
        let too_long = E::TooLong { attribute: "common name", characters: 65, most: 64 };
        assert_eq!(subject().common_name(&long), Err(too_long));
        assert!(subject().common_name("某".repeat(64)).is_ok());
        assert!(subject().locality(&long).is_ok() && subject().state_or_province(&long).is_ok());
        assert!(subject().organizational_unit(&long).is_err());
        assert_eq!(subject().locality("a\nb"), Err(E::Control { attribute: "locality" }));
        for country in ["", "cn", "CHN", "C1", "中"] {
            assert_eq!(subject().country(country), Err(E::Country), "{country}");
        }
    }

    proptest::proptest! {
        /// Every accepted value is encoded, and decodes unchanged.
        #[test]
        fn what_is_accepted_is_encoded(text in "\\PC{1,70}") {
            if let Ok(subject) = subject().organization(&text) {
                let der = subject.to_name().unwrap().to_der().unwrap();
                let name = Name::from_der(&der).unwrap();
                let found = match name.organization().unwrap().unwrap() {
                    DirectoryString::Utf8String(found) => found,
                    other => panic!("{other:?}"),
                };
                proptest::prop_assert_eq!(found, text);
            }
        }
    }
}
