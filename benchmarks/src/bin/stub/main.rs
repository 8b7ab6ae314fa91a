//! The server of all measurements: responds to each `POST` with a signed 204, at almost no cost.
//!
//! `stub WORK_DIR PLATFORM_KEY PUBLIC_KEY_ID MERCHANT_KEY`: writes the certificates that clients need into
//! the directory, prints one line of JSON with its ports, and serves until its standard input closes. For
//! each line on standard input it prints a line of JSON with its counts.

mod certificates;
mod checks;
mod connection;
mod request;
mod responses;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::HandshakeKind;
use wxpay_benchmarks::Result;

use certificates::Certificates;
use checks::Checks;
use responses::{ResponseMaker, Responses};

/// The state shared by all connections.
pub(crate) struct Server {
    pub(crate) responses: RwLock<Arc<Responses>>,
    pub(crate) checks: Mutex<Checks>,
}

/// The name of the key in responses to requests that do not select one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SignedWith {
    PublicKey,
    Certificate,
}

/// Runs on a single thread: the other cores are left to the client.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let work: PathBuf = argument("the folder")?.into();
    let platform_key = std::fs::read_to_string(argument("the platform's key")?)?;
    let public_key_id = argument("the id of the platform's key")?;
    let merchant_key = std::fs::read_to_string(argument("the merchant's key")?)?;

    let certificates = Certificates::make(&platform_key)?;
    let ca_file = work.join("ca.pem");
    let platform_certificate = work.join("platform_certificate.pem");
    std::fs::write(&ca_file, &certificates.ca_pem)?;
    std::fs::write(&platform_certificate, &certificates.platform_pem)?;
    let platform_serial = certificates.platform_serial.clone();

    let maker = ResponseMaker::new(&platform_key, public_key_id, platform_serial.clone())?;
    let server = Arc::new(Server {
        responses: RwLock::new(Arc::new(maker.make()?)),
        checks: Mutex::new(Checks::new(&merchant_key)?),
    });
    tokio::spawn(sign_anew(Arc::clone(&server), maker));

    let acceptor = certificates.acceptor()?;
    let mut ports = Vec::new();
    for tls in [Some(acceptor), None] {
        for signed_with in [SignedWith::PublicKey, SignedWith::Certificate] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ports.push(listener.local_addr()?.port());
            tokio::spawn(serve(Arc::clone(&server), listener, tls.clone(), signed_with));
        }
    }
    println!(
        "{}",
        json!({
            "tls": { "public_key": ports[0], "certificate": ports[1] },
            "plain": { "public_key": ports[2], "certificate": ports[3] },
            "ca_file": ca_file,
            "platform_certificate": platform_certificate,
            "platform_serial": platform_serial,
        })
    );
    report(&server).await
}

/// Responds to each line with the counts since the last one.
async fn report(server: &Server) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        let counts = server.checks.lock().map_err(|e| e.to_string())?.take_counts();
        println!("{}", serde_json::to_string(&counts)?);
    }
    Ok(())
}

/// Signs once per second, for all responses of that second.
async fn sign_anew(server: Arc<Server>, maker: ResponseMaker) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let fresh = maker.make().expect("it worked at the start");
        *server.responses.write().expect("nobody panics") = Arc::new(fresh);
    }
}

async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    signed_with: SignedWith,
) {
    loop {
        // For example too many open files: the effect shows in the client.
        let Ok((tcp, _)) = listener.accept().await else { continue };
        tokio::spawn(accept(Arc::clone(&server), tcp, tls.clone(), signed_with));
    }
}

async fn accept(
    server: Arc<Server>,
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    signed_with: SignedWith,
) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => answer_all(&server, tcp, signed_with).await,
        Some(tls) => match tls.accept(tcp).await {
            Ok(stream) => {
                if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                    server.checks.lock().expect("nobody panics").count_resumed();
                }
                answer_all(&server, stream, signed_with).await;
            }
            Err(e) => eprintln!("stub: a connection without TLS: {e}"),
        },
    }
}

/// A broken connection is not an error here: the client counts its failed calls.
async fn answer_all(
    server: &Server,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    signed_with: SignedWith,
) {
    if let Err(e) = connection::answer_all(server, stream, signed_with).await {
        eprintln!("stub: a connection broke: {e}");
    }
}
