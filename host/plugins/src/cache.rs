//! Compiled code and facts, in the host's own directory, by digest and engine. Nothing pre-compiled is ever taken from elsewhere.

use std::io::Write;
use std::path::{Path, PathBuf};

use sandbar_protocol::{Result, ToolSpec};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::{DigestMemo, sha256};
use crate::error::{MMAP_FAILED, broken, chain, no_address_space, storage};
use crate::facts::Facts;

#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    fingerprint: String,
}

impl Cache {
    pub(crate) fn open(directory: &Path, fingerprint: &str) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| storage("create", directory, source))?;
        Ok(Self {
            directory: directory.to_owned(),
            fingerprint: fingerprint.to_owned(),
        })
    }

    /// What is known of a component, if it was compiled for this engine. A damaged entry counts as none.
    pub(crate) fn facts(&self, digest: &str) -> Option<Facts> {
        let text = std::fs::read(self.path(digest, "json")).ok()?;
        let facts = serde_json::from_slice(&text).ok()?;
        // Opened to see that it is there; its bytes are checked when they are loaded.
        self.path(digest, "code").is_file().then_some(facts)
    }

    /// The tools that a component had, if it was described here once.
    pub(crate) fn tools(&self, digest: &str) -> Vec<ToolSpec> {
        let text = std::fs::read(self.path(digest, "json")).unwrap_or_default();
        serde_json::from_slice(&text).map_or_else(|_| Vec::new(), |facts: Facts| facts.tools)
    }

    pub(crate) fn put_code(&self, digest: &str, code: &[u8]) -> Result<()> {
        self.write(&self.path(digest, "code"), code)
    }

    pub(crate) fn put_facts(&self, digest: &str, facts: &Facts) -> Result<()> {
        let text = serde_json::to_vec(facts).map_err(|error| crate::error::internal(error.to_string()))?;
        self.write(&self.path(digest, "json"), &text)
    }

    /// Forgets a component, so that the next start compiles it again.
    pub(crate) fn forget(&self, digest: &str) {
        for kind in ["json", "code"] {
            // What isn't there need not be removed; what can't be removed is overwritten by the next compilation.
            let _ = std::fs::remove_file(self.path(digest, kind));
        }
    }

    /// The code of a component, verified.
    pub(crate) fn load(&self, engine: &Engine, digest: &str, facts: &Facts) -> Result<Component> {
        let path = self.path(digest, "code");
        let code = std::fs::read(&path).map_err(|source| storage("read", &path, source))?;
        if sha256(&code) != facts.code_digest {
            self.forget(digest);
            return Err(broken(
                "damaged-cache",
                format!("its compiled code in `{}` was damaged", path.display()),
            )
            .with_hint("start again: it will be compiled anew"));
        }
        deserialize(engine, &code)
    }

    pub(crate) fn read_memo(&self) -> DigestMemo {
        let text = std::fs::read(self.directory.join("digests.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(crate) fn write_memo(&self, memo: &DigestMemo) -> Result<()> {
        let text = serde_json::to_vec(memo).map_err(|error| crate::error::internal(error.to_string()))?;
        self.write(&self.directory.join("digests.json"), &text)
    }

    fn path(&self, digest: &str, extension: &str) -> PathBuf {
        self.directory
            .join(format!("{digest}-{}.{extension}", self.fingerprint))
    }

    /// All or nothing, also when two processes write the same entry or the power fails.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let failed = |source| storage("write", path, source);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// What is known of a component, for whichever engine it was compiled.
pub(crate) fn facts_of(directory: &Path, digest: &str) -> Option<Facts> {
    let entries = directory.read_dir().ok()?.flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(digest) && name.ends_with(".json")
    });
    paths
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .next()
}

/// Code that our own worker produced for this engine, with the digest that the facts name.
#[expect(
    unsafe_code,
    reason = "wasmtime can't verify machine code; the caller has checked that it is what the worker wrote"
)]
pub(crate) fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component> {
    // SAFETY: `deserialize` requires bytes that `precompile_component` produced. They come from the compile worker through the cache
    // directory (mode 0700), and their SHA-256 was compared with the one that was recorded then.
    unsafe { Component::deserialize(engine, code) }.map_err(|error| {
        let why = chain(&error);
        // Wasmtime keeps the type of this error to itself. It knows that there is no room for such an instance before it makes one.
        if why.contains("pooling allocator") {
            return broken("instance-limit", format!("an instance of it would be too large: {why}"))
                .with_hint("split it into smaller plugins");
        }
        if why.contains(MMAP_FAILED) {
            return no_address_space("its compiled code can't be loaded");
        }
        broken("damaged-cache", format!("its compiled code can't be loaded: {why}"))
            .with_hint("remove the cache directory that `sandbar doctor` names")
    })
}
