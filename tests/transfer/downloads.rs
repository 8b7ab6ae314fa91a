//! Downloads that succeed, and where they go.

use std::io::Write;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncReadExt;
use wxpay_auth::is_signed;
use wxpay_testing::{Bill, Gateway, ServerTls, Verdict, WireServer};
use wxpay_tests::builder;
use wxpay_transport::{
    BaseUrl, Download, Error, ExpectedHash, Failover, Gunzip, Outcome, RequestError,
};

use super::bills::{DATE, ask, bill, client, content, offer};

pub(super) fn zipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The gateway finds the token only if it arrives byte for byte, and the signature fits only if it was signed so.
#[tokio::test]
async fn a_bill_is_downloaded_and_checked() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.download_from(server.base_url());
    let (client, content) = (client(&server, &server.base_url()), offer(&server));
    let mut written = Vec::new();
    let download = bill(&client, false).await;
    let downloaded = client.download(download, &mut written).await.unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), content);
    assert_eq!(downloaded.written(), content.len() as u64);
    assert_eq!((downloaded.received(), downloaded.was_gzip()), (downloaded.written(), false));
    assert_eq!(downloaded.host(), server.address().to_string());

    let journal = server.journal();
    let entry = journal.last().unwrap();
    assert_eq!(entry.verdict(), &Verdict::Accepted, "{entry}");
    assert!(entry.target().starts_with("/v3/billdownload/file?token="), "{entry}");
    assert!(entry.target().ends_with("%2B%2Fa+/="), "{entry}");
    assert_eq!(downloaded.request_id(), entry.request_id());
    assert_eq!(entry.header("wechatpay-serial"), Some(server.public_key_id().as_str()));
    assert!(entry.body().is_empty());
}

/// Nothing of the gateway's response but the hash says that it is right.
#[tokio::test]
async fn a_file_is_not_signed() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let (url, _) = ask(&client(&gateway, &gateway.base_url()), false).await;
    let (_, target) = url.split_once(gateway.base_url().as_str()).unwrap();
    let target = wxpay_transport::Target::new(target.to_owned()).unwrap();
    let request = wxpay_transport::Request::get("bills.download", target);
    let client = client(&gateway, &gateway.base_url());
    let error = wxpay_transport::Transport::send(&client, request).await.unwrap_err();
    assert!(matches!(error, Error::Unverified(_)), "{error:?}");
    assert!(!is_signed(&wxpay_auth::http::HeaderMap::new()));
}

#[tokio::test]
async fn a_bill_that_is_gzip_is_unzipped_before_or_after_it_is_hashed() {
    let server = WireServer::start_plain().await;
    let (client, content) = (client(&server, &server.base_url()), content());
    for sent in [None, Some(zipped(content.as_bytes()))] {
        let bill_of_day = Bill::new(DATE, content.clone());
        server.add_bill(sent.iter().cloned().fold(bill_of_day, Bill::sent_as));
        let mut written = Vec::new();
        let download = bill(&client, true).await.gunzip(Gunzip::BeforeHash);
        let downloaded = client.download(download, &mut written).await.unwrap();
        assert_eq!(written, content.as_bytes());
        assert!(downloaded.was_gzip() && downloaded.received() != downloaded.written());
        assert_eq!(downloaded.written(), content.len() as u64);
        assert!(server.journal().last().unwrap().target().ends_with("&tartype=gzip"));
    }
    // Here the hash is that of the gzip.
    let gzip = zipped(content.as_bytes());
    server.add_bill(Bill::new(DATE, gzip.clone()));
    let mut written = Vec::new();
    let download = bill(&client, false).await.gunzip(Gunzip::AfterHash);
    client.download(download, &mut written).await.unwrap();
    assert_eq!(written, content.as_bytes());
    let mut kept = Vec::new();
    client.download(bill(&client, false).await, &mut kept).await.unwrap();
    assert_eq!(kept, gzip);
}

#[tokio::test]
async fn files_of_any_size_arrive() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.download_from(server.base_url());
    let client = client(&server, &server.base_url());
    for size in [0, 1, 2, 65_536, 3_000_001] {
        let content: Vec<u8> = (0..size).map(|n: usize| (n % 251) as u8).collect();
        server.add_bill(Bill::new(DATE, content.clone()));
        for gunzip in [Gunzip::Never, Gunzip::BeforeHash] {
            let mut written = Vec::new();
            let download = bill(&client, false).await.gunzip(gunzip);
            let downloaded = client.download(download, &mut written).await.unwrap();
            assert!(written == content, "{size}, {gunzip:?}");
            assert_eq!(downloaded.received(), size as u64);
        }
    }
}

