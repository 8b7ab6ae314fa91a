//! The content of a file: counted, unzipped, hashed and written.

use std::error::Error as StdError;

use bytes::Bytes;
use ring::digest;
use tokio::io::{AsyncWrite, AsyncWriteExt};

#[cfg(feature = "gzip")]
use crate::call::download::inflater::Inflater;
use crate::error::DownloadFault;
use crate::message::download::{Download, Gunzip};
use crate::message::expected_hash::ExpectedHash;

/// Passes the content of a file on to a writer, in bounded memory.
pub(crate) struct Content<W> {
    writer: W,
    hash: ExpectedHash,
    digest: digest::Context,
    gunzip: Gunzip,
    max_bytes: u64,
    received: u64,
    written: u64,
    form: Form,
}

/// The form of the content.
enum Form {
    /// Less than the magic number of gzip has arrived.
    Unknown(Vec<u8>),
    Plain,
    /// Gzip that is written as it is.
    KeptGzip,
    #[cfg(feature = "gzip")]
    Gzip(Box<Inflater>),
}

/// The first bytes of gzip.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How many bytes are passed on before other tasks get their turn.
#[cfg(feature = "gzip")]
const TURN: u64 = 256 << 10;

/// The whole content was written, and its hash is the expected one.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) hash: ExpectedHash,
}

/// Why the content cannot be used, and the cause.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: DownloadFault,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(fault: DownloadFault, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { fault, source: Some(Box::new(source)) }
    }
}

impl From<DownloadFault> for Failure {
    fn from(fault: DownloadFault) -> Self {
        Self { fault, source: None }
    }
}

impl<W: AsyncWrite + Unpin> Content<W> {
    pub(crate) fn new(writer: W, download: &Download) -> Self {
        Self {
            writer,
            digest: digest::Context::new(download.hash.algorithm().digest()),
            hash: download.hash.clone(),
            gunzip: download.gunzip,
            max_bytes: download.max_bytes,
            received: 0,
            written: 0,
            form: Form::Unknown(Vec::new()),
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Returns whether the content was unzipped.
    pub(crate) fn was_gzip(&self) -> bool {
        !matches!(self.form, Form::Unknown(_) | Form::Plain | Form::KeptGzip)
    }

    /// Returns whether the content is gzip, and was not unzipped.
    pub(crate) fn is_kept_gzip(&self) -> bool {
        matches!(self.form, Form::KeptGzip)
    }

    /// Refuses a content that is announced to be too large.
    pub(crate) fn announced(&self, bytes: u64) -> Result<(), Failure> {
        if bytes > self.max_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    /// Takes the next bytes.
    pub(crate) async fn take(&mut self, chunk: Bytes) -> Result<(), Failure> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.announced(self.received.saturating_add(length))?;
        self.received += length;
        let chunk = match &mut self.form {
            Form::Unknown(first) => {
                first.extend_from_slice(&chunk);
                if first.len() < MAGIC.len() {
                    return Ok(());
                }
                let first = Bytes::from(std::mem::take(first));
                self.form = self.form_of(&first);
                first
            }
            _ => chunk,
        };
        self.pass_on(chunk).await
    }

    /// Ends the content, and compares its hash.
    pub(crate) async fn end(&mut self) -> Result<Checked, Failure> {
        // Too short to be gzip.
        if let Form::Unknown(first) = &mut self.form {
            let first = Bytes::from(std::mem::take(first));
            self.form = Form::Plain;
            self.pass_on(first).await?;
        }
        #[cfg(feature = "gzip")]
        if let Form::Gzip(inflater) = &mut self.form {
            inflater.end();
            self.inflate().await?;
        }
        self.writer.flush().await.map_err(|e| Failure::new(DownloadFault::Writer, e))?;
        let found = self.digest.clone().finish();
        if !self.hash.is(found.as_ref()) {
            return Err(DownloadFault::WrongHash.into());
        }
        Ok(Checked { hash: self.hash.clone() })
    }

    fn form_of(&self, first: &[u8]) -> Form {
        match self.gunzip {
            _ if !first.starts_with(&MAGIC) => Form::Plain,
            Gunzip::Never => Form::KeptGzip,
            #[cfg(feature = "gzip")]
            Gunzip::BeforeHash | Gunzip::AfterHash => Form::Gzip(Box::default()),
        }
    }

    async fn pass_on(&mut self, chunk: Bytes) -> Result<(), Failure> {
        #[cfg(feature = "gzip")]
        if let Form::Gzip(inflater) = &mut self.form {
            if self.gunzip == Gunzip::AfterHash {
                self.digest.update(&chunk);
            }
            inflater.feed(chunk);
            return self.inflate().await;
        }
        self.digest.update(&chunk);
        write(&mut self.writer, &mut self.written, &chunk).await
    }

    /// Passes on what can be unzipped of the bytes that have arrived.
    #[cfg(feature = "gzip")]
    async fn inflate(&mut self) -> Result<(), Failure> {
        let too_large = self.too_large();
        let Form::Gzip(inflater) = &mut self.form else { return Ok(()) };
        let mut turn = 0;
        loop {
            let unzipped = inflater.next();
            let unzipped = unzipped.map_err(|e| Failure::new(DownloadFault::MalformedGzip, e))?;
            let Some(unzipped) = unzipped else { return Ok(()) };
            let length = u64::try_from(unzipped.len()).unwrap_or(u64::MAX);
            if self.written.saturating_add(length) > self.max_bytes {
                return Err(too_large);
            }
            if self.gunzip == Gunzip::BeforeHash {
                self.digest.update(unzipped);
            }
            write(&mut self.writer, &mut self.written, unzipped).await?;
            turn += length;
            if turn >= TURN {
                // A few bytes of gzip can become very many, and a writer need not wait for anything.
                tokio::task::yield_now().await;
                turn = 0;
            }
        }
    }

    fn too_large(&self) -> Failure {
        DownloadFault::TooLarge { limit: self.max_bytes }.into()
    }
}

/// Writes all of it, and counts what was written, also if the writer fails or time runs out.
async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    written: &mut u64,
    mut bytes: &[u8],
) -> Result<(), Failure> {
    while !bytes.is_empty() {
        let failed = |e| Failure::new(DownloadFault::Writer, e);
        let length = writer.write(bytes).await.map_err(failed)?;
        if length == 0 {
            return Err(failed(std::io::ErrorKind::WriteZero.into()));
        }
        *written += u64::try_from(length).unwrap_or(u64::MAX);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    use super::*;
    use crate::message::hash::hex;

    fn download(hashed: &[u8]) -> Download {
        let hash = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, hashed).as_ref());
        let hash = ExpectedHash::sha1(&hash.to_uppercase()).unwrap();
        Download::new("x", "https://h/x", hash).unwrap()
    }

