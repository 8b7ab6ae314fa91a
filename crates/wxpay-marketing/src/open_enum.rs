//! Enums of texts that WeChat Pay may extend.

/// Defines an enum of documented texts, with a variant for any other one. The first text of a variant is the one
/// that is written; the others are read as well.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $text:literal $(| $other:literal)*),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// Another text than the documented ones, as received.
            Unknown(String),
        }

        impl $name {
            /// Returns the text on the wire: the documented one (of two spellings, the one that is sent), and any other as
            /// received.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }

            fn documented(text: &str) -> Option<Self> {
                match text {
                    $($text $(| $other)* => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl From<&str> for $name {
            /// Reads a text in any of its spellings.
            fn from(text: &str) -> Self {
                Self::documented(text).unwrap_or_else(|| Self::Unknown(text.to_owned()))
            }
        }

        impl From<String> for $name {
            /// Reads a text in any of its spellings.
            fn from(text: String) -> Self {
                Self::documented(&text).unwrap_or(Self::Unknown(text))
            }
        }

        /// Writes the text on one line; a long one is cut.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&wxpay_auth::foreign_text(self.as_str(), 64, &[]))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}
pub(crate) use open_enum;
