//! Writing and parsing the `Authorization` header. Pure functions.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::clock::Timestamp;
use crate::identity::{BrandId, Identity, Mchid, MchidError};
use crate::nonce::Nonce;
use crate::serial_no::{SerialNo, SerialNoError};
use crate::signer::{Algorithm, Scheme, Signature};
use crate::text::debug_as_report;

/// Returns the value of an `Authorization` header, in the field order of the official SDKs and without
/// spaces after the commas.
///
/// # Errors
/// [`UnsupportedScheme`] if no scheme is documented for this identity with this algorithm.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012365342>
pub fn authorization(
    identity: &Identity,
    algorithm: Algorithm,
    nonce: &Nonce,
    timestamp: Timestamp,
    signature: &Signature,
) -> Result<String, UnsupportedScheme> {
    let scheme = Scheme::of(identity, algorithm).ok_or(UnsupportedScheme { algorithm })?;
    let (timestamp, bytes) = (timestamp.to_string(), signature.as_bytes());
    let parts = [
        scheme.as_str(),
        " ",
        identity.parameter(),
        "=\"",
        identity.value(),
        "\",nonce_str=\"",
        nonce.as_str(),
        "\",timestamp=\"",
        &timestamp,
        "\",serial_no=\"",
        signature.serial_no().as_str(),
        "\",signature=\"",
    ];
    // Built in a single allocation, because every request needs it.
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut header = String::with_capacity(length + bytes.len().div_ceil(3) * 4 + 1);
    header.extend(parts);
    STANDARD.encode_string(bytes, &mut header);
    header.push('"');
    Ok(header)
}

/// No scheme is documented for an identity with an algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("no authorization scheme is documented for this identity with {algorithm}")]
#[non_exhaustive]
pub struct UnsupportedScheme {
    /// The algorithm of the signer.
    pub algorithm: Algorithm,
}

/// A parsed `Authorization` header, for a server (such as a test gateway) that checks it.
///
/// `Debug` omits the signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    scheme: Scheme,
    identity: Identity,
    nonce_str: String,
    timestamp: Timestamp,
    signature: Signature,
}

impl Authorization {
    /// Parses the value of an `Authorization` header. The five fields may be in any order, with spaces
    /// after the commas; each must occur exactly once, and no other may occur.
    ///
    /// # Errors
    /// [`AuthorizationError`], which names the field.
    ///
    /// ```
    /// # extern crate wxpay_auth_core as wxpay_auth;
    /// use wxpay_auth::{Authorization, AuthorizationError};
    ///
    /// let error = Authorization::parse("Bearer abc").unwrap_err();
    /// assert_eq!(error, AuthorizationError::UnknownScheme);
    /// ```
    pub fn parse(header: &str) -> Result<Self, AuthorizationError> {
        let (token, rest) = header.split_once(' ').ok_or(AuthorizationError::UnknownScheme)?;
        let scheme = Scheme::from_token(token).ok_or(AuthorizationError::UnknownScheme)?;
        let identity_name = match scheme {
            Scheme::BrandSha256Rsa2048 => "brand_id",
            _ => "mchid",
        };
        let names = [identity_name, "nonce_str", "timestamp", "serial_no", "signature"];
        let [identity, nonce_str, timestamp, serial_no, signature] = fields(rest, names)?;

        let identity = match scheme {
            Scheme::BrandSha256Rsa2048 => Identity::Brand(
                BrandId::new(identity).map_err(|_| AuthorizationError::Malformed("brand_id"))?,
            ),
            _ => Identity::Merchant(Mchid::new(identity)?),
        };
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
        let timestamp = digits
            .then(|| timestamp.parse().ok())
            .flatten()
            .ok_or(AuthorizationError::Malformed("timestamp"))?;
        let bytes =
            STANDARD.decode(signature).map_err(|_| AuthorizationError::Malformed("signature"))?;
        Ok(Self {
            scheme,
            identity,
            nonce_str: nonce_str.to_owned(),
            timestamp: Timestamp::from_unix_secs(timestamp),
            signature: Signature::new(SerialNo::new(serial_no)?, bytes),
        })
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the claimed identity of the signer.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the nonce as sent; [`Nonce::new`] validates it.
    pub fn nonce_str(&self) -> &str {
        &self.nonce_str
    }

    /// Returns the time of signing.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Returns the signature with the serial of the certificate.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("scheme", &self.scheme)
            .field("identity", &self.identity)
            .field("nonce_str", &self.nonce_str)
            .field("timestamp", &self.timestamp)
            .field("serial_no", self.signature.serial_no())
            .finish_non_exhaustive()
    }
}