    /// Passes content in pieces of this length; returns the result and what was written.
    async fn pass(
        download: &Download,
        content: &[u8],
        piece: usize,
    ) -> (Result<Checked, DownloadFault>, Vec<u8>, u64) {
        let mut written = Vec::new();
        let mut passing = Content::new(&mut written, download);
        let mut result = Ok(());
        for piece in content.chunks(piece) {
            if result.is_ok() {
                result = passing.take(Bytes::copy_from_slice(piece)).await;
            }
        }
        let result = match result {
            Ok(()) => passing.end().await,
            Err(failure) => Err(failure),
        };
        let counted = passing.written();
        (result.map_err(|failure| failure.fault), written, counted)
    }

    #[tokio::test]
    async fn a_content_of_any_length_is_written_and_its_hash_compared() {
        for content in [&b""[..], b"a", b"ab", b"abc", &[7; 5000]] {
            for piece in [1, 2, 1000] {
                let (result, written, counted) = pass(&download(content), content, piece).await;
                assert!(result.is_ok(), "{result:?}");
                assert_eq!((&written[..], counted), (content, content.len() as u64));
                let (result, ..) = pass(&download(b"another"), content, piece).await;
                assert_eq!(result.err(), Some(DownloadFault::WrongHash));
            }
        }
    }

    #[tokio::test]
    async fn no_more_than_the_limit_is_written() {
        let content = [7; 1000];
        for piece in [1, 64, 1000] {
            let download = download(&content).max_bytes(999);
            let (result, written, counted) = pass(&download, &content, piece).await;
            assert_eq!(result.err(), Some(DownloadFault::TooLarge { limit: 999 }));
            assert!(written.len() <= 999 && counted == written.len() as u64, "{counted}");
            let (result, ..) = pass(&download.max_bytes(1000), &content, piece).await;
            assert!(result.is_ok(), "{result:?}");
        }
        let of = |bytes| Content::new(Vec::new(), &download(b"").max_bytes(7)).announced(bytes);
        assert!(of(7).is_ok() && of(8).is_err() && of(u64::MAX).is_err());
    }

    #[tokio::test]
    async fn gzip_is_kept_unless_it_is_to_be_unzipped() {
        let gzip = [&MAGIC[..], b"whatever"].concat();
        let kept = download(&gzip);
        let (result, written, _) = pass(&kept, &gzip, 1).await;
        assert!(result.is_ok() && written == gzip);
        let mut passing = Content::new(Vec::new(), &kept);
        passing.take(Bytes::from(gzip)).await.unwrap();
        assert!(passing.is_kept_gzip() && !passing.was_gzip());
    }

