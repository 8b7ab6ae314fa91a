//! What was sent is prepared once for all texts of a response, not for each of them.

#![allow(clippy::missing_panics_doc, reason = "a test may panic")]

use wxpay_auth_core::internal::SentTexts;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// It is alone in its process: the counter is shared by all of it.
#[test]
fn many_texts_take_no_index_each() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let token = "hvs.CAESIJpXk2s0123456789abcdefghijklmnopqrstuvwxyz";
    let sent = SentTexts::new([token]);
    assert_eq!(sent.without(token), "[…]");
    let before = dhat::HeapStats::get().total_bytes;
    for _ in 0..10_000 {
        assert_eq!(sent.without("short"), "short");
    }
    assert_eq!(dhat::HeapStats::get().total_bytes - before, 0, "too short for a piece");
    for _ in 0..1000 {
        assert_eq!(
            sent.without("a text that is longer than a piece"),
            "a text that is longer than a piece"
        );
    }
    let bytes = dhat::HeapStats::get().total_bytes - before;
    assert!(bytes < 1000 * 256, "{bytes} bytes");
}
