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

impl Default for Resolver {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(MAX_LOOKUPS));
        Self::new(move |name| {
            let places = places.clone();
            Box::pin(async move {
                let place = places.acquire_owned().await.map_err(io::Error::other)?;
                let looked_up = tokio::task::spawn_blocking(move || {
                    let found = (name.as_str(), 0).to_socket_addrs();
                    // Here the thread is free again, whether or not somebody still waits for it.
                    drop(place);
                    let mut addresses: Vec<IpAddr> = found?.map(|address| address.ip()).collect();
                    addresses.dedup();
                    Ok(addresses)
                });
                looked_up.await.map_err(io::Error::other)?
            })
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

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let found = Resolver::default().resolve("localhost").await.unwrap();
        assert!(found.contains(&Ipv4Addr::LOCALHOST.into()), "{found:?}");
    }
}
