//! The request signature of Alibaba Cloud: ACS3-HMAC-SHA256.
//!
//! <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cloud::digest::{hex, hmac_sha256, sha256_hex};
use crate::credentials::provider::Credentials;

/// RFC 3986: unreserved characters are not encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Returns parameters as a query: sorted and encoded as in RFC 3986.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let encoded = |text| utf8_percent_encode(text, RESERVED);
    let mut pairs: Vec<_> =
        parameters.iter().map(|(k, v)| format!("{}={}", encoded(k), encoded(v))).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

/// The parts of a `POST /` with a query and an empty body that are signed.
pub(super) struct Acs3<'a> {
    /// As [`query`] returns it.
    pub(super) query: &'a str,
    /// Lower-case names, sorted.
    pub(super) headers: &'a [(&'static str, &'a str)],
}

impl Acs3<'_> {
    /// Returns the value of the `Authorization` header.
    pub(super) fn authorization(&self, credentials: &Credentials) -> String {
        format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={},Signature={}",
            credentials.id(),
            self.signed_headers(),
            self.signature(credentials.secret()),
        )
    }

    fn signature(&self, access_key_secret: &str) -> String {
        hex(hmac_sha256(access_key_secret.as_bytes(), &self.string_to_sign()).as_ref())
    }

    fn string_to_sign(&self) -> String {
        format!("ACS3-HMAC-SHA256\n{}", sha256_hex(self.canonical_request().as_bytes()))
    }

    fn canonical_request(&self) -> String {
        let mut headers = String::new();
        for (name, value) in self.headers {
            headers.extend([name, ":", value.trim(), "\n"]);
        }
        let (query, signed, payload) = (self.query, self.signed_headers(), sha256_hex(b""));
        format!("POST\n/\n{query}\n{headers}\n{signed}\n{payload}")
    }

    fn signed_headers(&self) -> String {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| *name).collect();
        names.join(";")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The example of the vendor's documentation, stage by stage.
    #[test]
    fn documented_example() {
        let file = include_str!("../../../testdata/kms/acs3.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let [case] = file["cases"].as_array().unwrap().as_slice() else { panic!("one case") };
        let text = |name: &str| case[name].as_str().unwrap();
        let parameters: Vec<_> = case["parameters"].as_object().unwrap().iter().collect();
        let parameters: Vec<_> =
            parameters.iter().rev().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let query = query(&parameters);
        assert_eq!(query, text("canonical_query"));
        assert_eq!(text("body"), "");
        let headers = [
            ("host", text("host")),
            ("x-acs-action", text("action")),
            ("x-acs-content-sha256", text("hashed_request_payload")),
            ("x-acs-date", text("date")),
            ("x-acs-signature-nonce", text("nonce")),
            ("x-acs-version", text("version")),
        ];
        let request = Acs3 { query: &query, headers: &headers };
        assert_eq!(request.signed_headers(), text("signed_headers"));
        assert_eq!(request.canonical_request(), text("canonical_request"));
        assert_eq!(
            sha256_hex(request.canonical_request().as_bytes()),
            text("hashed_canonical_request")
        );
        assert_eq!(request.string_to_sign(), text("string_to_sign"));
        assert_eq!(request.signature(text("access_key_secret")), text("signature"));
        let credentials = Credentials::new(text("access_key_id"), text("access_key_secret"));
        assert_eq!(request.authorization(&credentials), text("authorization"));
    }

    #[test]
    fn parameters_are_encoded_and_sorted() {
        let parameters = [("b", "a+b/c="), ("Z", "~-_."), ("a", "文 *"), ("B", "")];
        assert_eq!(query(&parameters), "B=&Z=~-_.&a=%E6%96%87%20%2A&b=a%2Bb%2Fc%3D");
    }
}
