//! A server that repeats what it received.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The placeholder of the echo in a response.
pub(crate) const ECHO: &str = "<ECHO>";

/// The contents of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    head: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn signature(&self) -> &str {
        let begin = self.authorization.find("signature=\"").expect("a signature") + 11;
        self.authorization[begin..].trim_end_matches('"')
    }

    async fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let (mut heard, mut length) = (Self::default(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            heard.head.push_str(&line);
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_lowercase().as_str() {
                "authorization" => value.clone_into(&mut heard.authorization),
                "content-length" => length = value.parse().expect("a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        heard.body = String::from_utf8(body).expect("text");
        Some(heard)
    }
}

/// The response, and the part of the request that is repeated in it.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) response: String,
    pub(crate) echo: fn(&Heard) -> String,
}

/// The server; it stops when this is dropped.
pub(crate) struct EchoServer {
    pub(crate) url: String,
    pub(crate) manner: Arc<Mutex<Manner>>,
    pub(crate) heard: Arc<Mutex<Heard>>,
    accepting: JoinHandle<()>,
}

impl EchoServer {
    /// Responds itself, or forwards the response of another server with a different `Request-ID`.
    pub(crate) async fn start(behind: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let first = Manner { response: String::new(), echo: |_| String::new() };
        let (manner, heard) = (Arc::new(Mutex::new(first)), Arc::<Mutex<Heard>>::default());
        let (manners, hearing) = (Arc::clone(&manner), Arc::clone(&heard));
        let accepting = tokio::spawn(async move {
            // Concurrently: a connection that was opened in advance is idle for a while.
            let mut answering = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (manners, hearing) = (Arc::clone(&manners), Arc::clone(&hearing));
                let behind = behind.clone();
                answering.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(request) = Heard::read(&mut stream).await else { return };
                    *hearing.lock().unwrap() = request.clone();
                    let Manner { response, echo } = manners.lock().unwrap().clone();
                    let response = match &behind {
                        Some(address) => passed_on(address, &request, &echo(&request)).await,
                        None => written(&response, &echo(&request)),
                    };
                    let _ = stream.get_mut().write_all(response.as_bytes()).await;
                });
            }
        });
        Self { url, manner, heard, accepting }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Inserts the echo, escaped within JSON, and adds the length of the body.
fn written(response: &str, echo: &str) -> String {
    let (head, body) = response.split_once("\n\n").expect("a head");
    let in_json = serde_json::to_string(echo).expect("a text");
    let inner = if body.starts_with('{') { &in_json[1..in_json.len() - 1] } else { echo };
    let (head, body) = (head.replace(ECHO, echo), body.replace(ECHO, inner));
    let head = head.replace('\n', "\r\n");
    format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

async fn passed_on(address: &str, request: &Heard, echo: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the upstream server");
    let head = request.head.trim_end().to_owned() + "\r\nConnection: close\r\n\r\n";
    stream.write_all((head + &request.body).as_bytes()).await.expect("an open connection");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    let lines = response.split("\r\n").map(|line| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("request-id") => format!("Request-ID: {echo}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}
