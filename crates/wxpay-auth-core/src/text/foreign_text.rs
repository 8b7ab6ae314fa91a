//! Text from outside, made safe for an error or a log.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

/// Replaces what was removed.
const CUT: &str = "[…]";
/// Minimum length of a piece of a secret that is removed by itself. So many bytes are a `u128`.
const PIECE: usize = 16;
/// So many pieces of what was sent are indexed, rather than those of the text.
const FEW: usize = 1 << 10;
/// How much of a text is processed, in bytes. Far less is ever shown.
const MOST_BYTES: usize = 64 << 10;
/// Maximum levels of escaping.
const ESCAPES: usize = 3;

/// Makes a text from outside safe for an error or a log.
///
/// Returns one line of at most so many characters: characters that control lines or their direction, or are
/// invisible, become spaces. What was `sent` is removed (`[…]`): each secret, and each piece of one with 16
/// characters or more, however it is escaped (`%2B`, `\u002b`, `&#43;`, `\/`), in any case, across line
/// breaks, and in either Base64 alphabet.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::foreign_text;
///
/// let sent = "Bearer 2wfzSLvG0WnCv5bSgGmbyQ==";
/// let text = "no such header:\r\nAuthorization: Bearer 2wfzSLvG0WnCv5bSgGmbyQ%3D%3D";
/// assert_eq!(foreign_text(text, 300, &[sent]), "no such header:  Authorization: […]");
/// ```
pub fn foreign_text(text: &str, most: usize, sent: &[&str]) -> String {
    SentTexts::new(sent.iter().copied()).foreign_text(text, most)
}

/// Removes what was sent from a text, and changes nothing else.
pub fn without<'t>(text: &'t str, sent: &[&str]) -> Cow<'t, str> {
    SentTexts::new(sent.iter().copied()).without(text)
}

/// What was sent, prepared once for several texts.
#[derive(Default)]
pub struct SentTexts {
    /// Unescaped; none is empty.
    secrets: Vec<Vec<u8>>,
    /// Made for the first text that may have a piece: a response may have many texts.
    few: OnceLock<FewPieces>,
}

/// An index of the pieces of what was sent, if these are few.
struct FewPieces {
    pieces: HashSet<u128>,
    /// Most pieces of a text end here.
    may_be: Vec<bool>,
}