    /// A writer that takes a few bytes at a time, and fails after some.
    struct Full(usize);

    impl AsyncWrite for Full {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let length = bytes.len().min(3).min(self.0);
            self.0 -= length;
            let full = || io::Error::new(io::ErrorKind::StorageFull, "no space left");
            Poll::Ready(if length == 0 { Err(full()) } else { Ok(length) })
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_writer_took_before_it_failed_is_counted() {
        let mut passing = Content::new(Full(10), &download(b"x"));
        let failure = passing.take(Bytes::from_static(&[7; 64])).await.unwrap_err();
        assert_eq!((failure.fault, passing.written()), (DownloadFault::Writer, 10));
        assert_eq!(failure.source.unwrap().to_string(), "no space left");
    }

    /// Fails when it is flushed: as a file whose last bytes cannot be stored.
    struct Unflushed;

    impl AsyncWrite for Unflushed {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_flushed_was_not_written() {
        let mut passing = Content::new(Unflushed, &download(b"abc"));
        passing.take(Bytes::from_static(b"abc")).await.unwrap();
        assert_eq!(passing.end().await.unwrap_err().fault, DownloadFault::Writer);
    }
}

#[cfg(test)]
#[cfg(feature = "gzip")]
mod gzip_tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ring::digest::{SHA256, digest};

    use super::*;
    use crate::message::hash::hex;

    fn zipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn download(hashed: &[u8], gunzip: Gunzip) -> Download {
        let hash = ExpectedHash::sha256(&hex(digest(&SHA256, hashed).as_ref())).unwrap();
        Download::new("x", "https://h/x", hash).unwrap().gunzip(gunzip)
    }

    async fn pass(
        download: &Download,
        content: &[u8],
        piece: usize,
    ) -> (Result<Checked, DownloadFault>, Vec<u8>) {
        let mut written = Vec::new();
        let mut passing = Content::new(&mut written, download);
        for piece in content.chunks(piece) {
            if let Err(failure) = passing.take(Bytes::copy_from_slice(piece)).await {
                return (Err(failure.fault), written);
            }
        }
        let result = passing.end().await.map_err(|failure| failure.fault);
        (result, written)
    }

    #[tokio::test]
    async fn the_hash_is_of_the_file_or_of_what_arrives() {
        let content: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let gzip = zipped(&content);
        for piece in [1, 2, 999, usize::MAX] {
            for (hashed, gunzip, is_right) in [
                (&content, Gunzip::BeforeHash, true),
                (&gzip, Gunzip::BeforeHash, false),
                (&gzip, Gunzip::AfterHash, true),
                (&content, Gunzip::AfterHash, false),
            ] {
                let (result, written) = pass(&download(hashed, gunzip), &gzip, piece).await;
                let wrong = (!is_right).then_some(DownloadFault::WrongHash);
                assert_eq!(result.err(), wrong, "{gunzip:?}, {piece}");
                assert_eq!(written, content);
            }
            // What is not gzip is taken as it is.
            for gunzip in [Gunzip::BeforeHash, Gunzip::AfterHash] {
                let (result, written) = pass(&download(&content, gunzip), &content, piece).await;
                assert!(result.is_ok() && written == content, "{gunzip:?}, {piece}: {result:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_small_gzip_does_not_become_a_large_file() {
        // A thousandth of its content.
        let bomb = zipped(&vec![0; 64 << 20]);
        assert!(bomb.len() < 128 << 10, "{}", bomb.len());
        let download = download(b"", Gunzip::BeforeHash).max_bytes(1 << 20);
        let (result, written) = pass(&download, &bomb, 16 << 10).await;
        assert_eq!(result.err(), Some(DownloadFault::TooLarge { limit: 1 << 20 }));
        assert!(written.len() <= 1 << 20, "{}", written.len());
    }

    #[tokio::test]
    async fn gzip_that_is_cut_or_followed_by_something_is_no_file() {
        let content = b"whatever".repeat(1000);
        let gzip = zipped(&content);
        for wrong in [&gzip[..gzip.len() - 1], &gzip[..2], &[&gzip[..], b"x"].concat()] {
            let download = download(&content, Gunzip::BeforeHash);
            let (result, _) = pass(&download, wrong, 100).await;
            assert_eq!(result.err(), Some(DownloadFault::MalformedGzip), "{} bytes", wrong.len());
        }
    }
}
