//! The token of a download URL is in no log, no error and no audit; nor is the content of an upload.

use std::sync::{Arc, Mutex};

use wxpay_testing::{Bill, BillFault, ErrorBody, Misbehaviour, WireServer};
use wxpay_tests::log::Log;
use wxpay_tests::{builder, own_process};
use wxpay_transport::{
    Audit, AuditOutcome, AuditRecord, Download, Error, ExpectedHash, Request, Target, Transport,
    Upload,
};

use super::bills::{DATE, ask, content, offer};

/// Keeps the records as JSON.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<(AuditOutcome, String)>>>);

impl Audit for Kept {
    fn record(&self, record: &AuditRecord<'_>) {
        let line = format!("{} {record:?}", serde_json::to_string(record).unwrap());
        self.0.lock().unwrap().push((record.outcome, line));
    }
}

#[tokio::test]
async fn the_token_of_a_url_is_shown_nowhere() {
    own_process!();
    let log = Log::of_process();
    let server = WireServer::start_plain().await;
    offer(&server);
    let kept = Kept::default();
    let client = builder(&server, &server.base_url()).audit(kept.clone()).build().unwrap();
    let (url, hash) = ask(&client, false).await;
    let token = url.split_once("token=").unwrap().1.to_owned();
    let piece = token[..16].to_owned();
    let download = || Download::new("bills.download", &url, hash.clone()).unwrap();
    let mut shown = vec![format!("{:?} {:#?}", download(), download())];

    let downloaded = client.download(download(), Vec::new()).await.unwrap();
    shown.push(format!("{downloaded:?}"));
    let mut errors = Vec::new();
    // The server repeats the URL in its refusals.
    let says = |message: String| Misbehaviour::Status {
        status: 400,
        body: ErrorBody::json("INVALID_REQUEST", message),
        signed: false,
        executed: false,
    };
    let decoded = token.replace("%2B", "+").replace("%2F", "/");
    for message in
        [url.clone(), format!("token {token}"), format!("token {decoded}"), piece.clone()]
    {
        server.misbehave_once(says(message));
        errors.push(client.download(download(), Vec::new()).await.unwrap_err());
    }
    // It shows the message that it built.
    server.set_clock_offset(1000);
    errors.push(client.download(download(), Vec::new()).await.unwrap_err());
    server.set_clock_offset(0);
    let wrong = ExpectedHash::sha1(&"0".repeat(40)).unwrap();
    let wrong = Download::new("bills.download", &url, wrong).unwrap();
    errors.push(client.download(wrong, Vec::new()).await.unwrap_err());
    let elsewhere = url.replace("127.0.0.1", "127.0.0.2");
    let elsewhere = Download::new("bills.download", &elsewhere, hash.clone()).unwrap();
    errors.push(client.download(elsewhere, Vec::new()).await.unwrap_err());
    let malformed = Download::new("bills.download", &format!("{url}#"), hash.clone());
    errors.push(Error::from(malformed.unwrap_err()));
    server.add_bill(Bill::new(DATE, content()).with_fault(BillFault::Endless));
    let (endless, hash) = ask(&client, false).await;
    let endless = Download::new("bills.download", &endless, hash).unwrap().max_bytes(1 << 20);
    errors.push(client.download(endless, Vec::new()).await.unwrap_err());
    for error in &errors {
        let chain = wxpay_tests::chain(error);
        shown.push(format!("{error} {error:?} {} {chain}", error.hint()));
    }
    assert_eq!(errors.len(), 9);

    let records = kept.0.lock().unwrap().clone();
    let outcomes: Vec<_> = records.iter().map(|(outcome, _)| *outcome).collect();
    assert_eq!(outcomes[..2], [AuditOutcome::Verified, AuditOutcome::Downloaded]);
    assert_eq!(records.len(), 2 + 6 + 2, "{records:#?}");
    let path = "\"path\":\"/v3/billdownload/file\"";
    assert!(records[1].1.contains(path) && records[1].1.contains("\"outcome\":\"downloaded\""));
    shown.extend(records.into_iter().map(|(_, line)| line));
    let log = log.text();
    assert!(log.contains("downloaded, and the hash is right"), "{log}");
    assert!(log.contains("bills.download") && log.contains("the outcome of the call is unknown"));
    shown.push(log);
    for text in shown {
        for secret in [&*token, &*piece, &*decoded] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[tokio::test]
async fn nothing_of_an_uploaded_file_is_shown() {
    own_process!();
    let log = Log::of_process();
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let secret = "the-name-of-somebody-in-the-file";
    let file = [b"\x89PNG\r\n\x1a\n\0\0tEXt".as_slice(), secret.as_bytes(), b"\0\xff"].concat();
    let target = Target::new("/v3/marketing/favor/media/image-upload").unwrap();
    let upload = Upload::new("photo-of-somebody.png", file);
    let mut shown = vec![format!("{upload:?}")];
    let request = Request::upload("media.upload", target, upload).unwrap();
    shown.push(format!("{request:?}"));
    let signed = String::from_utf8(request.signed_body().to_vec()).unwrap();
    for message in [format!("cannot read {secret} of this"), signed] {
        let body = ErrorBody::json("PARAM_ERROR", message);
        let refusal = Misbehaviour::Status { status: 400, body, signed: true, executed: false };
        server.misbehave_once(refusal);
        let error = client.send(request.clone()).await.unwrap_err();
        shown.push(format!("{error} {error:?} {}", error.hint()));
    }
    assert!(shown[2].contains("cannot read […] of this"), "{}", shown[2]);
    server.set_clock_offset(1000);
    let error = client.send(request).await.unwrap_err();
    shown.push(format!("{error} {error:?} {}", error.hint()));
    shown.push(log.text());
    for text in shown {
        assert!(!text.contains("somebody"), "{text}");
    }
}