impl SentTexts {
    /// Prepares what was sent.
    pub fn new<'s>(sent: impl IntoIterator<Item = &'s str>) -> Self {
        let secrets = sent.into_iter().map(|secret| bytes(&plain(secret)));
        let secrets = secrets.filter(|secret| !secret.is_empty()).collect();
        Self { secrets, few: OnceLock::new() }
    }

    /// Makes a text safe, as the function of this name does.
    pub fn foreign_text(&self, text: &str, most: usize) -> String {
        let seen = |c| if is_seen(c) { c } else { ' ' };
        self.without(head(text)).chars().map(seen).take(most).collect()
    }

    /// Removes what was sent from a text, and changes nothing else.
    pub fn without<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let cuts = self.cuts(text);
        if cuts.is_empty() {
            return text.into();
        }
        let (mut left, mut at) = (String::new(), 0);
        for cut in cuts {
            left.push_str(text.get(at..cut.start).unwrap_or_default());
            left.push_str(CUT);
            at = cut.end;
        }
        left.push_str(text.get(at..).unwrap_or_default());
        left.into()
    }

    /// Returns the ranges to remove from a text, in order.
    fn cuts(&self, text: &str) -> Vec<Range<usize>> {
        // Unescaping makes no text longer.
        let shortest = self.secrets.iter().map(|secret| secret.len().min(PIECE)).min();
        if shortest.is_none_or(|shortest| text.len() < shortest) {
            return Vec::new();
        }
        // Most texts need no unescaping, and their positions stay.
        if let Some(searched) = unchanged(text) {
            return self.found(&searched);
        }
        let text = plain(text);
        let in_text = |range: Range<usize>| {
            let (first, last) = (text.get(range.start)?, text.get(range.end.checked_sub(1)?)?);
            Some(first.start..last.end)
        };
        self.found(&bytes(&text)).into_iter().filter_map(in_text).collect()
    }

    /// Returns the ranges of an unescaped text to remove, in order and apart.
    fn found(&self, searched: &[u8]) -> Vec<Range<usize>> {
        let mut found = self.short(searched);
        found.extend(self.pieces(searched));
        found.sort_unstable_by_key(|found| found.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for found in found {
            match merged.last_mut() {
                Some(last) if found.start <= last.end => last.end = last.end.max(found.end),
                _ => merged.push(found),
            }
        }
        merged
    }

    /// Finds the secrets that are shorter than a piece.
    fn short(&self, searched: &[u8]) -> Vec<Range<usize>> {
        let mut short: HashMap<usize, HashSet<&[u8]>> = HashMap::new();
        for secret in self.secrets.iter().filter(|secret| secret.len() < PIECE) {
            short.entry(secret.len()).or_default().insert(secret);
        }
        let mut found = Vec::new();
        for (length, secrets) in short {
            let windows = searched.windows(length).enumerate();
            let windows = windows.filter(|(_, window)| secrets.contains(window));
            found.extend(windows.map(|(at, _)| at..at + length));
        }
        found
    }

    /// Finds the pieces of the others.
    fn pieces(&self, searched: &[u8]) -> Vec<Range<usize>> {
        let of_secrets = self.secrets.iter().map(|secret| (secret.len() + 1).saturating_sub(PIECE));
        if of_secrets.sum::<usize>() <= FEW {
            self.few_pieces(searched)
        } else {
            self.many_pieces(searched)
        }
    }

    /// Indexes what was sent: a token or a signature, which is short.
    fn few_pieces(&self, searched: &[u8]) -> Vec<Range<usize>> {
        let few = self.few.get_or_init(|| FewPieces::new(&self.secrets));
        let found = pieces(searched).enumerate().filter(|(_, piece)| few.contains(*piece));
        found.map(|(at, _)| at..at + PIECE).collect()
    }

    /// Indexes the text, which is shorter than what was sent.
    fn many_pieces(&self, searched: &[u8]) -> Vec<Range<usize>> {
        let mut index: HashMap<u128, bool> = pieces(searched).map(|piece| (piece, false)).collect();
        if index.is_empty() {
            return Vec::new();
        }
        // Most pieces of what was sent end here.
        let mut may_be = vec![false; 1 << 16];
        for piece in index.keys() {
            if let Some(bit) = may_be.get_mut(slot(*piece)) {
                *bit = true;
            }
        }
        for piece in self.secrets.iter().flat_map(|secret| pieces(secret)) {
            if may_be.get(slot(piece)) == Some(&true)
                && let Some(is_found) = index.get_mut(&piece)
            {
                *is_found = true;
            }
        }
        let found =
            pieces(searched).enumerate().filter(|(_, piece)| index.get(piece) == Some(&true));
        found.map(|(at, _)| at..at + PIECE).collect()
    }
}

impl FewPieces {
    fn new(secrets: &[Vec<u8>]) -> Self {
        let pieces: HashSet<u128> = secrets.iter().flat_map(|secret| pieces(secret)).collect();
        let mut may_be = vec![false; 1 << 12];
        for piece in &pieces {
            if let Some(bit) = may_be.get_mut(slot(*piece) >> 4) {
                *bit = true;
            }
        }
        Self { pieces, may_be }
    }

    fn contains(&self, piece: u128) -> bool {
        self.may_be.get(slot(piece) >> 4) == Some(&true) && self.pieces.contains(&piece)
    }
}

/// Does not show what was sent.
impl fmt::Debug for SentTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentTexts").finish_non_exhaustive()
    }
}

/// Returns each piece as a number.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = u128> {
    let numbers = bytes.iter().scan(0_u128, |piece, byte| {
        *piece = *piece << 8 | u128::from(*byte);
        Some(*piece)
    });
    numbers.skip(PIECE - 1)
}

/// Returns a number below 2^16.
fn slot(piece: u128) -> usize {
    let mixed = piece.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let [high, low, ..] = mixed.to_be_bytes();
    usize::from(u16::from_be_bytes([high, low]))
}

