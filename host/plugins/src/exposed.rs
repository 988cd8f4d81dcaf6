//! A plugin's tools as a model sees them: full names, the floor under their traits, compiled schemas. Made once for each access.

use std::sync::{Arc, OnceLock};

use sandbar_protocol::{FileAccess, Result, Schema, ToolSpec};

use crate::grants::{call_files, floor};
use crate::manifest::Lifetime;

/// One tool under one effective access to files.
#[derive(Debug, Clone)]
pub(crate) struct Exposed {
    /// The name that the component knows.
    pub(crate) export: Arc<str>,
    pub(crate) spec: Arc<ToolSpec>,
    pub(crate) schema: Arc<Schema>,
    /// What a call of this tool gets.
    pub(crate) access: FileAccess,
}

/// Schemas take longer to compile than a call takes, and every run needs all of them.
#[derive(Debug, Default)]
pub(crate) struct ExposedTools {
    by_access: [OnceLock<Result<Arc<[Exposed]>>>; 3],
}

impl ExposedTools {
    pub(crate) fn get(
        &self,
        plugin: &str,
        tools: &[ToolSpec],
        files: FileAccess,
        lifetime: Lifetime,
    ) -> Result<Arc<[Exposed]>> {
        let place = match files {
            FileAccess::None => 0,
            FileAccess::ReadOnly => 1,
            FileAccess::ReadWrite => 2,
        };
        self.by_access[place]
            .get_or_init(|| tools.iter().map(|tool| expose(plugin, tool, files, lifetime)).collect())
            .clone()
    }
}

fn expose(plugin: &str, declared: &ToolSpec, files: FileAccess, lifetime: Lifetime) -> Result<Exposed> {
    let access = call_files(files, lifetime, &declared.traits);
    let mut spec = declared.clone();
    spec.name = format!("{plugin}__{}", declared.name);
    spec.traits = floor(spec.traits, access, lifetime);
    Ok(Exposed {
        export: declared.name.as_str().into(),
        schema: Arc::new(Schema::compile(&spec.input_schema)?),
        spec: Arc::new(spec),
        access,
    })
}
