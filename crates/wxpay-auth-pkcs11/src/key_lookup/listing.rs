//! Lists the objects of a token for errors: the wanted key may be there under another name.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use percent_encoding::percent_encode_byte;
use wxpay_auth_core::foreign_text;
use wxpay_auth_core::internal::may_be_path;

use crate::error::Pkcs11Error;
use crate::return_value::Called;
use crate::uri::Pkcs11Uri;

/// The maximum number of listed objects per kind.
const MOST_LISTED: usize = 16;
/// The maximum length of a label, in characters.
const MOST_LABEL: usize = 48;
/// The maximum length of an id, in bytes.
const MOST_ID: usize = 32;

/// Lists the private keys and the certificates of a token.
pub(crate) fn keys_and_certificates(session: &Session) -> Result<String, Pkcs11Error> {
    let mut listed = Vec::new();
    for (class, name) in
        [(ObjectClass::PRIVATE_KEY, "private key"), (ObjectClass::CERTIFICATE, "certificate")]
    {
        let handles = session.find_objects(&[Attribute::Class(class)]).called()?;
        listed.extend(objects(session, name, &handles)?);
    }
    Ok(joined(&listed))
}

/// Lists private keys.
pub(crate) fn private_keys(
    session: &Session,
    handles: &[ObjectHandle],
) -> Result<String, Pkcs11Error> {
    Ok(joined(&objects(session, "private key", handles)?))
}

/// Joins the list, or returns `none` if it is empty.
pub(crate) fn joined(listed: &[String]) -> String {
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
}

/// Keeps the first few, and adds how many more there are.
pub(crate) fn bounded(mut listed: Vec<String>, all: usize) -> Vec<String> {
    listed.truncate(MOST_LISTED);
    if all > listed.len() {
        listed.push(format!("and {} more", all - listed.len()));
    }
    listed
}

fn objects(
    session: &Session,
    name: &str,
    handles: &[ObjectHandle],
) -> Result<Vec<String>, Pkcs11Error> {
    let mut listed = Vec::new();
    for handle in handles.iter().take(MOST_LISTED) {
        let (mut label, mut id) = (Vec::new(), Vec::new());
        let wanted = [AttributeType::Label, AttributeType::Id];
        for attribute in session.get_attributes(*handle, &wanted).called()? {
            match attribute {
                Attribute::Label(bytes) => label = bytes,
                Attribute::Id(bytes) => id = bytes,
                _ => {}
            }
        }
        listed.push(object(name, &label, &id));
    }
    Ok(bounded(listed, handles.len()))
}

fn object(name: &str, label: &[u8], id: &[u8]) -> String {
    let label = foreign_text(&String::from_utf8_lossy(label), MOST_LABEL, &[]);
    let id = match id {
        [] => "no id".to_owned(),
        id => match id.get(..MOST_ID) {
            Some(head) if head.len() < id.len() => format!("{}…", id_attribute(head)),
            _ => id_attribute(id),
        },
    };
    format!("{name} {label:?} ({id})")
}

/// Formats an id as in a URI.
pub(crate) fn id_attribute(id: &[u8]) -> String {
    id.iter().fold("id=".to_owned(), |attribute, byte| attribute + percent_encode_byte(*byte))
}

/// Parses an id in hexadecimal, as tools print it: `6deb45`, `6d:eb:45`.
pub(crate) fn id_of_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b':').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| {
        let digits = pair.iter().all(u8::is_ascii_hexdigit).then_some(pair)?;
        u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    pairs.iter().map(byte).collect()
}

/// Returns the command that lists the objects on the token of this session.
pub(crate) fn command(session: &Session, uri: &Pkcs11Uri) -> Result<String, Pkcs11Error> {
    let slot = session.get_session_info().called()?.slot_id().id();
    let module = uri.module_path.as_deref().filter(|path| may_be_path(path));
    let module = module.map_or("MODULE".into(), |path| quoted(&path.to_string_lossy()));
    Ok(format!("pkcs11-tool --module {module} --slot {slot} --login --list-objects"))
}

/// Quotes a text for a shell, if necessary.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_in_one_line() {
        assert_eq!(object("private key", b"merchant", &[1]), "private key \"merchant\" (id=%01)");
        assert_eq!(object("certificate", b"", &[]), "certificate \"\" (no id)");
        let long = object("certificate", "商\n\u{202e}户".repeat(40).as_bytes(), &[0xab; 33]);
        assert!(!long.contains(['\n', '\u{202e}']), "{long}");
        assert_eq!(long.matches("%AB").count(), 32, "{long}");
        assert!(long.ends_with("…)") && long.chars().count() < 180, "{long}");
        assert!(object("certificate", b"\xff\xfe", &[]).contains('\u{fffd}'));
    }

    #[test]
    fn a_list_has_an_end() {
        let names = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(joined(&bounded(names(0), 0)), "none");
        assert_eq!(joined(&bounded(names(2), 2)), "0, 1");
        assert_eq!(bounded(names(16), 16).len(), 16);
        assert_eq!(bounded(names(17), 17).last().unwrap(), "and 1 more");
        assert!(joined(&bounded(names(16), 500)).ends_with("15, and 484 more"));
    }

    #[test]
    fn hexadecimal_text_is_known() {
        for text in ["6deb45", "6DEB45", "6d:eb:45"] {
            assert_eq!(id_of_hex(text.as_bytes()), Some(vec![0x6d, 0xeb, 0x45]), "{text}");
        }
        assert_eq!(id_of_hex(b"01"), Some(vec![1]));
        for text in ["", ":", "1", "6deb4", "merchant", "+1", "6d eb", "０１"] {
            assert_eq!(id_of_hex(text.as_bytes()), None, "{text}");
        }
        assert_eq!(id_attribute(&[0x6d, 0xeb]), "id=%6D%EB");
    }

    #[test]
    fn a_path_is_quoted_for_a_shell() {
        for (path, expected) in [
            ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/softhsm/libsofthsm2.so"),
            ("/opt/an hsm/lib.so", "'/opt/an hsm/lib.so'"),
            ("/opt/$(id)'s.so", "'/opt/$(id)'\\''s.so'"),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }
}
