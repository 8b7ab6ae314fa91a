//! Addresses of keys in tokens (RFC 7512).

pub(crate) mod error;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use wxpay_auth_core::internal::may_be_path;

use crate::error::Pkcs11Error;
use crate::module::Module;
use crate::pin::Pin;
use crate::uri::error::Pkcs11UriError;

/// The address of a private key in a PKCS#11 token, with the module for the token and the PIN.
///
/// It is parsed from a PKCS#11 URI, or built with setters, whose values are not percent-encoded.
/// All given attributes must match; exactly one token and one key may match all of them.
///
/// | attribute | compared with |
/// |---|---|
/// | `token`, `serial`, `manufacturer`, `model` | the token's info |
/// | `slot-id` | the number of the slot |
/// | `object`, `id` | `CKA_LABEL` and `CKA_ID` of the private key |
/// | `library-manufacturer`, `library-description`, `library-version` | nothing: `module-path` names the library |
/// | `module-path` | the PKCS#11 library to load: a path, or, on Linux, a name that the loader finds |
/// | `pin-source` | a file with the PIN: a path, `file:` and a path, or `credential:` and the name of a systemd credential |
/// | `pin-value` | the PIN itself; `pin-source` keeps it out of settings and logs |
///
/// Trailing blanks and NULs make no difference: tokens pad texts with them, and tools print or omit
/// them. Other attributes are refused, not ignored.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc7512>
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod pkcs11 { pub use wxpay_auth_pkcs11::*; } }
/// use wxpay_auth::pkcs11::{Pin, Pkcs11Uri};
///
/// let parsed: Pkcs11Uri = "pkcs11:token=wxpay%20live;object=merchant;type=private\
///     ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin".parse()?;
/// let built = Pkcs11Uri::new("/usr/lib/softhsm/libsofthsm2.so")
///     .token("wxpay live")
///     .object("merchant")
///     .pin(Pin::file("/run/secrets/pin"));
/// assert_eq!(parsed.to_string(), built.to_string());
/// # Ok::<(), wxpay_auth::pkcs11::Pkcs11UriError>(())
/// ```
#[derive(Clone, Default)]
pub struct Pkcs11Uri {
    pub(crate) module_path: Option<PathBuf>,
    pub(crate) token: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) slot_id: Option<u64>,
    pub(crate) object: Option<String>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) pin: Option<Pin>,
}

impl Pkcs11Uri {
    /// Creates an address with the PKCS#11 library of the token's vendor.
    pub fn new(module_path: impl Into<PathBuf>) -> Self {
        Self::default().module_path(module_path)
    }

    /// Sets the PKCS#11 library: a path, or, on Linux, a name that the system's loader finds.
    #[must_use]
    pub fn module_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.module_path = Some(path.into());
        self
    }

    /// Sets the label of the token.
    #[must_use]
    pub fn token(mut self, label: impl Into<String>) -> Self {
        self.token = Some(label.into());
        self
    }

    /// Sets the serial number of the token, not that of a certificate.
    #[must_use]
    pub fn serial(mut self, serial: impl Into<String>) -> Self {
        self.serial = Some(serial.into());
        self
    }

    /// Sets the manufacturer of the token.
    #[must_use]
    pub fn manufacturer(mut self, manufacturer: impl Into<String>) -> Self {
        self.manufacturer = Some(manufacturer.into());
        self
    }

    /// Sets the model of the token.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the slot number. Tokens whose info cannot be read are addressed by it.
    #[must_use]
    pub fn slot_id(mut self, slot_id: u64) -> Self {
        self.slot_id = Some(slot_id);
        self
    }

    /// Sets the label of the key (`CKA_LABEL`).
    #[must_use]
    pub fn object(mut self, label: impl Into<String>) -> Self {
        self.object = Some(label.into());
        self
    }

    /// Sets the id of the key (`CKA_ID`).
    #[must_use]
    pub fn id(mut self, id: impl Into<Vec<u8>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the source of the PIN.
    #[must_use]
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Loads the module of the token.
    pub(crate) fn load_module(&self) -> Result<Arc<Module>, Pkcs11Error> {
        let path = self.module_path.as_deref().ok_or(Pkcs11Error::Setting {
            setting: "module-path",
            problem: "is missing: name the PKCS#11 library of the token",
        })?;
        Module::load(path)
    }

    /// Returns the part that identifies the token, for errors and logs.
    pub(crate) fn token_part(&self) -> String {
        let key = Self { object: None, id: None, module_path: None, pin: None, ..self.clone() };
        key.to_string()
    }

    /// Returns the part that identifies the key, for errors and logs.
    pub(crate) fn key_part(&self) -> String {
        Self { module_path: None, pin: None, ..self.clone() }.to_string()
    }
}

