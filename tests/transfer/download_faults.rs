//! Downloads that fail: the file, the connection, the server, the writer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use wxpay_testing::{
    Bill, BillFault, ErrorBody, Fault, Gateway, How, Misbehaviour, Point, ServerTls, WireServer,
};
use wxpay_tests::builder;
use wxpay_transport::{
    BaseUrl, Client, Delivery, Download, DownloadError, DownloadFault, Error, Gunzip, Outcome,
    Proxy, ResponseSignature, Transport,
};

use super::bills::{DATE, ask, bill, client, content, offer};

fn download_error(error: &Error) -> &DownloadError {
    let Error::Download(download) = error else { panic!("{error:?}") };
    assert_eq!((error.outcome(), error.delivery()), (Outcome::Unknown, Delivery::Unknown));
    if download.written() > 0 {
        assert!(error.hint().contains("must not be used"), "{}", error.hint());
    }
    download
}

#[tokio::test]
async fn a_file_with_another_hash_is_no_success() {
    let gateway = Gateway::start().await;
    let client = client(&gateway, &gateway.base_url());
    for fault in [BillFault::WrongHash, BillFault::Altered] {
        for (as_gzip, gunzip) in [(false, Gunzip::Never), (true, Gunzip::BeforeHash)] {
            gateway.add_bill(Bill::new(DATE, content()).with_fault(fault));
            let mut written = Vec::new();
            let download = bill(&client, as_gzip).await.gunzip(gunzip);
            let error = client.download(download, &mut written).await.unwrap_err();
            let download = download_error(&error);
            // A changed gzip has another checksum as well.
            let expected = match (fault, as_gzip) {
                (BillFault::Altered, true) => DownloadFault::MalformedGzip,
                _ => DownloadFault::WrongHash,
            };
            assert_eq!((download.fault(), error.may_retry()), (expected, true), "{error:?}");
            assert_eq!(download.written(), written.len() as u64);
            assert!(!written.is_empty());
        }
    }
}

#[tokio::test]
async fn a_gzip_that_is_kept_says_what_to_set() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let client = client(&gateway, &gateway.base_url());
    let error = client.download(bill(&client, true).await, Vec::new()).await.unwrap_err();
    assert_eq!(download_error(&error).fault(), DownloadFault::WrongHash);
    assert!(error.hint().contains("Gunzip::BeforeHash"), "{}", error.hint());
}

#[tokio::test]
async fn a_file_that_is_cut_short_is_no_success() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.download_from(server.base_url());
    server.add_bill(Bill::new(DATE, vec![7; 500_000]));
    let client = client(&server, &server.base_url());
    for how in [How::Close, How::Reset] {
        let download = bill(&client, false).await;
        server.fault_once(Fault::new(Point::ResponseBytes(100_000), how));
        let mut written = Vec::new();
        let error = client.download(download, &mut written).await.unwrap_err();
        let download = download_error(&error);
        assert_eq!(download.fault(), DownloadFault::Truncated, "{how:?}: {error:?}");
        assert_eq!(download.written(), written.len() as u64);
        assert!(written.len() < 500_000 && std::error::Error::source(&error).is_some());
    }
}

#[tokio::test]
async fn a_file_that_does_not_go_on_is_given_up() {
    let server = WireServer::start_plain().await;
    server.add_bill(Bill::new(DATE, vec![7; 500_000]));
    let client = client(&server, &server.base_url());
    let after = Duration::from_millis(200);
    let download = bill(&client, false).await.read_timeout(after);
    server.fault_once(Fault::new(Point::ResponseBytes(100_000), How::Stall));
    let error = client.download(download, Vec::new()).await.unwrap_err();
    assert_eq!(download_error(&error).fault(), DownloadFault::stalled(after), "{error:?}");
    server.settled().await;
}

