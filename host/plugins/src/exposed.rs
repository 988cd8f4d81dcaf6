//! A plugin's tools as a model sees them: full names, the floor under their traits, compiled schemas. Made once for each grant.

use std::sync::{Arc, Mutex, PoisonError};

use sandbar_protocol::manifest::Lifetime;
use sandbar_protocol::policy::{Effective, PowerGrant};
use sandbar_protocol::{FileAccess, Result, Schema, ToolSpec};

use crate::grants::{Reach, call_files, floor};

/// One tool under one grant.
#[derive(Debug, Clone)]
pub(crate) struct Exposed {
    /// The name that the component knows.
    pub(crate) export: Arc<str>,
    pub(crate) spec: Arc<ToolSpec>,
    pub(crate) schema: Arc<Schema>,
    /// The files that a call of this tool gets.
    pub(crate) access: FileAccess,
}

/// All tools of a plugin under one grant.
#[derive(Debug)]
pub(crate) struct Exposure {
    granted: PowerGrant,
    pub(crate) effective: Arc<Effective>,
    pub(crate) tools: Result<Vec<Exposed>>,
}

/// Schemas take longer to compile than a call takes, and every run needs all of them.
#[derive(Debug, Default)]
pub(crate) struct ExposedTools {
    known: Mutex<Vec<Arc<Exposure>>>,
}

/// A runtime has one grant for a plugin; this is for programs that open one after the other.
const MOST_KNOWN: usize = 8;

impl ExposedTools {
    /// `effective` must be what is left of the grant, which is the same for every call since a plugin's request is.
    pub(crate) fn get(
        &self,
        granted: &PowerGrant,
        effective: impl FnOnce() -> Effective,
        tools: &[ToolSpec],
        lifetime: Lifetime,
    ) -> Arc<Exposure> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|exposure| exposure.granted == *granted) {
            return found.clone();
        }
        let effective = Arc::new(effective());
        let made = Arc::new(Exposure {
            granted: granted.clone(),
            tools: tools.iter().map(|tool| expose(tool, &effective, lifetime)).collect(),
            effective,
        });
        if known.len() == MOST_KNOWN {
            known.remove(0);
        }
        known.push(made.clone());
        made
    }
}

fn expose(declared: &ToolSpec, effective: &Effective, lifetime: Lifetime) -> Result<Exposed> {
    let access = call_files(effective.files(), lifetime, &declared.traits);
    let mut spec = declared.clone();
    spec.name = format!("{}__{}", effective.plugin(), declared.name);
    spec.traits = floor(spec.traits, Reach::of(effective, access), lifetime);
    Ok(Exposed {
        export: declared.name.as_str().into(),
        schema: Arc::new(Schema::compile(&spec.input_schema)?),
        spec: Arc::new(spec),
        access,
    })
}
