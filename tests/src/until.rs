//! Waiting for conditions.

use std::time::Duration;

/// Waits until a condition holds.
///
/// # Panics
/// Panics if it does not hold within a minute.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let becomes_so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), becomes_so).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}