#[tokio::test]
async fn a_refusal_is_one_with_its_signature() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let client = client(&gateway, &gateway.base_url());
    let (url, hash) = ask(&client, false).await;
    let other = url.replace("%2B", "%2b");
    let error = Download::new("bills.download", &other, hash.clone()).unwrap();
    let error = client.download(error, Vec::new()).await.unwrap_err();
    let Error::Api(api) = &error else { panic!("{error:?}") };
    assert_eq!((api.status().as_u16(), api.code()), (400, Some("INVALID_REQUEST")));
    assert!(matches!(api.signature(), ResponseSignature::Verified(_)), "{api:?}");
    assert_eq!(error.outcome(), Outcome::Rejected);

    let says =
        |status, body, signed| Misbehaviour::Status { status, body, signed, executed: false };
    for (misbehaviour, outcome) in [
        (says(403, ErrorBody::json("NO_AUTH", "no"), false), Outcome::Rejected),
        (says(403, ErrorBody::Html, false), Outcome::Unknown),
        (says(500, ErrorBody::json("SYSTEM_ERROR", "no"), true), Outcome::Unknown),
        (Misbehaviour::Redirect, Outcome::Unknown),
    ] {
        gateway.misbehave_once(misbehaviour.clone());
        let download = Download::new("bills.download", &url, hash.clone()).unwrap();
        let mut written = Vec::new();
        let error = client.download(download, &mut written).await.unwrap_err();
        assert!(matches!(error, Error::Api(_)), "{misbehaviour:?}: {error:?}");
        assert_eq!((error.outcome(), written.len()), (outcome, 0), "{misbehaviour:?}");
    }
    // After all of that, the URL still works.
    let download = Download::new("bills.download", &url, hash).unwrap();
    client.download(download, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_url_is_valid_for_five_minutes() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let client = client(&gateway, &gateway.base_url());
    let download = bill(&client, false).await;
    gateway.set_clock_offset(299);
    let (url, hash) = ask(&client, false).await;
    client.download(download, Vec::new()).await.unwrap();
    gateway.set_clock_offset(-10);
    let late = Download::new("bills.download", &url, hash).unwrap();
    let error = client.download(late, Vec::new()).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(400), "{error:?}");
}

#[tokio::test]
async fn no_other_2xx_is_a_file() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let client = client(&gateway, &gateway.base_url());
    for status in [202, 206] {
        let download = bill(&client, false).await;
        let body = content();
        gateway.misbehave_once(Misbehaviour::UnexpectedSuccess { status, body });
        let mut written = Vec::new();
        let error = client.download(download, &mut written).await.unwrap_err();
        let download = download_error(&error);
        assert_eq!(download.fault(), DownloadFault::UnexpectedStatus);
        assert_eq!((download.status().as_u16(), written.len()), (status, 0));
    }
}

#[tokio::test]
async fn a_download_that_was_not_sent_says_so() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let (url, hash) = ask(&client(&gateway, &gateway.base_url()), false).await;
    let nowhere = BaseUrl::new("http://127.0.0.1:9").unwrap();
    let client = builder(&gateway, &gateway.base_url()).base_url(nowhere).build().unwrap();
    let url = url.replace(&gateway.base_url(), "http://127.0.0.1:9");
    let download = Download::new("bills.download", &url, hash).unwrap();
    let error = client.download(download, Vec::new()).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert_eq!((error.outcome(), error.may_retry()), (Outcome::NotSent, true));
}

/// Its refusals could not be verified, and there is no hash that can be trusted.
#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let download = bill(&client(&gateway, &gateway.base_url()), false).await;
    let (before, ring) = (gateway.journal().len(), wxpay_auth::KeyRing::new());
    let client = Client::builder(gateway.mchid(), gateway.signer(), ring)
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let error = client.download(download, Vec::new()).await.unwrap_err();
    assert!(matches!(error, Error::Verifier(_)), "{error:?}");
    assert_eq!((error.outcome(), gateway.journal().len()), (Outcome::NotSent, before));
}

/// A writer that fails, or panics, with the second piece.
struct Second {
    pieces: usize,
    panics: bool,
}

impl AsyncWrite for Second {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pieces += 1;
        assert!(!(self.panics && self.pieces == 2), "told to");
        let full = || io::Error::new(io::ErrorKind::StorageFull, "no space left");
        Poll::Ready(if self.pieces == 2 { Err(full()) } else { Ok(bytes.len().min(10)) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_writer_that_fails_or_panics_ends_the_download_alone() {
    let server = WireServer::start_plain().await;
    offer(&server);
    let client = builder(&server, &server.base_url());
    let client = client.max_concurrent_calls(1).max_queued_calls(0).build().unwrap();
    let download = bill(&client, false).await;
    let writer = Second { pieces: 0, panics: false };
    let error = client.download(download, writer).await.unwrap_err();
    let failed = download_error(&error);
    assert_eq!((failed.fault(), failed.written()), (DownloadFault::Writer, 10));
    assert!(!error.may_retry());
    assert!(format!("{error:?}").contains("no space left"), "{error:?}");

    let download = bill(&client, false).await;
    let panicking = client.clone();
    let writer = Second { pieces: 0, panics: true };
    let ended = tokio::spawn(async move { panicking.download(download, writer).await }).await;
    let panic = ended.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"told to"));
    // Its place is free, and its connection closed.
    client.send(wxpay_tests::requests::list()).await.unwrap();
    drop(client);
    server.settled().await;
}