fn head(text: &str) -> &str {
    let end = (0..=MOST_BYTES).rev().find(|end| text.is_char_boundary(*end));
    if text.len() > MOST_BYTES { text.get(..end.unwrap_or(0)).unwrap_or_default() } else { text }
}

/// The others end a line, change its direction, or are invisible.
fn is_seen(c: char) -> bool {
    let is_hidden = matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !c.is_control() && !is_hidden
}

/// A byte of an unescaped text, and its position in the original text.
#[derive(Clone, Copy)]
struct Plain {
    byte: u8,
    start: usize,
    end: usize,
}

fn bytes(plain: &[Plain]) -> Vec<u8> {
    plain.iter().map(|plain| plain.byte).collect()
}

/// Undoes common transformations of a repeated text.
fn plain(text: &str) -> Vec<Plain> {
    let bytes = |(start, c): (usize, char)| {
        let end = start + c.len_utf8();
        let bytes = text.get(start..end).unwrap_or_default().bytes();
        bytes.map(move |byte| Plain { byte, start, end })
    };
    let seen = text.char_indices().filter(|(_, c)| is_seen(*c));
    let mut plain: Vec<Plain> = seen.flat_map(bytes).collect();
    for _ in 0..ESCAPES {
        if !plain.iter().any(|p| begins_escape(p.byte)) {
            break;
        }
        let before = plain.len();
        plain = unescaped(&plain);
        if plain.len() == before {
            break;
        }
    }
    plain.retain(|p| !p.byte.is_ascii_control() && p.byte != b'\\');
    for p in &mut plain {
        p.byte = alike(p.byte);
    }
    plain
}

/// Returns the bytes of a text that has nothing to undo, as `plain` does; lines may end it.
fn unchanged(text: &str) -> Option<Vec<u8>> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !begins_escape(byte);
    let text = text.trim_end_matches(['\r', '\n']);
    text.bytes().all(is_plain).then(|| text.bytes().map(alike).collect())
}

