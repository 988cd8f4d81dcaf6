//! Where a value was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

/// One key of the configuration as it holds: for `config show`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Dotted, such as `agents.main.model`.
    pub key: String,
    pub value: Value,
    pub origin: Origin,
}

/// Who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody did: it is built in.
    Default,
    File {
        /// As messages name it.
        path: String,
        line: usize,
    },
    /// The name of an environment variable.
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "env {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// One source of values. Later kinds win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LayerKind {
    BuiltIn,
    UserFile,
    ProjectFile,
    Environment,
    Flag,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) kind: LayerKind,
    /// The file, the variable or the key, as messages name it.
    pub(super) name: String,
    /// What relative paths are relative to.
    pub(super) base: PathBuf,
}

/// A position in a layer; line and column are 1 for what has none.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) layer: Arc<Layer>,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) fn origin(&self) -> Origin {
        match self.layer.kind {
            LayerKind::BuiltIn => Origin::Default,
            LayerKind::UserFile | LayerKind::ProjectFile => Origin::File {
                path: self.layer.name.clone(),
                line: self.line,
            },
            LayerKind::Environment => Origin::Environment(self.layer.name.clone()),
            LayerKind::Flag => Origin::Flag,
        }
    }

    /// A path that was written here.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.layer.base.join(Path::new(written))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer.kind {
            LayerKind::BuiltIn => f.write_str(&self.layer.name),
            LayerKind::UserFile | LayerKind::ProjectFile => {
                write!(f, "{}:{}:{}", self.layer.name, self.line, self.column)
            }
            LayerKind::Environment => write!(f, "env {}", self.layer.name),
            LayerKind::Flag => write!(f, "--set {}", self.layer.name),
        }
    }
}

/// The places of keys and values, by dotted key; items of lists are `key[0]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(pub(super) BTreeMap<String, Written>);

/// Where a key stands, and where its value does.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) key: Place,
    pub(super) value: Place,
}

impl Places {
    pub(super) fn value(&self, key: &str) -> Option<&Place> {
        self.0.get(key).map(|written| &written.value)
    }

    /// Where to point for a key that may be absent: at its value, else at the nearest table around it.
    pub(super) fn nearest(&self, key: &str) -> Option<&Place> {
        if let Some(place) = self.value(key) {
            return Some(place);
        }
        let mut key = key;
        while let Some((parent, _)) = key.rsplit_once('.') {
            if let Some(written) = self.0.get(parent) {
                return Some(&written.key);
            }
            key = parent;
        }
        None
    }
}