/// Parses `name="value"` pairs and sorts them into the order of `names`.
fn fields<'a>(
    mut rest: &'a str,
    names: [&'static str; 5],
) -> Result<[&'a str; 5], AuthorizationError> {
    let mut values: [Option<&str>; 5] = [None; 5];
    loop {
        let (name, after) = rest.split_once("=\"").ok_or(AuthorizationError::Syntax)?;
        let (value, after) = after.split_once('"').ok_or(AuthorizationError::Syntax)?;
        let name = name.trim_start_matches(' ');
        let (known, slot) = names
            .iter()
            .zip(values.iter_mut())
            .find(|(known, _)| **known == name)
            .ok_or(AuthorizationError::UnknownField)?;
        if slot.replace(value).is_some() {
            return Err(AuthorizationError::Duplicate(known));
        }
        if after.is_empty() {
            break;
        }
        rest = after.strip_prefix(',').ok_or(AuthorizationError::Syntax)?;
    }
    let mut sorted = [""; 5];
    for ((slot, value), name) in sorted.iter_mut().zip(values).zip(names) {
        *slot = value.ok_or(AuthorizationError::Missing(name))?;
    }
    Ok(sorted)
}

/// Why an `Authorization` header is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// It does not begin with the token of a known scheme and a space.
    #[error("authorization has an unknown scheme")]
    UnknownScheme,
    /// It is not a list of `name="value"`, separated by commas.
    #[error("authorization is not a list of name=\"value\"")]
    Syntax,
    /// It has a field that the scheme does not have.
    #[error("authorization has an unknown field")]
    UnknownField,
    /// A field is missing.
    #[error("authorization lacks {0}")]
    Missing(&'static str),
    /// A field occurs twice.
    #[error("authorization has {0} twice")]
    Duplicate(&'static str),
    /// A field has an invalid value.
    #[error("authorization has a malformed {0}")]
    Malformed(&'static str),
    /// The `mchid` is malformed.
    #[error("authorization has a malformed mchid")]
    Mchid(#[from] MchidError),
    /// The `serial_no` is malformed.
    #[error("authorization has a malformed serial_no")]
    SerialNo(#[from] SerialNoError),
}

impl UnsupportedScheme {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "sign with an RSA key, or as the merchant: a brand signs with WECHATPAY-BRAND-SHA256-RSA2048 only"
    }
}

impl AuthorizationError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownScheme => {
                "begin it with WECHATPAY2-SHA256-RSA2048, or another scheme of APIv3, and one space"
            }
            Self::Mchid(error) => error.hint(),
            Self::SerialNo(error) => error.hint(),
            _ => {
                "write mchid, nonce_str, timestamp, serial_no and signature once each, as name=\"value\", separated by \
                 commas"
            }
        }
    }
}

