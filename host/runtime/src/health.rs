//! Plugins that fail again and again: how their calls end is counted in the store, and those that are put aside are not called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use sandbar_plugins::{CallWatch, Plugin};
use sandbar_protocol::{Error, ErrorKind, Result};
use sandbar_store::{PluginHealth, Store};

/// What this process knows. A plugin of which it knows nothing is well, as far as anybody looked; the store is asked about the others.
#[derive(Debug)]
struct Health {
    store: Store,
    ill: Mutex<HashMap<Component, Known>>,
}

/// A plugin's name and the digest of its component.
type Component = (Arc<str>, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its last call failed.
    Failing,
    /// It is not called.
    PutAside,
}

/// Counts failures in a store. What they amounted to is known from the beginning, also where they were another process's.
pub(crate) fn watch(store: &Store) -> Result<CallWatch> {
    let health = Arc::new(Health {
        store: store.clone(),
        ill: Mutex::default(),
    });
    for found in store.plugin_health()? {
        health.learn(&found);
    }
    let (admits, counts) = (health.clone(), health);
    Ok(CallWatch {
        admit: Box::new(move |plugin| admits.admit(plugin)),
        ended: Box::new(move |plugin, failure| {
            let key = component(plugin);
            let known = counts.known(&key);
            let counts = counts.clone();
            match failure.map(|error| error.message.clone()) {
                Some(reason) => async move { counts.failed(key, &reason).await }.boxed(),
                None if known == Some(Known::Failing) => async move { counts.recovered(key).await }.boxed(),
                None => std::future::ready(()).boxed(),
            }
        }),
    })
}

impl Health {
    fn admit(&self, plugin: &Plugin) -> Result<()> {
        let key = component(plugin);
        if self.known(&key) != Some(Known::PutAside) {
            return Ok(());
        }
        // Somebody may have enabled it, here or elsewhere.
        match self.store.health_of(&key.0, &key.1)? {
            Some(found) if found.put_aside_ms.is_some() => Err(put_aside(&found)),
            found => {
                self.ill().remove(&key);
                found.iter().for_each(|found| self.learn(found));
                Ok(())
            }
        }
    }

    async fn failed(&self, key: Component, reason: &str) {
        match self.store.plugin_failed(&key.0, &key.1, reason).await {
            Ok(found) => {
                if found.put_aside_ms.is_some() && self.known(&key) != Some(Known::PutAside) {
                    tracing::warn!(plugin = %key.0, "put aside: {}", put_aside(&found).message);
                }
                self.learn(&found);
            }
            Err(error) => tracing::warn!(plugin = %key.0, %error, "a plugin's failure could not be counted"),
        }
    }

    async fn recovered(&self, key: Component) {
        if let Err(error) = self.store.plugin_recovered(&key.0, &key.1).await {
            tracing::warn!(plugin = %key.0, %error, "it could not be recorded that a plugin is well again");
        }
        let mut ill = self.ill();
        // A call beside this one may have been one too many.
        if ill.get(&key) == Some(&Known::Failing) {
            ill.remove(&key);
        }
    }

    fn learn(&self, found: &PluginHealth) {
        let key = (Arc::from(found.plugin.as_str()), found.digest.clone());
        let known = match found.put_aside_ms {
            Some(_) => Known::PutAside,
            None if found.in_a_row > 0 => Known::Failing,
            None => return,
        };
        self.ill().insert(key, known);
    }

    fn known(&self, key: &Component) -> Option<Known> {
        self.ill().get(key).copied()
    }

    fn ill(&self) -> std::sync::MutexGuard<'_, HashMap<Component, Known>> {
        self.ill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn component(plugin: &Plugin) -> Component {
    (plugin.name.clone(), plugin.digest.clone())
}

/// What a call of a plugin ends with that was put aside.
fn put_aside(found: &PluginHealth) -> Error {
    let message = format!(
        "the plugin `{}` was put aside because it failed again and again, at last: {}",
        found.plugin, found.reason
    );
    Error::new(ErrorKind::Plugin, "plugin-put-aside", message).with_hint(format!(
        "go on without it; a person can bring it back with `sandbar plugins enable {}`",
        found.plugin
    ))
}
