//! Limits of downloads: size, time, how many at once, and how often.

use std::time::Duration;

use wxpay_testing::{Bill, BillFault, Gateway, WireServer};
use wxpay_tests::builder;
use wxpay_tests::requests::list;
use wxpay_tests::until::until;
use wxpay_transport::{DownloadFault, Error, Gunzip, Overload, RateLimit, TimeoutKind, Transport};

use super::bills::{DATE, bill, client, content, offer};
use super::downloads::zipped;

fn fault(error: &Error) -> DownloadFault {
    let Error::Download(download) = error else { panic!("{error:?}") };
    download.fault()
}

#[tokio::test]
async fn a_file_without_an_end_is_not_written_beyond_its_limit() {
    let server = WireServer::start_plain().await;
    server.add_bill(Bill::new(DATE, content()).with_fault(BillFault::Endless));
    let client = client(&server, &server.base_url());
    let mut written = Vec::new();
    let download = bill(&client, false).await.max_bytes(1_000_000);
    let error = client.download(download, &mut written).await.unwrap_err();
    assert_eq!(fault(&error), DownloadFault::too_large(1_000_000), "{error:?}");
    assert!((900_000..=1_000_000).contains(&written.len()), "{}", written.len());
    drop(client);
    server.settled().await;
}

#[tokio::test]
async fn a_file_that_is_announced_to_be_too_large_is_not_read() {
    let gateway = Gateway::start().await;
    let content = offer(&gateway);
    let client = client(&gateway, &gateway.base_url());
    let limit = content.len() as u64 - 1;
    let mut written = Vec::new();
    let download = bill(&client, false).await.max_bytes(limit);
    let error = client.download(download, &mut written).await.unwrap_err();
    assert_eq!((fault(&error), written.len()), (DownloadFault::too_large(limit), 0));
    let download = bill(&client, false).await.max_bytes(limit + 1);
    client.download(download, &mut written).await.unwrap();
}

#[tokio::test]
async fn a_small_gzip_does_not_become_a_large_file() {
    let gateway = Gateway::start().await;
    let bomb = zipped(&vec![b' '; 64 << 20]);
    gateway.add_bill(Bill::new(DATE, content()).sent_as(bomb));
    let client = client(&gateway, &gateway.base_url());
    let mut written = Vec::new();
    let download = bill(&client, true).await.gunzip(Gunzip::BeforeHash).max_bytes(1 << 20);
    let error = client.download(download, &mut written).await.unwrap_err();
    assert_eq!(fault(&error), DownloadFault::too_large(1 << 20), "{error:?}");
    assert!(written.len() <= 1 << 20);
}

/// Bytes keep arriving, so only the whole time ends it.
#[tokio::test]
async fn a_file_that_takes_too_long_is_given_up() {
    let server = WireServer::start_plain().await;
    let slow = BillFault::Slow(Duration::from_millis(20));
    server.add_bill(Bill::new(DATE, vec![7; 1_000_000]).with_fault(slow));
    let client = client(&server, &server.base_url());
    let after = Duration::from_secs(2);
    let download = bill(&client, false).await.timeout(after);
    let error = client.download(download, Vec::new()).await.unwrap_err();
    assert_eq!(fault(&error), DownloadFault::timed_out(after), "{error:?}");
    drop(client);
    server.settled().await;
}

/// Nobody reads what is written.
#[tokio::test]
async fn a_writer_that_takes_too_long_is_given_up() {
    let server = WireServer::start_plain().await;
    server.add_bill(Bill::new(DATE, content()));
    let client = client(&server, &server.base_url());
    let (near, far) = tokio::io::duplex(10);
    let after = Duration::from_secs(1);
    let download = bill(&client, false).await.timeout(after);
    let error = client.download(download, near).await.unwrap_err();
    assert_eq!(fault(&error), DownloadFault::timed_out(after), "{error:?}");
    let Error::Download(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.written(), 10);
    drop((client, far));
    server.settled().await;
}

#[tokio::test]
async fn a_download_takes_the_place_of_a_call_and_leaves_it() {
    let server = WireServer::start_plain().await;
    let slow = BillFault::Slow(Duration::from_secs(600));
    server.add_bill(Bill::new(DATE, content()).with_fault(slow));
    let client = builder(&server, &server.base_url());
    let client = client.max_concurrent_calls(1).max_queued_calls(1).build().unwrap();
    let download = bill(&client, false).await.read_timeout(Duration::from_secs(600));
    let waits = bill(&client, false).await.timeout(Duration::from_millis(50));
    let downloading = client.clone();
    let running = tokio::spawn(async move { downloading.download(download, Vec::new()).await });
    until("the file is on its way", || server.journal().len() == 3).await;
    // Another one gets no turn in its time.
    let error = client.download(waits, Vec::new()).await.unwrap_err();
    let Error::Timeout(timeout) = &error else { panic!("{error:?}") };
    assert_eq!(timeout.kind(), TimeoutKind::Download);
    // Dropping it frees its place, and closes its connection.
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    client.send(list()).await.unwrap();
    drop(client);
    server.settled().await;
}

#[tokio::test]
async fn downloads_keep_to_their_rate() {
    let gateway = Gateway::start().await;
    offer(&gateway);
    let client = client(&gateway, &gateway.base_url());
    let limited = |download: wxpay_transport::Download| {
        download.with_rate_limit(RateLimit::per_minute(1)).timeout(Duration::from_secs(20))
    };
    let (first, second) = (bill(&client, false).await, bill(&client, false).await);
    client.download(limited(first), Vec::new()).await.unwrap();
    let before = gateway.journal().len();
    let error = client.download(limited(second), Vec::new()).await.unwrap_err();
    let Error::Overload(overload) = &error else { panic!("{error:?}") };
    assert_eq!(overload.overload(), Overload::Rate);
    assert!(overload.retry_after() > Some(Duration::from_secs(20)));
    assert_eq!(gateway.journal().len(), before, "nothing was sent");
}