debug_as_report!(UnsupportedScheme, AuthorizationError);

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> String {
        let serial_no = SerialNo::new("408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB").unwrap();
        authorization(
            &Identity::Merchant(Mchid::new("1900007291").unwrap()),
            Algorithm::Sha256Rsa2048,
            &Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap(),
            Timestamp::from_unix_secs(1_554_208_460),
            &Signature::new(serial_no, vec![0xfb, 0xff, 0xfe]),
        )
        .unwrap()
    }

    #[test]
    fn it_is_written_as_the_official_sdks_write_it() {
        assert_eq!(
            header(),
            "WECHATPAY2-SHA256-RSA2048 mchid=\"1900007291\",\
             nonce_str=\"593BEC0C930BF1AFEB40B4A08C8FB242\",timestamp=\"1554208460\",\
             serial_no=\"408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB\",signature=\"+//+\""
        );
    }

    #[test]
    fn it_reads_back_in_any_order() {
        let parsed = Authorization::parse(&header()).unwrap();
        assert_eq!(parsed.scheme(), Scheme::MerchantSha256Rsa2048);
        assert_eq!(parsed.identity().value(), "1900007291");
        assert_eq!(parsed.nonce_str(), "593BEC0C930BF1AFEB40B4A08C8FB242");
        assert_eq!(parsed.timestamp().as_unix_secs(), 1_554_208_460);
        assert_eq!(parsed.signature().as_bytes(), [0xfb, 0xff, 0xfe]);

        let (scheme, rest) =
            header().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let reversed: Vec<&str> = rest.split(',').rev().collect();
        let reversed = format!("{scheme} {}", reversed.join(", "));
        assert_eq!(Authorization::parse(&reversed).unwrap(), parsed);
    }

    #[test]
    fn a_brand_is_named_by_its_own_scheme() {
        let brand = |id: &str| {
            format!(
                "WECHATPAY-BRAND-SHA256-RSA2048 brand_id=\"{id}\",nonce_str=\"n\",timestamp=\"1\",\
                 serial_no=\"408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB\",signature=\"+//+\""
            )
        };
        let parsed = Authorization::parse(&brand("1004")).unwrap();
        assert_eq!(parsed.identity(), &Identity::Brand(BrandId::new("1004").unwrap()));
        let written = authorization(
            parsed.identity(),
            Algorithm::Sha256Rsa2048,
            &Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap(),
            parsed.timestamp(),
            parsed.signature(),
        );
        let written = Authorization::parse(&written.unwrap()).unwrap();
        assert_eq!((written.scheme(), written.identity()), (parsed.scheme(), parsed.identity()));

        let error = Authorization::parse(&brand("10 04")).unwrap_err();
        assert_eq!(error, AuthorizationError::Malformed("brand_id"));
        let merchant = brand("1004").replace("brand_id", "mchid");
        let error = Authorization::parse(&merchant).unwrap_err();
        assert_eq!(error, AuthorizationError::UnknownField);
    }

    #[test]
    fn its_debug_output_names_the_caller_and_omits_the_signature() {
        let shown = format!("{:?}", Authorization::parse(&header()).unwrap());
        for part in ["1900007291", "593BEC0C930BF1AFEB40B4A08C8FB242", "408B07E7"] {
            assert!(shown.contains(part), "{shown}");
        }
        assert!(!shown.contains("+//+") && !shown.contains("251, 255"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let parse = |from: &str, to: &str| Authorization::parse(&header().replace(from, to));
        for (from, to, error) in [
            ("WECHATPAY2-SHA256-RSA2048", "Basic", AuthorizationError::UnknownScheme),
            ("mchid=\"1900007291\",", "", AuthorizationError::Missing("mchid")),
            ("signature=\"+//+\"", "", AuthorizationError::Syntax),
            (",signature=\"+//+\"", "", AuthorizationError::Missing("signature")),
            ("\"+//+\"", "\"+//\"", AuthorizationError::Malformed("signature")),
            ("\"+//+\"", "\"+//+\" ", AuthorizationError::Syntax),
            ("1554208460", "", AuthorizationError::Malformed("timestamp")),
            ("1554208460", "+1554208460", AuthorizationError::Malformed("timestamp")),
            ("1554208460", "99999999999999999999", AuthorizationError::Malformed("timestamp")),
            ("nonce_str=", "timestamp=", AuthorizationError::Duplicate("timestamp")),
            ("nonce_str=", "nonce=", AuthorizationError::UnknownField),
            ("1900007291", "x", AuthorizationError::Mchid(MchidError::NotADigit { position: 0 })),
            ("408B", "", AuthorizationError::SerialNo(SerialNoError::WrongLength { length: 36 })),
        ] {
            assert_eq!(parse(from, to).unwrap_err(), error, "{from} -> {to}");
        }
        assert_eq!(Authorization::parse("").unwrap_err(), AuthorizationError::UnknownScheme);
    }

    proptest::proptest! {
        #[test]
        fn any_string_ends_in_a_value_or_an_error(rest in ".{0,200}") {
            let header = format!("WECHATPAY2-SHA256-RSA2048 {rest}");
            if let Ok(parsed) = Authorization::parse(&header) {
                proptest::prop_assert_eq!(parsed.scheme(), Scheme::MerchantSha256Rsa2048);
            }
        }
    }
}
