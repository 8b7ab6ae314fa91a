//! Reads the lines of a file, and knows where they are.

use std::io::{BufRead, BufReader, Read};

use super::error::JournalError;

/// No line is near this long.
const LONGEST: u64 = 1 << 20;

/// The lines of a file, one at a time.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    offset: u64,
}

impl<R: Read> Lines<R> {
    /// Begins at an offset, after so many lines.
    pub(crate) fn new(reader: R, offset: u64, number: u64) -> Self {
        Self::with_capacity(64 << 10, reader, offset, number)
    }

    /// The same with a buffer of so many bytes.
    pub(crate) fn with_capacity(bytes: usize, reader: R, offset: u64, number: u64) -> Self {
        Self { reader: BufReader::with_capacity(bytes, reader), line: Vec::new(), number, offset }
    }

    /// Returns the next line without its end; `None` at the end, and instead of a last line that has no end.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, JournalError> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(LONGEST);
        limited.read_until(b'\n', &mut self.line).map_err(JournalError::io("read"))?;
        if self.line.last() != Some(&b'\n') {
            if self.line.len() as u64 == LONGEST {
                return Err(JournalError::malformed(self.number + 1, "it is too long"));
            }
            return Ok(None);
        }
        self.number += 1;
        self.offset += self.line.len() as u64;
        self.line.pop();
        Ok(Some(&self.line))
    }

    /// Returns the number of the last line, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Returns where the last line ended.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_without_an_end_is_none() {
        let mut lines = Lines::new(&b"a\n\nb\ntorn"[..], 0, 0);
        assert_eq!(lines.next().unwrap(), Some(&b"a"[..]));
        assert_eq!(lines.next().unwrap(), Some(&b""[..]));
        assert_eq!(lines.next().unwrap(), Some(&b"b"[..]));
        for _ in 0..2 {
            assert_eq!(lines.next().unwrap(), None);
            assert_eq!((lines.number(), lines.offset()), (3, 5));
        }
    }

    #[test]
    fn a_line_without_an_end_in_sight_is_not_read() {
        let mut lines = Lines::new(std::io::repeat(b'x'), 0, 4);
        let error = lines.next().unwrap_err();
        assert!(matches!(error, JournalError::Malformed { line: 5, .. }), "{error:?}");
    }
}
