//! Types that are serialized as text.

/// Implements `Serialize` with `Display` and `Deserialize` with `FromStr` under the feature `serde`;
/// deserialized values are validated as usual. The crate that uses the macro must have this feature, and
/// depend on `serde`.
#[doc(hidden)]
#[macro_export]
macro_rules! serde_as_text {
    ($($text:ty),+ $(,)?) => {$(
        #[cfg(feature = "serde")]
        impl serde::Serialize for $text {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $text {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub use serde_as_text;

#[cfg(feature = "serde")]
#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::{BrandId, Identity, Mchid, Nonce, SerialNo, Timestamp, WechatpaySerial};

    fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
    }

    #[test]
    fn ids_serials_and_times_come_back() {
        comes_back(&Mchid::new("1900007291").unwrap(), r#""1900007291""#);
        comes_back(&BrandId::new("1004").unwrap(), r#""1004""#);
        let serial = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB";
        comes_back(&SerialNo::new(serial).unwrap(), &format!("\"{serial}\""));
        comes_back(&WechatpaySerial::new("PUB_KEY_ID_01").unwrap(), r#""PUB_KEY_ID_01""#);
        let nonce = "593BEC0C930BF1AFEB40B4A08C8FB242";
        comes_back(&Nonce::new(nonce).unwrap(), &format!("\"{nonce}\""));
        let merchant = Identity::from(Mchid::new("1900007291").unwrap());
        comes_back(&merchant, r#"{"mchid":"1900007291"}"#);
        comes_back(&Identity::from(BrandId::new("1004").unwrap()), r#"{"brand_id":"1004"}"#);
        comes_back(&Timestamp::from_unix_secs(1_554_208_460), "1554208460");
    }

    #[test]
    fn what_is_read_is_checked() {
        let error = serde_json::from_str::<Mchid>(r#""19 00""#).unwrap_err();
        assert!(error.to_string().contains("a character other than a digit"), "{error}");
        assert!(serde_json::from_str::<Mchid>("1900007291").is_err(), "a number is no text");
        assert!(serde_json::from_str::<SerialNo>(r#""PUB_KEY_ID_01""#).is_err());
    }
}
