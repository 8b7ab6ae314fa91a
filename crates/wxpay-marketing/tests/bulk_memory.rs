//! How much memory a long list takes.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use wxpay_auth::{
    BrandId, Clock, KeyRing, Mchid, PrivateKey, PublicKey, SystemClock, Verified, response_message,
    verify_response,
};
use wxpay_marketing::{
    BulkJournal, BulkReport, BulkTermination, DeliveryPlans, JobOwner, ListPlans,
};
use wxpay_transport::{BaseUrl, Bytes, Error, Method, Request, Response, Transport, async_trait};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WECHATPAY_KEY: &str = include_str!("../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../testdata/keys/wechat_pay_public_key.pem");
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const NONCE: &str = "593BEC0C930BF1AFEB40B4A08C8FB242";

/// Has so many plans, and ends each that is called.
#[derive(Debug)]
struct ManyPlans {
    plans: usize,
    ring: KeyRing,
    key: PrivateKey,
    no_content: Response,
}

impl ManyPlans {
    async fn new(plans: usize) -> Self {
        let ring = KeyRing::new();
        let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
        ring.insert_public_key(PUBLIC_KEY_ID.parse().expect("an id"), public_key).expect("a key");
        let key = PrivateKey::from_pem(WECHATPAY_KEY).expect("a key");
        let empty = signed(&ring, &key, Bytes::new()).await;
        let no_content = Response::new(StatusCode::NO_CONTENT, None, "h.example", empty);
        Self { plans, ring, key, no_content }
    }
}

#[async_trait]
impl Transport for ManyPlans {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        // A call gives way to others, as on a network.
        tokio::task::yield_now().await;
        if *request.method() == Method::POST {
            return Ok(self.no_content.clone());
        }
        let query = request.target().as_str().split_once("offset=").map(|(_, rest)| rest);
        let offset = query.and_then(|rest| rest.split('&').next()?.parse().ok()).unwrap_or(0);
        let page: Vec<_> = (offset..self.plans.min(offset + 50)).map(plan).collect();
        let body = json!({ "total_count": self.plans, "plan_list": page }).to_string();
        let verified = signed(&self.ring, &self.key, body.into()).await;
        Ok(Response::new(StatusCode::OK, None, "h.example", verified))
    }
}

fn plan(n: usize) -> serde_json::Value {
    json!({
        "plan_id": format!("{n:0>32}"), "plan_name": "样例计划", "plan_state": "DELIVERING",
        "delivery_start_time": "2027-01-01T00:00:00+08:00",
        "delivery_end_time": "2027-01-31T00:00:00+08:00",
        "product_coupon_id": "7000000001", "stock_id": "700000001", "brand_id": "70001",
    })
}

async fn signed(ring: &KeyRing, key: &PrivateKey, body: Bytes) -> Verified<Bytes> {
    let timestamp = SystemClock.now().to_string();
    let signature = key.sign(&response_message(&timestamp, NONCE, &body)).expect("a signature");
    let headers: HeaderMap = [
        ("wechatpay-timestamp", timestamp.as_str()),
        ("wechatpay-nonce", NONCE),
        ("wechatpay-serial", PUBLIC_KEY_ID),
        ("wechatpay-signature", &STANDARD.encode(signature)),
    ]
    .into_iter()
    .map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    })
    .collect();
    verify_response(ring, &SystemClock, &headers, body).await.expect("genuine")
}

/// Resumes a job with so many plans. Returns how many bytes were allocated at most while they were ended, and while the
/// report was read.
async fn bytes_for(plans: usize) -> (usize, usize) {
    let service = DeliveryPlans::new(ManyPlans::new(plans).await);
    let name = format!("wxpay-bulk-memory-{}-{plans}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let owner = JobOwner::new(
        Mchid::new("1900007291").unwrap(),
        &BaseUrl::new("https://h.example").unwrap(),
    );
    let mut journal = BulkJournal::open(&path, &owner).unwrap();
    let all = ListPlans::new(BrandId::new("70001").unwrap());
    assert_eq!(journal.list_brand(&service, all, |_| true).await.unwrap(), plans);
    drop(journal);

    // Where memory is allocated does not matter here, and takes long to find out.
    let _profiler = dhat::Profiler::builder().testing().trim_backtraces(Some(4)).build();
    let current = || dhat::HeapStats::get().curr_bytes;
    let mut journal = BulkJournal::open(&path, &owner).unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let job = BulkTermination::new(service)
        // Many share a sync, which takes long on a busy disk.
        .concurrency(128)
        .without_lookup_of_listed()
        .without_confirmation()
        .observer(move |_, _| {
            seen.fetch_max(dhat::HeapStats::get().curr_bytes, Ordering::Relaxed);
        });
    assert_eq!(job.run(&mut journal).await.unwrap().terminated, plans);
    drop(journal);
    let mut report = BulkReport::open(&path).unwrap();
    let (mut rows, mut most_of_report) = (0, 0);
    while report.next_row().unwrap().is_some() {
        rows += 1;
        most_of_report = most_of_report.max(current());
    }
    assert_eq!(rows, plans);
    std::fs::remove_file(path).unwrap();
    (most.load(Ordering::Relaxed), most_of_report)
}

// A single test: the counter is shared by the whole process.
#[tokio::test]
async fn a_plan_of_a_list_takes_a_byte_and_a_row_of_a_report_nine() {
    bytes_for(10).await;
    let (few, few_rows) = bytes_for(1_000).await;
    let (many, many_rows) = bytes_for(10_000).await;
    println!("1,000 plans: {few} and {few_rows} bytes; 10,000 plans: {many} and {many_rows}");
    // A vector may have twice the room that it needs; buffers for lines differ a little.
    let slack = 32 << 10;
    assert!(many <= few + 2 * 9_000 + slack, "{few} for 1,000 plans, {many} for 10,000");
    assert!(
        many_rows <= few_rows + 2 * 9 * 9_000 + slack,
        "{few_rows} for 1,000 rows, {many_rows} for 10,000"
    );
}