impl FromStr for Pkcs11Uri {
    type Err = Pkcs11UriError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let rest = uri.strip_prefix("pkcs11:").ok_or(Pkcs11UriError::Scheme)?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '#';
        if let Some(position) = uri.chars().position(forbidden) {
            return Err(Pkcs11UriError::Character { position: position + 1 });
        }
        let (path, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
        let path = Some(path).filter(|p| !p.is_empty()).into_iter().flat_map(|p| p.split(';'));
        let query = query.filter(|q| !q.is_empty()).into_iter().flat_map(|q| q.split('&'));
        let parts = path.map(|part| (false, part)).chain(query.map(|part| (true, part)));

        let mut parsed = Self::default();
        let mut seen = Vec::new();
        for ((in_query, part), index) in parts.zip(1..) {
            let (name, value) = part.split_once('=').ok_or(Pkcs11UriError::Malformed { index })?;
            let (attribute, belongs_in_query) = *ATTRIBUTES
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or(Pkcs11UriError::Unsupported { index })?;
            if in_query != belongs_in_query {
                return Err(Pkcs11UriError::Misplaced { attribute });
            }
            if seen.contains(&attribute) {
                return Err(Pkcs11UriError::Twice { attribute });
            }
            seen.push(attribute);
            parsed.set(attribute, Value { attribute, encoded: value })?;
        }
        if seen.contains(&"pin-source") && seen.contains(&"pin-value") {
            return Err(Pkcs11UriError::TwoPins);
        }
        Ok(parsed)
    }
}

/// The supported attributes, and whether they belong to the query.
const ATTRIBUTES: [(&str, bool); 14] = [
    ("token", false),
    ("serial", false),
    ("manufacturer", false),
    ("model", false),
    ("slot-id", false),
    ("object", false),
    ("id", false),
    ("type", false),
    ("library-manufacturer", false),
    ("library-description", false),
    ("library-version", false),
    ("module-path", true),
    ("pin-source", true),
    ("pin-value", true),
];

impl Pkcs11Uri {
    fn set(&mut self, attribute: &'static str, value: Value<'_>) -> Result<(), Pkcs11UriError> {
        match attribute {
            "token" => self.token = Some(value.text()?),
            "serial" => self.serial = Some(value.text()?),
            "manufacturer" => self.manufacturer = Some(value.text()?),
            "model" => self.model = Some(value.text()?),
            "slot-id" => {
                let digits = value.text()?;
                let number = digits.bytes().all(|b| b.is_ascii_digit());
                let slot_id = digits.parse().ok().filter(|_| number);
                self.slot_id = Some(slot_id.ok_or(Pkcs11UriError::SlotId)?);
            }
            "object" => self.object = Some(value.text()?),
            "id" => self.id = Some(value.bytes()?),
            "module-path" => self.module_path = Some(value.text()?.into()),
            "pin-source" => self.pin = Some(pin_source(&value.text()?)?),
            "pin-value" => self.pin = Some(Pin::new(value.text()?)),
            // Not compared: `module-path` names the library, and these change with its updates.
            "library-manufacturer" | "library-description" | "library-version" => {
                value.text()?;
            }
            // The only remaining attribute of the list above is `type`.
            _ if value.text()? != "private" => return Err(Pkcs11UriError::NotPrivate),
            _ => {}
        }
        Ok(())
    }
}

/// Parses `file:/path`, `file:///path`, `file:relative`, a path without a scheme, and
/// `credential:name`.
fn pin_source(source: &str) -> Result<Pin, Pkcs11UriError> {
    if let Some(name) = source.strip_prefix("credential:") {
        return Ok(Pin::credential(name));
    }
    let path = match source.strip_prefix("file:") {
        Some(path) if path.starts_with("credential:") => return pin_source(path),
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None if source.starts_with('|') || source.contains("://") => {
            return Err(Pkcs11UriError::PinSource);
        }
        None => source,
    };
    if path.is_empty() { Err(Pkcs11UriError::PinSource) } else { Ok(Pin::file(path)) }
}

/// A percent-encoded value.
#[derive(Clone, Copy)]
struct Value<'a> {
    attribute: &'static str,
    encoded: &'a str,
}

impl Value<'_> {
    fn bytes(&self) -> Result<Vec<u8>, Pkcs11UriError> {
        let mut escapes = self.encoded.split('%').skip(1);
        let is_escape = |rest: &str| {
            rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        };
        if escapes.all(is_escape) {
            Ok(percent_decode_str(self.encoded).collect())
        } else {
            Err(Pkcs11UriError::Escape { attribute: self.attribute })
        }
    }

    fn text(&self) -> Result<String, Pkcs11UriError> {
        let not_text = Pkcs11UriError::NotText { attribute: self.attribute };
        String::from_utf8(self.bytes()?).map_err(|_| not_text)
    }
}

