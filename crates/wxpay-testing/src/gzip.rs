//! The coding that a proxy may apply to a body.

/// Maximum length of a stored block.
const LONGEST_BLOCK: usize = 0xffff;

/// Encodes a body as `gzip`, without compressing it.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc1952>, <https://www.rfc-editor.org/rfc/rfc1951>
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut coded = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut rest = body;
    loop {
        let (block, behind) = rest.split_at(rest.len().min(LONGEST_BLOCK));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        coded.push(u8::from(behind.is_empty()));
        coded.extend(length.to_le_bytes());
        coded.extend((!length).to_le_bytes());
        coded.extend(block);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    coded.extend(crc32(body).to_le_bytes());
    // The length has 32 bits.
    coded.extend(body.len().to_le_bytes().into_iter().take(4));
    coded
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn blocks_are_no_longer_than_they_may_be() {
        assert_eq!(gzip(b"").len(), 10 + 5 + 8);
        assert_eq!(gzip(&vec![7; LONGEST_BLOCK + 1]).len(), 10 + 2 * 5 + LONGEST_BLOCK + 1 + 8);
    }
}
