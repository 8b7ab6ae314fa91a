//! The envelope of a notification, as it is in the JSON.

use std::borrow::Cow;

use serde::Deserialize;
use wxpay_auth::EncryptedResource;

use crate::error::{ReceiveError, problem};

/// What is read of the envelope. The lengths of the official tables are not enforced: samples on the same pages are
/// longer. What is not needed to verify, decrypt and tell apart may be missing.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082320>
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) event_type: Cow<'a, str>,
    #[serde(default)]
    pub(crate) create_time: Option<String>,
    #[serde(default)]
    pub(crate) resource_type: Option<String>,
    #[serde(default)]
    pub(crate) summary: Option<String>,
    #[serde(borrow)]
    pub(crate) resource: Resource<'a>,
}

/// The resource, encrypted.
#[derive(Deserialize)]
pub(crate) struct Resource<'a> {
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    ciphertext: Cow<'a, str>,
    #[serde(default)]
    associated_data: Option<String>,
    #[serde(default)]
    pub(crate) original_type: Option<String>,
}

impl<'a> Envelope<'a> {
    /// Parses a verified body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, ReceiveError> {
        let envelope: Self =
            serde_json::from_slice(body).map_err(|e| ReceiveError::envelope(problem(&e)))?;
        // Without one, a notification could not be told from a duplicate of another.
        if envelope.id.is_empty() {
            return Err(ReceiveError::envelope("id is empty"));
        }
        Ok(envelope)
    }
}

impl Resource<'_> {
    /// Returns what a decryptor needs.
    pub(crate) fn encrypted(&self) -> EncryptedResource<'_> {
        let associated_data = self.associated_data.as_deref().map(Cow::Borrowed);
        let mut encrypted =
            EncryptedResource::aes_256_gcm(&*self.nonce, associated_data, &*self.ciphertext);
        encrypted.algorithm = Cow::Borrowed(&*self.algorithm);
        encrypted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"id":"EV-1","create_time":"2027-01-01T00:00:00+08:00","event_type":"A.B",
        "resource_type":"encrypt-resource","summary":"概要","resource":{"algorithm":"AEAD_AES_256_GCM",
        "ciphertext":"AAAA","associated_data":"delivery_plan","original_type":"delivery_plan","nonce":"fdasflkja484"}}"#;

    fn parse(json: &str) -> Result<Envelope<'_>, String> {
        Envelope::parse(json.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn order_and_blanks_and_further_fields_do_not_matter() {
        let other = "{\t\"resource\" : {\n\"nonce\":\"fdasflkja484\",\"further\":[{}],\"original_type\":\"x\",
            \"ciphertext\":\"A\\/A\\u0041\", \"algorithm\":\"AEAD_SM4_GCM\"},\r\n \"event_type\":\"\\u0041.B\",
            \"id\":\"EV-1\", \"further\":null}";
        for json in [WHOLE, other] {
            let envelope = parse(json).unwrap_or_else(|e| panic!("{e}: {json}"));
            assert_eq!((&*envelope.id, &*envelope.event_type), ("EV-1", "A.B"));
            assert_eq!(envelope.resource.encrypted().nonce, "fdasflkja484");
        }
        let envelope = parse(other).unwrap();
        let encrypted = envelope.resource.encrypted();
        assert_eq!((&*encrypted.algorithm, &*encrypted.ciphertext), ("AEAD_SM4_GCM", "A/AA"));
        assert_eq!((encrypted.associated_data, envelope.summary), (None, None));
        let envelope = parse(WHOLE).unwrap();
        assert_eq!(envelope.resource.encrypted().additional_bytes(), b"delivery_plan");
        assert_eq!(envelope.resource.original_type.as_deref(), Some("delivery_plan"));
    }

    #[test]
    fn what_is_absent_null_or_longer_than_the_table_says_is_read() {
        for (from, to) in [
            (r#""create_time":"2027-01-01T00:00:00+08:00","#, ""),
            (r#""summary":"概要","#, r#""summary":null,"#),
            (r#""associated_data":"delivery_plan","#, r#""associated_data":null,"#),
            (r#""original_type":"delivery_plan","#, ""),
            ("EV-1", "EV-000000000000000000000000000000000000000000000000"),
            ("A.B", "PRODUCT_COUPON_SP.IMAGE_GENERATION"),
            ("AEAD_AES_256_GCM", "AEAD_OF_A_NAME_THAT_IS_LONGER_THAN_THE_TABLE_SAYS"),
        ] {
            let changed = WHOLE.replace(from, to);
            assert_ne!(changed, WHOLE);
            parse(&changed).unwrap_or_else(|e| panic!("{e}: {changed}"));
        }
    }

    #[test]
    fn what_cannot_be_told_apart_or_decrypted_is_refused_and_named() {
        for (from, to, named) in [
            (r#""id":"EV-1","#, "", "missing field `id`"),
            ("EV-1", "", "id is empty"),
            (r#""id":"EV-1""#, r#""id":"EV-1","id":"EV-2""#, "duplicate field `id`"),
            (r#""id":"EV-1""#, r#""id":7"#, "a value of another type"),
            (r#""event_type":"A.B","#, "", "missing field `event_type`"),
            (r#","nonce":"fdasflkja484""#, "", "missing field `nonce`"),
            ("}}", "}", "the JSON ends too early"),
            ("}}", "}}x", "no JSON"),
            ("{\"id\"", "id", "no JSON"),
        ] {
            let changed = WHOLE.replacen(from, to, 1);
            assert_ne!(changed, WHOLE);
            let error = parse(&changed).err().unwrap_or_else(|| panic!("{changed}"));
            assert!(error.contains(named), "{named}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_err());
        assert!(parse(&WHOLE.replace("\"概要\"", &deep)).is_err());
    }
}
