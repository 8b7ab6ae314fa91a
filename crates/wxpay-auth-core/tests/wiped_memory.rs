//! What was read of a private key is wiped: neither its text nor its DER is in the memory of the process. The parsed
//! key is, in a form of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]
#![cfg(target_os = "linux")]

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};

use wxpay_auth_core::{ApiV3Key, FileKeySigner, PrivateKey, SerialNo};

const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/merchant_private_key.pem");

/// The test itself holds nothing of the key but masked.
const MASK: u8 = 0xA5;

/// Pieces of the key, masked: lines of its text, and what they say.
struct Pieces {
    text: Vec<Vec<u8>>,
    der: Vec<Vec<u8>>,
}

impl Pieces {
    /// Reads the key byte by byte, so that no buffer of the test's own holds more than a few of them.
    fn read() -> Self {
        let (mut file, mut byte) = (File::open(KEY).unwrap(), [0; 1]);
        let mut lines = vec![Vec::new()];
        while file.read(&mut byte).unwrap() == 1 {
            match byte[0] {
                b'\n' => lines.push(Vec::new()),
                _ => lines.last_mut().unwrap().push(byte[0] ^ MASK),
            }
        }
        // Behind the modulus, which is public, and before the last line, which is short.
        let text: Vec<_> = lines.drain(10..20).collect();
        let der = text.iter().map(|line| decoded(line)).collect();
        Self { text, der }
    }
}

/// Decodes base64 from masked to masked.
fn decoded(masked: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut der = Vec::new();
    for four in masked.chunks_exact(4) {
        let number = four.iter().fold(0, |number: u32, masked| {
            let digit = ALPHABET.iter().position(|c| *c == masked ^ MASK).unwrap();
            number << 6 | u32::try_from(digit).unwrap()
        });
        der.extend(number.to_be_bytes()[1..].iter().map(|byte| byte ^ MASK));
    }
    der
}

/// As much of a piece as is looked for.
const PART: usize = 16;

/// Counts in how many places of this process's memory one of the pieces lies.
fn count(pieces: &[Vec<u8>]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let (mut buffer, mut found) = (vec![0; 1 << 20], 0);
    let mut begins = [false; 256];
    for piece in pieces {
        begins[usize::from(piece[0] ^ MASK)] = true;
    }
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        // The kernel's own pages have nothing of the process.
        if !rest.starts_with("rw") || rest.contains("[v") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (mut from, to) = (number(from), number(to));
        while from < to {
            memory.seek(SeekFrom::Start(from)).unwrap();
            let wanted = buffer.len().min(usize::try_from(to - from).unwrap());
            // What was unmapped meanwhile is no more.
            let Ok(read) = memory.read(&mut buffer[..wanted]) else { break };
            for (at, _) in
                buffer[..read].iter().enumerate().filter(|(_, byte)| begins[usize::from(**byte)])
            {
                let is_here = |piece: &&Vec<u8>| {
                    let part = &buffer[at..read.min(at + PART)];
                    part.len() == PART
                        && part.iter().zip(*piece).all(|(byte, masked)| *byte == masked ^ MASK)
                };
                found += pieces.iter().filter(is_here).count();
            }
            // What was found once is not found again in here.
            buffer.fill(0);
            black_box(&buffer);
            if read < PART || read < wanted || wanted < buffer.len() {
                break;
            }
            // A piece may lie across.
            from += u64::try_from(read - PART + 1).unwrap();
        }
    }
    found
}

/// An APIv3 key leaves no copy behind where it is moved. The text here is not in memory that is written.
fn the_api_v3_key_is_wiped() {
    const TEXT: &str = "Wn4vT8qKz1RbXo7LcYd2MhFj6PsGu5Ea";
    let piece = [TEXT.bytes().map(|byte| byte ^ MASK).collect()];
    let key = black_box(std::sync::Arc::new(ApiV3Key::new(TEXT).unwrap()));
    assert_eq!(count(&piece), 1, "it is found while it is there");
    drop(key);
    assert_eq!(count(&piece), 0, "it is wiped");
}

/// It is alone in its process.
#[test]
fn the_text_and_the_der_of_a_key_are_wiped() {
    the_api_v3_key_is_wiped();
    let pieces = Pieces::read();
    let serial_no = || SerialNo::new("5F1C72E2A8931B72A2E13AF8DEE92471EB397115").unwrap();
    let signer = FileKeySigner::from_pem_file(KEY, serial_no()).unwrap();
    let key = PrivateKey::from_pem_file(KEY).unwrap();
    let counts = || (count(&pieces.text), count(&pieces.der));
    assert_eq!(counts(), (0, 0), "it is wiped");
    #[cfg(feature = "aws-lc-rs")]
    let decryptor = wxpay_auth_core::FileKeyDecryptor::from_pem_file(KEY, serial_no()).unwrap();
    #[cfg(feature = "aws-lc-rs")]
    assert_eq!(counts(), (0, 0), "nor is the form in which it is handed to the decryptor left");
    drop((signer, key));
    #[cfg(feature = "aws-lc-rs")]
    drop(decryptor);
    assert_eq!(counts(), (0, 0), "nor does it come back");

    // What is not wiped is found.
    let text = std::fs::read_to_string(KEY).unwrap();
    assert!(counts().0 >= pieces.text.len(), "{:?}", counts());
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &body).unwrap();
    assert!(counts().1 >= pieces.der.len(), "{:?}", counts());
    black_box((text, body, der));
}