/// The characters that are not encoded in any value (`unreserved`; `/` as well in paths).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ENCODED_IN_QUERY: &AsciiSet = &ENCODED.remove(b'/').remove(b':');

/// Formats the URI, except for a PIN given as a value, and for paths that may be a PIN or a key.
impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let slot_id = self.slot_id.map(|id| id.to_string());
        let path = [
            ("token", self.token.as_deref().map(str::as_bytes)),
            ("serial", self.serial.as_deref().map(str::as_bytes)),
            ("manufacturer", self.manufacturer.as_deref().map(str::as_bytes)),
            ("model", self.model.as_deref().map(str::as_bytes)),
            ("slot-id", slot_id.as_deref().map(str::as_bytes)),
            ("object", self.object.as_deref().map(str::as_bytes)),
        ];
        let mut separator = "";
        for (name, value) in path.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            write!(f, "{separator}{name}={}", percent_encode(value, ENCODED))?;
            separator = ";";
        }
        if let Some(id) = &self.id {
            write!(f, "{separator}id=")?;
            id.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let pin = self.pin.as_ref().and_then(Pin::shown_path).map(text);
        // The two slashes at the start of such a path would be parsed as those of `file://`.
        let is_double = pin.as_ref().is_some_and(|path| path.starts_with("//"));
        let query = [
            (
                "module-path=",
                self.module_path.as_deref().filter(|path| may_be_path(path)).map(text),
            ),
            (if is_double { "pin-source=file://" } else { "pin-source=file:" }, pin),
        ];
        let mut separator = "?";
        for (name, value) in query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            write!(f, "{separator}{name}{}", percent_encode(value.as_bytes(), ENCODED_IN_QUERY))?;
            separator = "&";
        }
        Ok(())
    }
}

