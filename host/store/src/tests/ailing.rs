//! Plugins that fail again and again are put aside.

use crate::{FAILURES_IN_A_ROW, FAILURES_LATELY, FAILURES_WITHIN_MS};

use super::auditing::shown;
use super::*;

/// Fails so often, with a good call after each `good` failures, `apart_ms` apart; says after how many it was put aside.
async fn put_aside_after(failures: u32, good: Option<u32>, apart_ms: u64) -> Option<u32> {
    let clock = Arc::new(TickingClock::default());
    let options = StoreOptions {
        clock: clock.clone(),
        ..StoreOptions::default()
    };
    let store = Store::in_memory(options).unwrap();
    for n in 1..=failures {
        let health = store.plugin_failed("p", "d1", "it crashed").await.unwrap();
        if health.put_aside_ms.is_some() {
            return Some(n);
        }
        clock.0.fetch_add(apart_ms, Ordering::Relaxed);
        if good.is_some_and(|good| n % good == 0) {
            store.plugin_recovered("p", "d1").await.unwrap();
        }
    }
    None
}

#[tokio::test]
async fn a_plugin_is_put_aside_after_so_many_failures() {
    let (row, lately) = (FAILURES_IN_A_ROW, FAILURES_LATELY as u32);
    // In a row, however far apart.
    assert_eq!(put_aside_after(row, None, 0).await, Some(row));
    assert_eq!(put_aside_after(row, None, FAILURES_WITHIN_MS).await, Some(row));
    assert_eq!(put_aside_after(row - 1, None, 0).await, None);
    // With good calls between them: so many of late.
    assert_eq!(put_aside_after(100, Some(1), 0).await, Some(lately));
    assert_eq!(put_aside_after(100, Some(row - 1), 0).await, Some(lately));
    assert_eq!(put_aside_after(100, Some(1), FAILURES_WITHIN_MS / 9).await, None);
}

#[tokio::test]
async fn what_is_put_aside_stays_so_until_a_person_enables_it() {
    let (directory, store) = directory_and_store();
    for _ in 0..=FAILURES_IN_A_ROW {
        store.plugin_failed("p", "d1", "it\ncrashed").await.unwrap();
    }
    store.plugin_failed("p", "d2", "once").await.unwrap();
    drop(store);
    let store = open(directory.path());
    let aside = |digest: &str| store.health_of("p", digest).unwrap().unwrap();
    assert!(aside("d1").put_aside_ms.is_some());
    assert_eq!(aside("d1").reason, "it crashed");
    // A good call that was under way does not bring it back, and another component of the name starts afresh.
    store.plugin_recovered("p", "d1").await.unwrap();
    assert!(aside("d1").put_aside_ms.is_some());
    assert_eq!(aside("d2").put_aside_ms, None);
    assert_eq!(store.enable_plugin("q", "ada").await.unwrap_err().code, "not-put-aside");
    store.enable_plugin("p", "ada").await.unwrap();
    assert_eq!(store.plugin_health().unwrap(), []);
    assert_eq!(store.enable_plugin("p", "ada").await.unwrap_err().code, "not-put-aside");
    assert_eq!(
        shown(&store),
        [
            "1 plugin.put-aside it crashed denied default",
            "2 plugin.enable p allowed person ada"
        ]
    );
}
