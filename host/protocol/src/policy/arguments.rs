//! What an operator allows as arguments of a tool, beyond what the tool's own schema says.

use std::sync::Arc;

use serde_json::Value;

use super::effective::Effective;
use super::mend;
use super::refusal::{Refusal, shown};
use crate::{Result, Schema};

/// What the arguments of a tool must keep to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArgumentLimits {
    /// JSON Schema 2020-12, in addition to the tool's.
    pub schema: Option<ArgumentSchema>,
    /// Calls in one run.
    pub calls_per_run: Option<u32>,
    /// Bytes of the arguments of one call, as JSON.
    pub bytes: Option<u64>,
}

/// A schema that was compiled once, when the configuration was read.
#[derive(Debug, Clone)]
pub struct ArgumentSchema {
    text: Value,
    compiled: Arc<Schema>,
}

/// Which limit a call would break, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentBreach {
    /// What doesn't fit, each with its place.
    Schema(Vec<String>),
    Calls {
        limit: u32,
    },
    Bytes {
        found: u64,
        limit: u64,
    },
}

impl ArgumentSchema {
    pub fn compile(text: Value) -> Result<Self> {
        let compiled = Arc::new(Schema::compile(&text)?);
        Ok(Self { text, compiled })
    }

    pub fn text(&self) -> &Value {
        &self.text
    }
}

impl PartialEq for ArgumentSchema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl ArgumentLimits {
    /// `calls_so_far` are those of the run, without this one. What costs least is looked at first.
    pub fn check(&self, arguments: &Value, bytes: u64, calls_so_far: u32) -> Result<(), ArgumentBreach> {
        if let Some(limit) = self.calls_per_run.filter(|limit| calls_so_far >= *limit) {
            return Err(ArgumentBreach::Calls { limit });
        }
        if let Some(limit) = self.bytes.filter(|limit| bytes > *limit) {
            return Err(ArgumentBreach::Bytes { found: bytes, limit });
        }
        match &self.schema {
            Some(schema) => schema.compiled.check(arguments).map_err(ArgumentBreach::Schema),
            None => Ok(()),
        }
    }
}

impl ArgumentBreach {
    /// Fit for the model, which can mend its call. It isn't told whose limit it is, nor how to change it.
    pub fn sentence(&self) -> String {
        match self {
            Self::Schema(problems) => format!("the arguments aren't allowed: {}", problems.join("; ")),
            Self::Calls { limit: 1 } => "it may be called once in a run".to_owned(),
            Self::Calls { limit } => format!("it may be called {limit} times in a run, and was"),
            Self::Bytes { found, limit } => format!("the arguments are {found} bytes long, the limit is {limit}"),
        }
    }
}

impl Effective {
    /// What the arguments of a tool must keep to, by the tool's own name.
    pub fn argument_limits(&self, tool: &str) -> Option<&ArgumentLimits> {
        self.granted().arguments.get(tool)
    }

    /// For the operator, what `ArgumentLimits::check` found. A schema has no line that is sure to be right.
    pub fn refuse_arguments(&self, tool: &str, breach: &ArgumentBreach) -> Refusal {
        let line = match breach {
            ArgumentBreach::Schema(_) => None,
            ArgumentBreach::Calls { limit } => Some(format!("calls_per_run = {}", u64::from(*limit) + 1)),
            ArgumentBreach::Bytes { found, .. } => Some(format!("max_bytes = {found}")),
        };
        Refusal {
            power: None,
            plugin: self.plugin().to_owned(),
            target: format!("tool {}", shown(tool)),
            sentence: format!(
                "the tool `{}` of the plugin `{}` may not be called: {}",
                shown(tool),
                self.plugin(),
                breach.sentence()
            ),
            mend: line.map(|line| mend::tool_config(self.plugin(), tool, &line)),
        }
    }
}
