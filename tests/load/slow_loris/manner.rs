//! Endless responses.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The form of an endless response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The first TLS message of the server.
    HandshakeByteByByte,
    StatusByteByByte,
    HeadersByteByByte,
    HeadersWithoutEnd,
    HeaderWithoutEnd,
    /// One 100 after another.
    ContinueWithoutEnd,
    /// A body with this status.
    BodyByteByByte(u16),
    /// A body without a declared length.
    OpenBodyByteByByte,
    OpenBodyWithoutEnd,
    ChunksByteByByte,
    ChunksWithoutEnd,
    ChunkExtensionWithoutEnd,
    TrailersWithoutEnd,
    BodyTooLargeByteByByte,
}

/// The pace of the repeated part.
enum Pace {
    ByteByByte,
    AtFullSpeed,
}

/// Pause of a slow server after each byte.
const REST: Duration = Duration::from_millis(50);

impl Manner {
    /// The manners that use HTTP.
    pub(crate) const HTTP: [Self; 16] = [
        Self::StatusByteByByte,
        Self::HeadersByteByByte,
        Self::HeadersWithoutEnd,
        Self::HeaderWithoutEnd,
        Self::ContinueWithoutEnd,
        Self::BodyByteByByte(200),
        Self::BodyByteByByte(202),
        Self::BodyByteByByte(403),
        Self::BodyByteByByte(500),
        Self::OpenBodyByteByByte,
        Self::OpenBodyWithoutEnd,
        Self::ChunksByteByByte,
        Self::ChunksWithoutEnd,
        Self::ChunkExtensionWithoutEnd,
        Self::TrailersWithoutEnd,
        Self::BodyTooLargeByteByByte,
    ];

    /// Returns whether only a timeout ends the response.
    pub(crate) fn ends_by_time(self) -> bool {
        self.is_slow() && self != Self::BodyTooLargeByteByByte
    }

    pub(crate) fn is_slow(self) -> bool {
        matches!(self.pace(), Pace::ByteByByte)
    }

    /// Sends the response until the client closes the connection.
    pub(crate) async fn response(self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let (begin, then) = self.words();
        to.write_all(&begin).await?;
        match self.pace() {
            Pace::ByteByByte => {
                for byte in then.iter().cycle() {
                    to.write_all(&[*byte]).await?;
                    tokio::time::sleep(REST).await;
                }
            }
            Pace::AtFullSpeed => loop {
                to.write_all(&then).await?;
            },
        }
        Ok(())
    }

    fn pace(self) -> Pace {
        match self {
            Self::HandshakeByteByByte
            | Self::StatusByteByByte
            | Self::HeadersByteByByte
            | Self::BodyByteByByte(_)
            | Self::OpenBodyByteByByte
            | Self::ChunksByteByByte
            | Self::BodyTooLargeByteByByte => Pace::ByteByByte,
            Self::HeadersWithoutEnd
            | Self::HeaderWithoutEnd
            | Self::ContinueWithoutEnd
            | Self::OpenBodyWithoutEnd
            | Self::ChunksWithoutEnd
            | Self::ChunkExtensionWithoutEnd
            | Self::TrailersWithoutEnd => Pace::AtFullSpeed,
        }
    }

    /// Returns the beginning, and the part that is then repeated.
    fn words(self) -> (Vec<u8>, Vec<u8>) {
        const OK: &str = "HTTP/1.1 200 OK\r\n";
        const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let many = |piece: &str| piece.repeat(512).into_bytes();
        let (begin, then) = match self {
            // A record that announces 16 KiB, containing a server hello that announces as much.
            Self::HandshakeByteByByte => {
                return (b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xf0\x03\x03".to_vec(), vec![0]);
            }
            Self::StatusByteByByte => ("HTTP/1.1 200 O".to_owned(), b"K".to_vec()),
            Self::HeadersByteByByte => (OK.to_owned(), b"X-Name: value\r\n".to_vec()),
            Self::HeadersWithoutEnd => (OK.to_owned(), many("X-Name: value\r\n")),
            Self::HeaderWithoutEnd => (format!("{OK}X-Name: "), many("value")),
            Self::ContinueWithoutEnd => (String::new(), many("HTTP/1.1 100 Continue\r\n\r\n")),
            Self::BodyByteByByte(status) => {
                (format!("HTTP/1.1 {status} Status\r\nContent-Length: 900000\r\n\r\n"), vec![b' '])
            }
            Self::OpenBodyByteByByte => (format!("{OK}\r\n"), vec![b' ']),
            Self::OpenBodyWithoutEnd => (format!("{OK}\r\n"), many(" ")),
            Self::ChunksByteByByte => (CHUNKED.to_owned(), b"1\r\n \r\n".to_vec()),
            Self::ChunksWithoutEnd => (CHUNKED.to_owned(), many("10\r\n0123456789abcdef\r\n")),
            Self::ChunkExtensionWithoutEnd => (format!("{CHUNKED}1;"), many("name=value;")),
            Self::TrailersWithoutEnd => (format!("{CHUNKED}0\r\n"), many("X-Name: value\r\n")),
            Self::BodyTooLargeByteByByte => {
                (format!("{OK}Content-Length: 9000000\r\n\r\n"), vec![b' '])
            }
        };
        (begin.into_bytes(), then)
    }
}