#[tokio::test]
async fn a_file_is_passed_on_while_it_arrives_and_its_progress_told() {
    let gateway = Gateway::start().await;
    let content = vec![7; 1 << 20];
    gateway.add_bill(Bill::new(DATE, content.clone()));
    let client = client(&gateway, &gateway.base_url());
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let download = bill(&client, false).await;
    let download = download.on_progress(move |progress| telling.lock().unwrap().push(progress));
    // The other end takes it in small pieces: no more than these are in memory.
    let (near, mut far) = tokio::io::duplex(1000);
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.map(|_| read)
    });
    // It can be a task of its own.
    let downloading = tokio::spawn(async move { client.download(download, near).await });
    downloading.await.unwrap().unwrap();
    assert!(reading.await.unwrap().unwrap() == content);
    let told = told.lock().unwrap();
    assert!(told.len() > 3, "{}", told.len());
    assert!(told.windows(2).all(|pair| pair[0].written < pair[1].written));
    assert!(told.iter().all(|progress| progress.expected == Some(1 << 20)));
    let last = told.last().unwrap();
    assert_eq!((last.received, last.written), (1 << 20, 1 << 20));
}

#[tokio::test]
async fn a_url_of_the_standby_domain_goes_there() {
    let main = WireServer::start_plain().await;
    let standby =
        WireServer::builder().wechat_pay(main.wechat_pay().clone()).start().await.unwrap();
    let content = offer(&main);
    let failover = Failover::to(BaseUrl::new(standby.base_url()).unwrap());
    let client = builder(&main, &main.base_url()).failover(failover).build().unwrap();
    main.download_from(standby.base_url());
    let download = bill(&client, false).await;
    let (before, mut written) = (standby.connections(), Vec::new());
    let downloaded = client.download(download, &mut written).await.unwrap();
    assert_eq!((written.len(), standby.connections()), (content.len(), before + 1));
    assert_eq!(downloaded.host(), standby.address().to_string());
}

#[tokio::test]
async fn a_url_of_another_host_is_refused_unless_it_is_allowed() {
    let main = WireServer::start_plain().await;
    let other = WireServer::builder().wechat_pay(main.wechat_pay().clone()).start().await.unwrap();
    offer(&main);
    main.download_from(other.base_url());
    let client = client(&main, &main.base_url());
    let (url, hash) = ask(&client, false).await;
    let download = || Download::new("bills.download", &url, hash.clone()).unwrap();
    let error = client.download(download(), Vec::new()).await.unwrap_err();
    let Error::Request(RequestError::DownloadOrigin { origin, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*origin, other.base_url());
    assert_eq!((error.outcome(), other.connections()), (Outcome::NotSent, 0));
    assert!(error.hint().contains("download_domain"), "{}", error.hint());

    let allowed = BaseUrl::new(other.base_url()).unwrap();
    let client = builder(&main, &main.base_url()).download_domain(allowed).build().unwrap();
    client.download(download(), Vec::new()).await.unwrap();
    assert_eq!(other.connections(), 1);
}

/// Host, port and scheme count, the case of the host does not.
#[tokio::test]
async fn the_origin_of_a_url_is_compared_as_a_whole() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let port = gateway.base_url().rsplit_once(':').unwrap().1.to_owned();
    let base = BaseUrl::new(format!("http://localhost:{port}")).unwrap();
    let client = builder(&gateway, &gateway.base_url()).base_url(base).build().unwrap();
    let (url, hash) = ask(&client, false).await;
    let rest = url.split_once(&port).unwrap().1;
    let file = |origin: &str| {
        let url = format!("{origin}{rest}");
        client.download(Download::new("x", &url, hash.clone()).unwrap(), Vec::new())
    };
    file(&format!("HTTP://LocalHost:{port}")).await.unwrap();
    for other in [
        format!("https://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
        "http://localhost".to_owned(),
        format!("http://localhost.:{port}"),
        format!("http://localhost.example.com:{port}"),
    ] {
        let error = file(&other).await.unwrap_err();
        assert!(matches!(error, Error::Request(RequestError::DownloadOrigin { .. })), "{other}");
    }
}

#[tokio::test]
async fn a_hash_of_another_type_is_compared_as_well() {
    let gateway = Gateway::start().await;
    gateway.add_bill(Bill::new(DATE, "abc"));
    let client = client(&gateway, &gateway.base_url());
    let (url, _) = ask(&client, false).await;
    let sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
    let hash = ExpectedHash::sha256(sha256).unwrap();
    let download = Download::new("receipts.download", &url, hash.clone()).unwrap();
    let downloaded = client.download(download, Vec::new()).await.unwrap();
    assert_eq!(downloaded.hash(), &hash);
}