impl fmt::Debug for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pkcs11Uri").field(&format_args!("{self}")).field(&self.pin).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Pkcs11Uri, Pkcs11UriError> {
        uri.parse()
    }

    #[test]
    fn values_are_decoded() {
        let uri = parse(
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;\
             model=1.0;object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91;serial=;\
             slot-id=327?pin-source=file:/etc/token_pin&module-path=/usr/lib/a%26b.so",
        )
        .unwrap();
        assert_eq!(uri.token.as_deref(), Some("The Software PKCS#11 Softtoken"));
        assert_eq!(uri.manufacturer.as_deref(), Some("Snake Oil, Inc."));
        assert_eq!(uri.model.as_deref(), Some("1.0"));
        assert_eq!(uri.object.as_deref(), Some("my-certificate"));
        assert_eq!(uri.id.as_deref(), Some(&b"\x69\x95\x3e\x5c\xf4\xbd\xec\x91"[..]));
        assert_eq!(uri.serial.as_deref(), Some(""));
        assert_eq!(uri.slot_id, Some(327));
        assert_eq!(uri.module_path.as_deref(), Some(Path::new("/usr/lib/a&b.so")));
        assert_eq!(uri.pin.unwrap().path(), Some(Path::new("/etc/token_pin")));
        let all = parse("pkcs11:").unwrap();
        assert!(all.token.is_none() && all.pin.is_none());
        assert_eq!(parse("pkcs11:token=商户").unwrap().token.as_deref(), Some("商户"));
    }

    #[test]
    fn a_pin_source_is_a_file() {
        let path = |uri: &str| parse(uri).map(|uri| uri.pin.unwrap().path().unwrap().to_owned());
        for uri in ["file:/run/pin", "file:///run/pin", "/run/pin"] {
            assert_eq!(path(&format!("pkcs11:?pin-source={uri}")), Ok("/run/pin".into()), "{uri}");
        }
        for uri in ["%7Ccat%20pin", "http://127.0.0.1/pin", "file:", ""] {
            let refused = path(&format!("pkcs11:?pin-source={uri}"));
            assert_eq!(refused, Err(Pkcs11UriError::PinSource), "{uri}");
        }
    }

    #[test]
    fn the_file_of_a_pin_is_written_as_it_was() {
        for source in ["/run/pin", "//run/pin", "////run/pin", "file:////run/pin"] {
            let uri = parse(&format!("pkcs11:?pin-source={source}")).unwrap();
            let again = parse(&uri.to_string()).unwrap();
            assert_eq!(again.pin.unwrap().path(), uri.pin.unwrap().path(), "{source}");
        }
    }

    #[test]
    fn what_may_be_a_pin_is_not_written() {
        for source in ["S3cretPin", "file:S3cretPin", "/S3cretPin", "S3cret/Pin"] {
            let uri = parse(&format!("pkcs11:object=a?pin-source={source}")).unwrap();
            assert_eq!(uri.to_string(), "pkcs11:object=a");
            assert!(!format!("{uri:?} {uri:#?}").contains("S3cret"), "{uri:?}");
            assert!(uri.pin.unwrap().path().is_some(), "and it is read all the same");
        }
        let uri = parse("pkcs11:?module-path=Hq3ZtL8vWc5RyB2nKd9MfJ6s").unwrap();
        assert_eq!(uri.to_string(), "pkcs11:");
    }

    #[test]
    fn what_is_wrong_is_named() {
        use Pkcs11UriError as E;
        for (uri, error) in [
            ("", E::Scheme),
            ("PKCS11:token=a", E::Scheme),
            ("pkcs11:token=a b", E::Character { position: 15 }),
            ("pkcs11:\n", E::Character { position: 8 }),
            ("pkcs11:token=商户;object=a b", E::Character { position: 25 }),
            ("pkcs11:token=a#b", E::Character { position: 15 }),
            ("pkcs11:token=%2", E::Escape { attribute: "token" }),
            ("pkcs11:token=%2g", E::Escape { attribute: "token" }),
            ("pkcs11:token=%ff", E::NotText { attribute: "token" }),
            ("pkcs11:token", E::Malformed { index: 1 }),
            ("pkcs11:token=a;", E::Malformed { index: 2 }),
            ("pkcs11:token=a?&", E::Malformed { index: 2 }),
            ("pkcs11:token=a;token=b", E::Twice { attribute: "token" }),
            ("pkcs11:module-path=/a", E::Misplaced { attribute: "module-path" }),
            ("pkcs11:?token=a", E::Misplaced { attribute: "token" }),
            ("pkcs11:token=a;x-vendor=b", E::Unsupported { index: 2 }),
            ("pkcs11:?module-name=softhsm2", E::Unsupported { index: 1 }),
            ("pkcs11:type=cert", E::NotPrivate),
            ("pkcs11:slot-id=+1", E::SlotId),
            ("pkcs11:slot-id=", E::SlotId),
            ("pkcs11:slot-id=99999999999999999999", E::SlotId),
            ("pkcs11:?pin-source=/a&pin-value=1", E::TwoPins),
        ] {
            assert_eq!(parse(uri).unwrap_err(), error, "{uri}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn a_pin_is_never_written() {
        let uri = parse("pkcs11:object=a?pin-value=Hq3ZtL8v").unwrap();
        assert_eq!(uri.to_string(), "pkcs11:object=a");
        assert_eq!(format!("{uri:?}"), "Pkcs11Uri(pkcs11:object=a, Some(Pin(given)))");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(
            texts in proptest::collection::vec(proptest::option::of("\\PC{0,12}"), 5),
            id in proptest::option::of(proptest::collection::vec(proptest::num::u8::ANY, 0..9)),
            slot_id in proptest::option::of(proptest::num::u64::ANY),
            paths in proptest::collection::vec(proptest::option::of("/(run/)?\\PC{1,12}"), 2),
        ) {
            let [token, serial, object, manufacturer, model] = texts.try_into().unwrap();
            let [module_path, pin] = paths.try_into().unwrap();
            let uri = Pkcs11Uri {
                token, serial, object, manufacturer, model, id, slot_id,
                module_path: module_path.map(Into::into),
                pin: pin.map(Pin::file),
            };
            let again: Pkcs11Uri = uri.to_string().parse().unwrap();
            proptest::prop_assert_eq!(again.to_string(), uri.to_string());
            let path = |uri: &Pkcs11Uri| uri.pin.as_ref().and_then(Pin::shown_path).map(Path::to_owned);
            proptest::prop_assert_eq!(path(&again), path(&uri));
            proptest::prop_assert_eq!(again.token, uri.token);
            proptest::prop_assert_eq!(again.id, uri.id);
            let module_path = uri.module_path.filter(|path| may_be_path(path));
            proptest::prop_assert_eq!(again.module_path, module_path);
        }

        #[test]
        fn any_text_ends_in_a_uri_or_an_error(text in "(pkcs11:)?[ -~\\n;?&=%a-f0-9]{0,60}") {
            if let Ok(uri) = parse(&text) {
                proptest::prop_assert!(uri.to_string().starts_with("pkcs11:"));
            }
        }
    }
}