/// Makes bytes equal that stand for each other.
fn alike(byte: u8) -> u8 {
    match byte {
        // URL-safe Base64 has other symbols, and in a form a plus stands for a space.
        b'+' | b' ' => b'-',
        b'_' => b'/',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Undoes one level of escaping.
fn unescaped(mut rest: &[Plain]) -> Vec<Plain> {
    let mut plain = Vec::with_capacity(rest.len());
    while let [first, behind @ ..] = rest {
        let (byte, length) = escape(rest).unwrap_or((first.byte, 1));
        let end = rest.get(length - 1).map_or(first.end, |last| last.end);
        plain.push(Plain { byte, start: first.start, end });
        rest = rest.get(length..).unwrap_or(behind);
    }
    plain
}

fn begins_escape(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&')
}

/// Decodes an escape; returns its value and its length.
fn escape(text: &[Plain]) -> Option<(u8, usize)> {
    /// Maximum length of a character reference for ASCII.
    const LONGEST: usize = 10;
    if !text.first().is_some_and(|first| begins_escape(first.byte)) {
        return None;
    }
    let mut bytes = [0; LONGEST];
    for (byte, plain) in bytes.iter_mut().zip(text) {
        *byte = plain.byte;
    }
    let text = bytes.get(..text.len().min(LONGEST))?;
    let hex = |digits: &[u8]| {
        let digits =
            str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        u8::from_str_radix(digits?, 16).ok()
    };
    match text {
        [b'%', a, b, ..] | [b'\\', b'x', a, b, ..] => {
            let length = if text.first() == Some(&b'%') { 3 } else { 4 };
            Some((hex(&[*a, *b])?, length))
        }
        [b'\\', b'u', b'0', b'0', a, b, ..] => Some((hex(&[*a, *b])?, 6)),
        [b'&', reference @ ..] => {
            let end = reference.iter().position(|b| *b == b';')?;
            let byte = match reference.get(..end)? {
                b"amp" => b'&',
                b"quot" => b'"',
                b"apos" => b'\'',
                b"lt" => b'<',
                b"gt" => b'>',
                [b'#', b'x' | b'X', digits @ ..] => hex(digits)?,
                [b'#', digits @ ..] => str::from_utf8(digits).ok()?.parse().ok()?,
                _ => return None,
            };
            Some((byte, end + 2))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const TOKEN: &str = "hvs.CAESIJpXk2s+Lw/8yT7m0aZ==";

    fn signature() -> Vec<u8> {
        (0..=255_u8).map(|n| n.wrapping_mul(167).wrapping_add(43)).collect()
    }

    fn authorization() -> String {
        let signature = STANDARD.encode(signature());
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"1900007291\",nonce_str=\"593BEC0C930BF1AFEB40B4A08C8FB242\",\
             timestamp=\"1554208460\",serial_no=\"408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB\",\
             signature=\"{signature}\""
        )
    }

    /// Asserts that no piece of 16 or more characters is shown.
    fn assert_cut(secret: &str, shown: &str) {
        let secret: Vec<char> = secret.chars().collect();
        for piece in secret.windows(PIECE) {
            let piece: String = piece.iter().collect();
            assert!(!shown.contains(&piece), "{piece:?} in {shown:?}");
        }
    }

    #[test]
    fn a_text_is_one_line_of_some_length() {
        let shown = |text| foreign_text(text, 8, &[]);
        assert_eq!(shown("a\r\nb\tc\u{0}\u{85}d"), "a  b c  ");
        assert_eq!(shown("a\u{2028}b\u{2029}c\u{7f}d"), "a b c d");
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{200f}d"), "a b c d", "nothing turns it round");
        assert_eq!(shown("a\u{200b}b\u{feff}c\u{ad}d"), "a b c d", "nothing hides in it");
        assert_eq!(shown("文文文文文文文文文"), "文文文文文文文文");
        assert_eq!(foreign_text(&"x".repeat(1 << 20), usize::MAX, &[]).len(), MOST_BYTES);
        assert_eq!(foreign_text(&"文".repeat(1 << 20), usize::MAX, &[]).len(), MOST_BYTES - 1);
        assert_eq!(foreign_text("", 0, &[""]), "");
    }

    #[test]
    fn what_was_sent_is_cut_out() {
        let shown = |text: &str| foreign_text(text, 300, &["", TOKEN, "hunter2"]);
        assert_eq!(shown(&format!("no {TOKEN}, no {TOKEN}!")), "no […], no […]!");
        assert_eq!(shown("no hunter2, no HUNTER2; hun\nter2"), "no […], no […]; […]");
        assert_eq!(shown("no hunter"), "no hunter", "a piece of a short one is none");
        assert_eq!(shown("CAESIJpXk2s+Lw/8y"), "[…]");
        assert_eq!(shown("CAESIJpXk2s+Lw/"), "CAESIJpXk2s+Lw/", "too short");
        assert_eq!(shown(&format!("x{TOKEN}x")), "x[…]x");
        assert_eq!(foreign_text(&format!("{TOKEN} x"), 3, &[TOKEN]), "[…]");
    }

    #[test]
    fn it_is_cut_out_in_whatever_way_it_is_written() {
        let (authorization, base64) = (authorization(), STANDARD.encode(signature()));
        let percent = |text: &str| {
            let each = |b: u8| format!("%{b:02x}");
            text.bytes()
                .map(|b| if b.is_ascii_alphanumeric() { char::from(b).into() } else { each(b) })
                .collect::<String>()
        };
        let each = |written: fn(u8) -> String| base64.bytes().map(written).collect::<String>();
        let all_percent = each(|b| format!("%{b:02X}"));
        let entities = each(|b| format!("&#{b};"));
        let lines: Vec<String> =
            base64.as_bytes().chunks(20).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        let unicode = each(|b| format!("\\u00{b:02x}"));
        for written in [
            authorization.clone(),
            authorization.to_lowercase(),
            authorization.replace('"', "&quot;"),
            authorization.replace('"', "\\\""),
            percent(&authorization),
            percent(&percent(&authorization)),
            base64.replace('+', " "),
            base64.replace('/', "\\/"),
            URL_SAFE.encode(signature()),
            all_percent,
            entities,
            unicode,
            lines.join("\r\n"),
            lines.join("\u{200b}"),
        ] {
            let shown = foreign_text(&format!("<{written}>"), 1000, &[&authorization]);
            assert_eq!(shown, "<[…]>", "{written}");
        }
    }

    #[test]
    fn every_piece_of_a_signature_is_cut_out() {
        let (authorization, base64) = (authorization(), STANDARD.encode(signature()));
        for begin in 0..=base64.len() - PIECE {
            let piece = &base64[begin..begin + PIECE];
            let shown = foreign_text(&format!("sig {piece}."), 300, &[&authorization]);
            assert_cut(&base64, &shown);
            assert!(shown.starts_with("si") && shown.contains(CUT), "{shown}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_fit(text in "(%|&|#|;|\\\\|u|x|[0-9a-f]|\\PC|.)*", most in 0_usize..40) {
            let shown = foreign_text(&text, most, &["abc", "0123456789abcdef0123456789abcdef"]);
            proptest::prop_assert!(shown.chars().count() <= most);
            proptest::prop_assert!(shown.chars().all(is_seen));
        }

        /// Compared with a search for each piece.
        #[test]
        fn every_piece_is_found(
            text in "[ab]{0,60}",
            sent in proptest::collection::vec("[ab]{0,40}", 0..4),
        ) {
            let mut is_cut = vec![false; text.len()];
            for secret in sent.iter().filter(|secret| !secret.is_empty()) {
                let length = secret.len().min(PIECE);
                for piece in secret.as_bytes().windows(length) {
                    for (at, window) in text.as_bytes().windows(length).enumerate() {
                        if window == piece {
                            is_cut[at..at + length].fill(true);
                        }
                    }
                }
            }
            let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
            let left: String = text.chars().zip(&is_cut).map(|(c, cut)| if *cut { '.' } else { c }).collect();
            let pieces: Vec<&str> = left.split('.').filter(|piece| !piece.is_empty()).collect();
            let shown = without(&text, &sent);
            let shown: Vec<&str> = shown.split(CUT).filter(|piece| !piece.is_empty()).collect();
            proptest::prop_assert_eq!(shown, pieces);
        }

        #[test]
        fn wherever_it_stands_it_is_cut_out(before in ".{0,30}", behind in ".{0,30}") {
            let shown = foreign_text(&format!("{before}{TOKEN}{behind}"), 300, &[TOKEN]);
            proptest::prop_assert!(!shown.contains(&TOKEN[..PIECE]) && shown.contains(CUT), "{}", shown);
        }
    }

    #[test]
    fn few_and_many_pieces_are_found_alike() {
        let secret = "2wfzSLvG0WnCv5bSgGmbyQ-0123456789-abcdefghijklmnop";
        let sent = SentTexts::new([secret, "another, of which no piece occurs"]);
        for text in [
            String::new(),
            secret[..15].to_owned(),
            secret[3..19].to_owned(),
            format!("a{}b{}c", &secret[..20], &secret[20..]),
            format!("{secret}{secret}").repeat(100),
            "nothing of it".repeat(1000),
        ] {
            let searched = bytes(&plain(&text));
            let few = sent.few_pieces(&searched);
            assert_eq!(few, sent.many_pieces(&searched), "{text}");
            let is_in = pieces(&searched).any(|piece| {
                sent.secrets.iter().any(|secret| pieces(secret).any(|of| of == piece))
            });
            assert_eq!(few.is_empty(), !is_in, "{text}");
        }
    }

    #[test]
    fn a_text_without_escapes_is_searched_as_one_with_them() {
        let all = (b' '..=b'~').map(char::from).collect::<String>();
        for text in [&all[..], "", "\r\n", "AAA+_ \n", "no\nend", "%2B", "&#43;", "\\/", "é"] {
            let (quick, whole) = (unchanged(text), bytes(&plain(text)));
            let is_plain = !text.trim_end().contains(['%', '&', '\\', '\n', 'é']);
            assert_eq!(quick, is_plain.then_some(whole), "{text:?}");
        }
    }
}
