//! `[models.<name>]`: where answers come from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Resolution;

/// How a model is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelConfig {
    /// Answers from a file.
    Scripted { script: PathBuf },
}

/// A model; `provider` says of which kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "provider", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum FileModel {
    /// Answers from a file, for examples, tests and evals.
    Scripted {
        /// The file of replies. Environment: `SANDBAR__MODELS__<NAME>__SCRIPT`.
        script: String,
    },
}

impl FileModel {
    pub(super) fn resolve(self, name: &str, resolution: &mut Resolution) -> ModelConfig {
        match self {
            Self::Scripted { script } => ModelConfig::Scripted {
                script: resolution.file(&format!("models.{name}.script"), &script),
            },
        }
    }
}
