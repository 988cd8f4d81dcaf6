//! What a plugin keeps from call to call, if its manifest requests `kv` and its grant gives it; `wit/kv.wit` has the limits.
//!
//! Natively it is a map of the thread, so that tests of a plugin run by themselves.

use crate::Error;
pub use crate::bindings::sandbar::plugin::kv::KeyPage;

/// None: there is no such key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    here::get(key)
}

/// Keeps at most 64 KiB under a key: 1 to 256 of `A-Z a-z 0-9 . _ - / : @`. It is on disk when this returns.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    here::set(key, value.as_ref())
}

/// That there is no such key is no error.
pub fn delete(key: &str) -> Result<(), Error> {
    here::delete(key)
}

/// Keys that begin with `prefix` and come after `after`, in the order of their bytes: at most `limit`, and at most 1,000.
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<KeyPage, Error> {
    here::keys(prefix, after, limit)
}

/// All keys that begin with `prefix`.
pub fn all_keys(prefix: &str) -> Result<Vec<String>, Error> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let page = keys(prefix, all.last().map(String::as_str), 1_000)?;
        all.extend(page.keys);
        if !page.more {
            return Ok(all);
        }
    }
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::sandbar::plugin::kv as here;

#[cfg(not(target_arch = "wasm32"))]
mod here {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{Error, KeyPage};

    thread_local! {
        static KEPT: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        KEPT.with_borrow(|kept| Ok(kept.get(key).cloned()))
    }

    pub(super) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        KEPT.with_borrow_mut(|kept| kept.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(super) fn delete(key: &str) -> Result<(), Error> {
        KEPT.with_borrow_mut(|kept| kept.remove(key));
        Ok(())
    }

    pub(super) fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<KeyPage, Error> {
        let found: Vec<String> = KEPT.with_borrow(|kept| {
            let keys = kept.keys().filter(|key| key.starts_with(prefix));
            let later = keys.filter(|key| after.is_none_or(|after| key.as_str() > after));
            later.cloned().collect()
        });
        let limit = limit.min(1_000) as usize;
        Ok(KeyPage {
            more: found.len() > limit,
            keys: found.into_iter().take(limit).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natively_it_is_a_map() {
        for n in 0..1_500 {
            set(&format!("n/{n:04}"), n.to_string()).unwrap();
        }
        set("m", "other").unwrap();
        assert_eq!(get("n/0007").unwrap().unwrap(), b"7");
        delete("n/0007").unwrap();
        assert_eq!(get("n/0007").unwrap(), None);
        assert_eq!(all_keys("n/").unwrap().len(), 1_499);
        let page = keys("", Some("m"), 2).unwrap();
        assert_eq!((page.keys.join(" "), page.more), ("n/0000 n/0001".to_owned(), true));
    }
}
