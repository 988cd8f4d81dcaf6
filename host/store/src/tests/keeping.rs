//! Keys and values of plugins: durable, in spaces that don't meet, within a quota.

use sandbar_protocol::{KvCall, KvReply, KvScope, KvSpace, MAX_VALUE_BYTES};

use super::*;
use crate::MAX_SPACE_BYTES;

fn space(plugin: &str, of: Option<&str>) -> KvSpace {
    KvSpace {
        plugin: plugin.into(),
        scope: of.map_or(KvScope::Shared, |name| KvScope::Session(session(name))),
    }
}

fn set(key: &str, value: impl Into<Vec<u8>>) -> KvCall {
    KvCall::Set {
        key: key.to_owned(),
        value: value.into(),
    }
}

fn delete(key: &str) -> KvCall {
    KvCall::Delete { key: key.to_owned() }
}

fn page(prefix: &str, after: Option<&str>, limit: usize) -> KvCall {
    KvCall::Keys {
        prefix: prefix.to_owned(),
        after: after.map(str::to_owned),
        limit,
    }
}

/// `done`, the value as text, `-` for none, keys with commas, or the code of an error.
async fn said(store: &Store, space: KvSpace, call: KvCall) -> String {
    match store.key_values(space, call).await {
        Ok(KvReply::Done) => "done".to_owned(),
        Ok(KvReply::Value(value)) => value.map_or_else(|| "-".to_owned(), |value| String::from_utf8(value).unwrap()),
        Ok(KvReply::Keys(keys)) => keys.join(","),
        Err(error) => error.code,
    }
}

async fn value(store: &Store, space: KvSpace, key: &str) -> String {
    said(store, space, KvCall::Get { key: key.to_owned() }).await
}

#[tokio::test]
async fn spaces_do_not_meet_and_last() {
    let directory = tempfile::tempdir().unwrap();
    let spaces = || {
        [
            space("notes", None),
            space("notes", Some("a")),
            space("notes", Some("b")),
            space("other", None),
        ]
    };
    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    for (n, space) in spaces().into_iter().enumerate() {
        assert_eq!(value(&store, space.clone(), "k").await, "-");
        assert_eq!(said(&store, space, set("k", n.to_string())).await, "done");
    }
    // A second process sees them at once, and they are there after both.
    let second = Store::open(directory.path(), StoreOptions::default()).unwrap();
    for (n, space) in spaces().into_iter().enumerate() {
        assert_eq!(value(&second, space, "k").await, n.to_string());
    }
    assert_eq!(said(&second, space("notes", None), set("k", "newer")).await, "done");
    assert_eq!(value(&store, space("notes", None), "k").await, "newer");
    drop((store, second));
    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    assert_eq!(value(&store, space("notes", None), "k").await, "newer");
    assert_eq!(said(&store, space("notes", None), delete("k")).await, "done");
    assert_eq!(value(&store, space("notes", None), "k").await, "-");
    assert_eq!(value(&store, space("notes", Some("a")), "k").await, "1");
}

#[tokio::test]
async fn keys_come_in_pages() {
    let store = Store::in_memory(StoreOptions::default()).unwrap();
    let notes = || space("notes", None);
    for key in ["e/2", "f", "e/10", "e/1", "e", "d"] {
        said(&store, notes(), set(key, "")).await;
    }
    let check = async |call: KvCall, expected: &str| assert_eq!(said(&store, notes(), call).await, expected);
    check(page("", None, 10), "d,e,e/1,e/10,e/2,f").await;
    check(page("e/", None, 10), "e/1,e/10,e/2").await;
    check(page("e/", None, 2), "e/1,e/10").await;
    check(page("e/", Some("e/10"), 2), "e/2").await;
    check(page("e/", Some("e/2"), 2), "").await;
    check(page("x", None, 2), "").await;
}

#[tokio::test]
async fn a_space_has_a_quota() {
    let store = Store::in_memory(StoreOptions::default()).unwrap();
    let notes = || space("notes", Some("a"));
    let large = || vec![b'x'; MAX_VALUE_BYTES];
    let mut kept = 0;
    while said(&store, notes(), set(&format!("k{kept}"), large())).await == "done" {
        kept += 1;
    }
    // 64 of 64 KiB are all of it without what keys count for.
    assert_eq!(kept, MAX_SPACE_BYTES / MAX_VALUE_BYTES as u64 - 1);
    assert_eq!(said(&store, notes(), set("new", large())).await, "quota");
    assert_eq!(value(&store, notes(), "new").await, "-");
    // The same again takes no more, and another space has its own.
    assert_eq!(said(&store, notes(), set("k0", large())).await, "done");
    assert_eq!(said(&store, space("notes", None), set("new", large())).await, "done");
    assert_eq!(said(&store, notes(), delete("k0")).await, "done");
    assert_eq!(said(&store, notes(), set("new", large())).await, "done");
    // Keys without a value count, too: what is left is soon used up.
    let mut empty = 0;
    while said(&store, notes(), set(&format!("{empty:08}"), "")).await == "done" {
        empty += 1;
        assert!(empty < 1_000, "there is no end to it");
    }
    assert!(empty > 10, "{empty}");
}
