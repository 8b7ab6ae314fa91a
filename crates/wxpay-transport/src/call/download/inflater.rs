//! Unzips content that arrives in pieces, into a buffer of fixed size.

use std::io::{self, BufRead, ErrorKind, Read};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;

/// Size of the buffer.
const BUFFER: usize = 32 << 10;

/// Unzips gzip of one or several members.
pub(crate) struct Inflater {
    decoder: MultiGzDecoder<Feed>,
    buffer: Vec<u8>,
}

/// What has arrived and was not unzipped yet.
#[derive(Debug, Default)]
struct Feed {
    chunk: Bytes,
    is_whole: bool,
}

impl Inflater {
    /// Adds the next bytes, after [`next`](Self::next) has returned `None`.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        self.decoder.get_mut().chunk = chunk;
    }

    /// Records that no more bytes come.
    pub(crate) fn end(&mut self) {
        self.decoder.get_mut().is_whole = true;
    }

    /// Returns the next unzipped bytes; `None` if there are none before more bytes arrive, or at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        match self.decoder.read(&mut self.buffer) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(self.buffer.get(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { decoder: MultiGzDecoder::new(Feed::default()), buffer: vec![0; BUFFER] }
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // The decoder keeps its state, and asks again.
        if self.chunk.is_empty() && !self.is_whole {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, length: usize) {
        self.chunk.advance(length.min(self.chunk.len()));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn zipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// Unzips content that arrives in pieces of this length.
    fn unzip(gzip: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let (mut inflater, mut unzipped) = (Inflater::default(), Vec::new());
        for piece in gzip.chunks(piece) {
            inflater.feed(Bytes::copy_from_slice(piece));
            while let Some(bytes) = inflater.next()? {
                assert!(bytes.len() <= BUFFER);
                unzipped.extend_from_slice(bytes);
            }
            assert!(inflater.decoder.get_ref().chunk.is_empty(), "all of it was used");
        }
        inflater.end();
        while let Some(bytes) = inflater.next()? {
            unzipped.extend_from_slice(bytes);
        }
        Ok(unzipped)
    }

    fn content() -> Vec<u8> {
        let line = |n: u32| format!("{n},`微信订单号,`{}\r\n", n.wrapping_mul(2_654_435_761));
        (0..5000).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn pieces_of_any_length_are_unzipped() {
        let content = content();
        let gzip = zipped(&content);
        for piece in [1, 2, 3, 9, 10, 11, 1000, usize::MAX] {
            assert_eq!(unzip(&gzip, piece).unwrap(), content, "{piece}");
        }
        assert_eq!(unzip(&zipped(b""), 1).unwrap(), b"");
    }

    #[test]
    fn several_members_are_one_content() {
        let gzip = [zipped(b"one,"), zipped(b""), zipped(b"two")].concat();
        for piece in [1, 7, usize::MAX] {
            assert_eq!(unzip(&gzip, piece).unwrap(), b"one,two", "{piece}");
        }
    }

    #[test]
    fn what_is_cut_or_changed_or_followed_by_something_is_an_error() {
        let gzip = zipped(&content());
        for piece in [7, usize::MAX] {
            for cut in [2, 9, 10, 11, 500, gzip.len() - 8, gzip.len() - 1] {
                assert!(unzip(&gzip[..cut], piece).is_err(), "cut at {cut}");
            }
            for changed in [0, 2, 12, 2000, gzip.len() - 8, gzip.len() - 1] {
                let mut gzip = gzip.clone();
                gzip[changed] ^= 0x40;
                assert!(unzip(&gzip, piece).is_err(), "changed at {changed}");
            }
            let longer = [&gzip[..], b"more"].concat();
            assert!(unzip(&longer, piece).is_err());
        }
    }
}
