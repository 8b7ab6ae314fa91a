//! The JSON of the download.
//!
//! Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>

use serde::Deserialize;
use serde_json::Value;
use wxpay_auth::{DateTime, EncryptedResource};

/// The body of the response. Unknown members are ignored.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    pub(super) data: Vec<Entry<'a>>,
}

/// One encrypted certificate.
#[derive(Deserialize)]
pub(super) struct Entry<'a> {
    /// Documented with 32 characters; real ones have 40.
    pub(super) serial_no: String,
    /// Documented as an integer, and shown as a text.
    #[serde(default)]
    effective_time: Value,
    #[serde(default)]
    expire_time: Value,
    /// The official sample has these two names with a blank at the end.
    #[serde(default, rename = "effective_time ")]
    effective_time_with_blank: Value,
    #[serde(default, rename = "expire_time ")]
    expire_time_with_blank: Value,
    #[serde(borrow)]
    pub(super) encrypt_certificate: EncryptedResource<'a>,
}

impl Entry<'_> {
    pub(super) fn effective_time(&self) -> Option<DateTime> {
        time(&self.effective_time).or_else(|| time(&self.effective_time_with_blank))
    }

    pub(super) fn expire_time(&self) -> Option<DateTime> {
        time(&self.expire_time).or_else(|| time(&self.expire_time_with_blank))
    }
}

/// Reads a time; `None` if it is absent or has an undocumented form: the certificate has its own validity.
fn time(value: &Value) -> Option<DateTime> {
    value.as_str()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(times: &str) -> Entry<'static> {
        let json = format!(
            r#"{{"serial_no":"5157F09EFDC096DE15EBE81A47057A7200000000",{times}"encrypt_certificate":
            {{"algorithm":"AEAD_AES_256_GCM","nonce":"61f9c719728a","associated_data":"certificate",
            "ciphertext":"sRvt","later":1}},"later":[]}}"#
        );
        serde_json::from_str(json.leak()).unwrap()
    }

    #[test]
    fn times_are_read_however_their_names_are_written() {
        for names in [("effective_time", "expire_time"), ("effective_time ", "expire_time ")] {
            let (effective, expire) = names;
            let entry = entry(&format!(
                r#""{effective}":"2018-06-08T10:34:56+08:00","{expire}":"2018-12-08T10:34:56+08:00","#
            ));
            assert_eq!(entry.effective_time().unwrap().as_str(), "2018-06-08T10:34:56+08:00");
            assert_eq!(entry.expire_time().unwrap().as_str(), "2018-12-08T10:34:56+08:00");
        }
    }

    #[test]
    fn a_time_of_another_form_is_none_and_its_meaning_is_not_guessed() {
        for times in [
            "",
            r#""expire_time":null,"#,
            r#""expire_time":1544236496,"#,
            r#""expire_time":"soon","expire_time ":{},"#,
        ] {
            let entry = entry(times);
            assert_eq!((entry.effective_time(), entry.expire_time()), (None, None), "{times}");
        }
        let plain_first = r#""expire_time ":"2018-12-08T10:34:56+08:00","expire_time":"2019-12-08T10:34:56+08:00","#;
        assert_eq!(entry(plain_first).expire_time().unwrap().as_str(), "2019-12-08T10:34:56+08:00");
    }
}
