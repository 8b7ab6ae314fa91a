//! Byte streams: counted TCP, and TLS over it.

use std::io::{self, ErrorKind, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::HandshakeKind;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::connection::io::metered::{Meter, Metered};
use crate::connection::io::traffic::Traffic;

/// TCP with byte counters. It lies below TLS: a byte that TLS still buffers is not counted, and every byte
/// sent is.
pub(crate) type CountedTcp = Metered<TcpStream, WireCount>;

/// Counts bytes on the wire.
#[derive(Debug, Default)]
pub(crate) struct WireCount(Traffic);

impl CountedTcp {
    /// Counts the bytes of this connection from now on.
    pub(crate) fn counted(tcp: TcpStream) -> Self {
        Self::new(tcp, WireCount::default())
    }
}

impl Meter<TcpStream> for WireCount {
    fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_looking() { read_now(tcp, buf) } else { Pin::new(tcp).poll_read(cx, buf) }
    }

    fn has_read(&mut self, bytes: usize) -> io::Result<()> {
        self.0.add_read(bytes);
        Ok(())
    }

    fn has_written(&mut self, bytes: usize) {
        self.0.add_written(bytes);
    }
}

/// Reads what the operating system has, bypassing the runtime. Registers no waker if there is nothing.
fn read_now(tcp: &TcpStream, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let socket = SockRef::from(tcp);
    loop {
        match (&*socket).read(buf.initialize_unfilled()) {
            Ok(n) => buf.advance(n),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(e) => return Poll::Ready(Err(e)),
        }
        return Poll::Ready(Ok(()));
    }
}

/// A stream whose plaintext bytes are counted as they are read. It lies above TLS: it counts what may be a
/// response, not tickets or alerts.
pub(crate) type CountedStream = Metered<Stream, PlainCount>;

/// Counts plaintext bytes read.
#[derive(Debug)]
pub(crate) struct PlainCount(Traffic);

impl CountedStream {
    /// Counts plaintext bytes read from now on, along with the counters of the wire.
    pub(crate) fn counted(stream: Stream) -> Self {
        let traffic = stream.traffic();
        Self::new(stream, PlainCount(traffic))
    }
}

impl Meter<Stream> for PlainCount {
    fn has_read(&mut self, bytes: usize) -> io::Result<()> {
        self.0.add_heard(bytes);
        Ok(())
    }
}

/// The transport to a destination: TCP to it (or to a proxy), or TLS to a proxy.
#[derive(Debug)]
pub(crate) enum Link {
    Tcp(CountedTcp),
    TlsToProxy(Box<TlsStream<CountedTcp>>),
}

impl Link {
    fn traffic(&self) -> Traffic {
        match self {
            Self::Tcp(tcp) => tcp.meter().0.clone(),
            Self::TlsToProxy(tls) => tls.get_ref().0.meter().0.clone(),
        }
    }
}

/// The stream that carries HTTP.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Link),
    Tls(Box<TlsStream<Link>>),
}

impl Stream {
    /// Returns its counters.
    pub(crate) fn traffic(&self) -> Traffic {
        match self {
            Self::Plain(link) => link.traffic(),
            Self::Tls(tls) => tls.get_ref().0.traffic(),
        }
    }

    /// Returns the kind of TLS handshake; `None` without TLS.
    pub(crate) fn handshake(&self) -> Option<HandshakeKind> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.handshake_kind(),
        }
    }
}

macro_rules! forward {
    ($stream:ident: $($variant:ident),*) => {
        impl AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(s) => Pin::new(s).poll_read(cx, buf),)*
                }
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $(Self::$variant(s) => Pin::new(s).poll_write(cx, buf),)*
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $(Self::$variant(s) => Pin::new(s).poll_write_vectored(cx, bufs),)*
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $(Self::$variant(s) => s.is_write_vectored(),)*
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(s) => Pin::new(s).poll_flush(cx),)*
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(s) => Pin::new(s).poll_shutdown(cx),)*
                }
            }
        }
    };
}

forward!(Link: Tcp, TlsToProxy);
forward!(Stream: Plain, Tls);
