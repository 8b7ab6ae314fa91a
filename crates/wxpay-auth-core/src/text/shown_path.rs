//! Which paths may be shown: the content of a file may have been given instead of its path.

use std::fmt;
use std::path::{Component, Path};

/// No path, nor a name in one, is longer on the supported systems.
const MAX_PATH: usize = 1024;
const MAX_NAME: usize = 255;

/// From this length on, a text with a single kind of characters is taken for a key.
const MIN_KEY: usize = 24;

/// Shows a path, unless it looks like the content of a file.
pub struct Shown<'a>(pub &'a Path);

/// Shows the path of a file with a secret that people can type: a PIN, a password, a token. Any short text
/// may be such a secret, so only a complete path is shown: absolute, with at least one directory.
pub struct ShownSecret<'a>(pub &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, may_be_path(self.0))
    }
}

impl fmt::Display for ShownSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, may_be_path_of_secret(self.0))
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ShownSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn show(f: &mut fmt::Formatter<'_>, path: &Path, is_shown: bool) -> fmt::Result {
    if is_shown { write!(f, "{}", path.display()) } else { f.write_str("(not shown)") }
}

/// Returns whether a path of a file with a secret may be shown.
pub fn may_be_path_of_secret(path: &Path) -> bool {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    path.is_absolute() && names >= 2 && may_be_path(path)
}

/// Returns whether a text may be a path. In doubt it returns `false`: hiding a path costs little, showing a
/// key does not.
pub fn may_be_path(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let long_name = |part: Component<'_>| part.as_os_str().len() > MAX_NAME;
    !(text.chars().any(char::is_control)
        || text.contains("-----")
        || text.starts_with('{')
        || text.starts_with("eyJ")
        || (text.contains("://") && text.contains('@'))
        || text.len() > MAX_PATH
        || path.components().any(long_name)
        || is_encoded_key(&text)
        || is_long_word(&text))
}

/// Returns whether a text is a DER key or a PEM text in base64 or hexadecimal digits.
fn is_encoded_key(text: &str) -> bool {
    let text: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=-_".contains(b);
    // A SEQUENCE begins with 0x30 and its length; a PEM text with three dashes.
    let is_sequence = |text: &[u8]| matches!(text, [b'M', b'A'..=b'I', ..]);
    let begins = is_sequence(&text) || text.starts_with(b"LS0t");
    let is_hex = text.starts_with(b"30") && text.iter().all(u8::is_ascii_hexdigit);
    text.len() >= MIN_KEY && (is_hex || (begins && text.iter().all(is_base64)))
}

/// Returns whether a text is one long word without the characters of a path: a directory or a file
/// extension. Random base64 has slashes, but mixes all kinds of letters, and has no dot.
fn is_long_word(text: &str) -> bool {
    if text.len() < MIN_KEY || text.starts_with(['/', '\\', '.', '~']) {
        return false;
    }
    if !text.contains(['/', '\\']) {
        let end = text.rsplit_once('.').map(|(_, end)| end);
        return !end.is_some_and(|end| {
            (1..=8).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_alphanumeric())
        });
    }
    let has = |kind: fn(&u8) -> bool| text.bytes().any(|b| kind(&b));
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");

    #[test]
    fn paths_are_shown() {
        for path in [
            "apiclient_key.pem",
            "apiclient_key",
            "./key",
            "../keys/apiclient_key.pem",
            "/run/secrets/wxpay/apiclient_key",
            "/etc/Wx9/Keys/2024/apiclient",
            "/home/用户/密钥 1.pem",
            "MERCHANT/key.pem",
            "Merchant/keys",
            "merchant-1900007291-apiclient-key.pem",
            "/var/lib/kubelet/pods/0c3f7a52-9d5c-4a51-8f2e-5f0ce5d6a1f7/volumes/key",
            "C:\\keys\\apiclient_key.pem",
            "file:///run/key.pem",
            "",
        ] {
            assert!(may_be_path(Path::new(path)), "{path}");
            assert_eq!(Shown(Path::new(path)).to_string(), path);
        }
    }

    #[test]
    fn what_belongs_into_a_file_is_not_shown() {
        let body: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
        for content in [
            KEY,
            &KEY.replace('\n', " "),
            &KEY.replace('\n', "\\n"),
            &body,
            &body[..64],
            &body.replace('+', "-").replace('/', "_"),
            "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
            "308204bd020100300d06092a864886f70d01",
            "Hq3ZtL8vWc5RyB2nKd9MfJ6sGp4XzT7u",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "hvs.CAESIJ3nVf8wQpXkYzBcDmGh",
            "eyJhbGciOiJSUzI1NiJ9.eyJ.c2",
            "{\"kty\":\"RSA\"}",
            "https://user:hunter2@host/key.pem",
            "hunter2\n",
            &"a/".repeat(600),
            &format!("/{}", "a".repeat(256)),
        ] {
            assert!(!may_be_path(Path::new(content)), "{content}");
            assert_eq!(format!("{:?}", Shown(Path::new(content))), "(not shown)");
        }
    }

    #[test]
    fn of_a_secret_only_a_whole_path_is_shown() {
        let shown = |path: &str| ShownSecret(Path::new(path)).to_string();
        assert_eq!(shown("/run/secrets/pin"), "/run/secrets/pin");
        for content in ["S3cretPin", "a/b1", "/S3cret", "pin.txt", "./pin", "", "/run/a\nb"] {
            assert_eq!(shown(content), "(not shown)", "{content}");
        }
    }
}
