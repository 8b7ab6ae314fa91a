//! The parameters after the question mark.

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use wxpay_auth_core::internal::FileSource;

use super::error::SignerUriError;

/// The parameters of an address that have not been taken yet.
pub(super) struct Parameters(Vec<Parameter>);

struct Parameter {
    name: String,
    /// Its number, from 1.
    index: usize,
    /// As in the address, percent-encoded.
    raw: String,
}

impl Parameters {
    pub(super) fn parse(query: &str) -> Result<Self, SignerUriError> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for (index, part) in (1..).zip(query.split('&')).filter(|_| !query.is_empty()) {
            let named = part.split_once('=').filter(|(name, _)| {
                !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            });
            let (name, raw) = named.ok_or(SignerUriError::Malformed { index })?;
            if parameters.iter().any(|known| known.name == name) {
                return Err(SignerUriError::Twice { parameter: shown(name, index) });
            }
            parameters.push(Parameter { name: name.to_owned(), index, raw: raw.to_owned() });
        }
        Ok(Self(parameters))
    }

    /// Takes a parameter, and decodes its value.
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<String>, SignerUriError> {
        let Some(position) = self.0.iter().position(|parameter| parameter.name == name) else {
            return Ok(None);
        };
        let value = decoded(&self.0.remove(position).raw);
        value.map(Some).ok_or(SignerUriError::Value {
            parameter: name,
            problem: "is not percent-encoded text",
        })
    }

    /// Takes the path of a file, or `credential:` and a name. An implausible path is refused, because an error
    /// about a missing file would quote it, and it may be the key itself.
    pub(super) fn take_file(
        &mut self,
        name: &'static str,
    ) -> Result<Option<FileSource>, SignerUriError> {
        match self.take(name)? {
            Some(path) if !is_path(&path) => {
                Err(SignerUriError::Value { parameter: name, problem: "is not the path of a file" })
            }
            path => Ok(path.map(FileSource::parse)),
        }
    }

    /// Returns whether a parameter has not been taken.
    #[cfg(feature = "_http")]
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|parameter| parameter.name == name)
    }

    /// Takes a required parameter.
    #[cfg(feature = "_http")]
    pub(super) fn needed(&mut self, parameter: &'static str) -> Result<String, SignerUriError> {
        self.take(parameter)?
            .filter(|value| !value.is_empty())
            .ok_or(SignerUriError::Missing { parameter })
    }

    /// Takes a parameter, and parses its value.
    pub(super) fn take_parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        problem: &'static str,
    ) -> Result<Option<T>, SignerUriError> {
        let value = self.take(name)?.map(|value| value.parse());
        value.transpose().map_err(|_| SignerUriError::Value { parameter: name, problem })
    }

    /// Takes all remaining parameters, undecoded.
    #[cfg(feature = "pkcs11")]
    pub(super) fn take_rest(&mut self) -> String {
        let rest =
            self.0.drain(..).map(|parameter| format!("{}={}", parameter.name, parameter.raw));
        rest.collect::<Vec<_>>().join("&")
    }

    /// Refuses parameters that have not been taken.
    pub(super) fn finish(self) -> Result<(), SignerUriError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some(Parameter { name, index, .. }) => {
                Err(SignerUriError::Unsupported { parameter: shown(&name, index) })
            }
        }
    }
}

/// Shows the name of a parameter. A text that is not a plausible name may be a piece of a secret that
/// contains a `&`.
fn shown(name: &str, index: usize) -> String {
    let is_name =
        name.len() <= 24 && name.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b));
    if is_name { name.to_owned() } else { format!("number {index}") }
}

/// Returns whether a text may be the path of a file, rather than the content of one.
pub(super) fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains("-----BEGIN") && !text.contains(char::is_control)
}

/// Decodes text; `None` if it is not percent-encoded UTF-8.
#[allow(dead_code, reason = "without features nobody needs it")]
pub(super) fn decoded(raw: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    if !raw.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(raw).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        Parameters::parse(query).and_then(Parameters::finish).unwrap_err().to_string()
    }

    #[test]
    fn values_are_decoded_and_taken_once() {
        let mut parameters = Parameters::parse("a=%E5%95%86%26&b=&c=%zz&d=%FF&e=7&f=x").unwrap();
        assert_eq!(parameters.take("a").unwrap().as_deref(), Some("商&"));
        assert_eq!(parameters.take("a").unwrap(), None);
        assert_eq!(parameters.take("b").unwrap().as_deref(), Some(""));
        assert_eq!(parameters.take_parsed("e", "is not a number").unwrap(), Some(7));
        parameters.take("c").unwrap_err();
        parameters.take("d").unwrap_err();
        parameters.take_parsed::<u32>("f", "is not a number").unwrap_err();
        parameters.finish().unwrap();
        Parameters::parse("").unwrap().finish().unwrap();
    }

    #[test]
    fn a_key_is_no_path() {
        for raw in ["", "a%0Ab", "-----BEGIN%20PRIVATE%20KEY-----MIIE"] {
            let mut parameters = Parameters::parse(&format!("ca={raw}")).unwrap();
            let error = parameters.take_file("ca").unwrap_err();
            assert_eq!(error.to_string(), "ca is not the path of a file");
        }
        let mut parameters = Parameters::parse("ca=/a%20b/ca.pem").unwrap();
        let path = FileSource::Path("/a b/ca.pem".into());
        assert_eq!(parameters.take_file("ca").unwrap(), Some(path));
        assert_eq!(parameters.take_file("ca").unwrap(), None);
        let mut parameters = Parameters::parse("ca=credential:our%20ca").unwrap();
        let credential = FileSource::Credential("our ca".into());
        assert_eq!(parameters.take_file("ca").unwrap(), Some(credential));
    }

    #[test]
    fn what_is_left_is_named_without_its_value() {
        assert_eq!(
            refused("token=hunter2"),
            "the address has a parameter that is not known here: token"
        );
        assert_eq!(
            refused("S3cret=x&token=y"),
            "the address has a parameter that is not known here: number 1"
        );
        assert_eq!(refused("a=1&S3=&S3="), "number 3 is given twice");
        assert_eq!(refused("a=1&a=2"), "a is given twice");
        assert_eq!(refused("a=1&hunter2"), "parameter 2 of the address is not name=value");
        assert_eq!(refused("a=1&"), "parameter 2 of the address is not name=value");
        assert_eq!(refused("=1"), "parameter 1 of the address is not name=value");
        assert_eq!(refused("a b=1"), "parameter 1 of the address is not name=value");
    }
}
