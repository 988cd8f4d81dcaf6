//! From a name to addresses: once for each request, so that what was checked is what is connected to.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::egress::failure::Failure;
use crate::limits::{LOOKUP_TIME, MAX_ADDRESSES, MAX_LOOKUPS};

type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync;

/// Gives the addresses of a name. By default the system is asked.
#[derive(Clone)]
pub struct Resolver(Arc<Lookup>);

impl Resolver {
    /// Instead of the system's.
    pub fn new(lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The addresses, of which there is at least one.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let unknown = |why: &str| Failure::UnknownHost(format!("the name `{name}` can't be resolved: {why}"));
        let addresses = match timeout(LOOKUP_TIME, (self.0)(name.to_owned())).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return Err(unknown(&error.to_string())),
            Err(_) => return Err(unknown(&format!("no answer within {} s", LOOKUP_TIME.as_secs()))),
        };
        match addresses.len() {
            0 => Err(unknown("it has no address")),
            // One of the others might be refused: to leave it out would be to choose for the server.
            more if more > MAX_ADDRESSES => Err(unknown(&format!("it has more than {MAX_ADDRESSES} addresses"))),
            _ => Ok(addresses),
        }
    }
}

impl Resolver {
    /// Over what holds a thread until it knows; so many at once.
    fn blocking(lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let places = Arc::new(Semaphore::new(MAX_LOOKUPS));
        let lookup = Arc::new(lookup);
        Self::new(move |name| {
            let (places, lookup) = (places.clone(), lookup.clone());
            Box::pin(async move {
                let place = places.acquire_owned().await.map_err(io::Error::other)?;
                let looked_up = tokio::task::spawn_blocking(move || {
                    let found = lookup(&name);
                    // Here the thread is free again, whether or not somebody still waits for it.
                    drop(place);
                    found
                });
                looked_up.await.map_err(io::Error::other)?
            })
        })
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::blocking(|name| {
            let found = (name, 0).to_socket_addrs()?;
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.dedup();
            Ok(addresses)
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Mutex, RwLock};

    use futures::FutureExt;

    use super::*;

    async fn check(count: u8, expected: Result<usize, &str>) {
        let resolver = Resolver::new(move |_| {
            let addresses = (0..count).map(|n| IpAddr::from([192, 0, 2, n])).collect();
            Box::pin(async { Ok(addresses) })
        });
        let found = resolver.resolve("example.com").await;
        assert_eq!(
            found.map(|found| found.len()),
            expected.map_err(|why| Failure::UnknownHost(format!("the name `example.com` can't be resolved: {why}")))
        );
    }

    #[tokio::test]
    async fn a_name_has_some_addresses_and_not_too_many() {
        check(0, Err("it has no address")).await;
        check(1, Ok(1)).await;
        check(16, Ok(16)).await;
        check(17, Err("it has more than 16 addresses")).await;
    }

    /// Names of a server that never answers hold as many threads as may be held, also when nobody waits for them any more.
    #[tokio::test]
    async fn so_many_names_are_looked_up_at_once() {
        let (asked, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(RwLock::new(())));
        let (asking, answering) = (asked.clone(), answers.clone());
        let resolver = Resolver::blocking(move |name| {
            asking.lock().unwrap().push(name.to_owned());
            drop(answering.read().unwrap());
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        });
        let silent = answers.write().unwrap();
        for _ in 0..MAX_LOOKUPS {
            // Polled once, so that it has begun; then given up.
            assert!(resolver.resolve("silent.example").now_or_never().is_none());
        }
        assert!(resolver.resolve("too-many.example").now_or_never().is_none());
        drop(silent);
        assert!(resolver.resolve("late.example").await.is_ok());
        let asked = asked.lock().unwrap();
        let count = |name: &str| asked.iter().filter(|asked| *asked == name).count();
        assert_eq!(
            ["silent.example", "too-many.example", "late.example"].map(count),
            [MAX_LOOKUPS, 0, 1],
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let found = Resolver::default().resolve("localhost").await.unwrap();
        assert!(found.contains(&Ipv4Addr::LOCALHOST.into()), "{found:?}");
    }
}
