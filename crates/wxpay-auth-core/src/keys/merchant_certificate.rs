//! Distinguishes merchant certificates from platform certificates.

use std::borrow::Cow;

use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Tag, Tagged};
use x509_cert::name::Name;

use crate::identity::Mchid;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// The organization of merchant certificates ("WeChat Pay merchant system").
const MERCHANT_SYSTEM: &str = "微信商户系统";

/// Returns whether a certificate with this subject is a merchant API certificate.
///
/// Both kinds have the same issuer, `Tenpay.com Root CA`. The subject of a merchant certificate has been
/// seen with `CN=`(merchant number) and `O=微信商户系统`, that of a platform certificate with
/// `CN=Tenpay.com sign` and `O=Tenpay.com`. Either attribute of the merchant's is sufficient here, and a
/// subject with neither is accepted: which other subjects platform certificates may have is not documented.
pub(crate) fn is_merchants(subject: &Name) -> bool {
    subject.iter().any(|attribute| {
        let value = text(&attribute.value);
        match attribute.oid {
            COMMON_NAME => Mchid::new(value.trim()).is_ok(),
            ORGANIZATION => value.trim() == MERCHANT_SYSTEM,
            _ => false,
        }
    })
}

/// Decodes a string of any type. An undecodable one does not match.
fn text(value: &Any) -> Cow<'_, str> {
    if value.tag() == Tag::BmpString {
        let (pairs, _) = value.value().as_chunks::<2>();
        let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
        return char::decode_utf16(units).map(Result::unwrap_or_default).collect();
    }
    String::from_utf8_lossy(value.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The subjects as OpenSSL prints them: of two issued merchant certificates and a platform certificate.
    #[test]
    fn a_merchant_is_known_by_its_number_or_its_organization() {
        for (subject, is) in [
            ("CN=1714645682,O=微信商户系统,OU=某某科技有限公司,C=CN,L=ShenZhen", true),
            ("C=CN,O=Tenpay.com,OU=Tenpay.com CA Center,CN=Tenpay.com sign", false),
            ("CN=1106605743", true),
            ("CN=shop,O=微信商户系统", true),
            ("CN=test,O=Internet Widgits Pty Ltd", false),
            ("OU=1106605743", false),
        ] {
            let subject: Name = subject.parse().unwrap();
            assert_eq!(is_merchants(&subject), is, "{subject}");
        }
    }

    #[test]
    fn every_type_of_string_is_read() {
        let units: Vec<u8> = MERCHANT_SYSTEM.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (tag, bytes) in
            [(Tag::Utf8String, MERCHANT_SYSTEM.as_bytes()), (Tag::BmpString, &units)]
        {
            assert_eq!(text(&Any::new(tag, bytes).unwrap()), MERCHANT_SYSTEM, "{tag}");
        }
        for tag in [Tag::PrintableString, Tag::TeletexString] {
            assert_eq!(text(&Any::new(tag, *b"1900007291").unwrap()), "1900007291", "{tag}");
        }
    }
}
