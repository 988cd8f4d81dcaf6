//! What a plugin may do: requested *and* granted, and what follows for its tools.
//!
//! Pure: no I/O. A declaration of the plugin about itself can only tighten what is derived here.

use sandbar_protocol::{FileAccess, ToolTraits};
use serde_json::Value;

use crate::manifest::{Lifetime, Manifest};
use crate::workspace::Mount;

/// What the operator gives a plugin. Nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    pub files: FileAccess,
    pub mounts: Vec<Mount>,
    /// The plugin's own configuration, shown to it with every call.
    pub config: Value,
}

/// The access to files that a plugin effectively has. Without a manifest the operator's word is both request and grant.
pub(crate) fn effective_files(manifest: Option<&Manifest>, granted: FileAccess) -> FileAccess {
    match manifest {
        Some(manifest) => manifest.requests.files.min(granted),
        None => granted,
    }
}

/// The access that a call of one tool gets. A tool that declares itself read-only is held to it: its instance can't write. That is not
/// possible for an instance that other tools of the session share.
pub(crate) fn call_files(effective: FileAccess, lifetime: Lifetime, declared: &ToolTraits) -> FileAccess {
    if declared.read_only && lifetime == Lifetime::Call {
        effective.min(FileAccess::ReadOnly)
    } else {
        effective
    }
}

/// What the host knows of a tool from its powers, and what the tool says of itself where that tightens it.
///
/// With a write access in its hands it is no reader, whatever it declares. With nothing in its hands, not even an instance that lasts, it
/// can't change anything, and touches no workspace.
pub(crate) fn floor(declared: ToolTraits, access: FileAccess, lifetime: Lifetime) -> ToolTraits {
    let powerless = access == FileAccess::None && lifetime == Lifetime::Call && !declared.destructive;
    let read_only = powerless || declared.read_only && access < FileAccess::ReadWrite;
    ToolTraits {
        read_only,
        idempotent: declared.idempotent || read_only,
        touches_workspace: access > FileAccess::None,
        ..declared
    }
}

#[cfg(test)]
mod tests {
    use FileAccess::{None as Nothing, ReadOnly, ReadWrite};

    use super::*;

    #[test]
    fn effective_is_requested_and_granted() {
        for requested in [Nothing, ReadOnly, ReadWrite] {
            let mut manifest = Manifest::default();
            manifest.requests.files = requested;
            for granted in [Nothing, ReadOnly, ReadWrite] {
                let effective = effective_files(Some(&manifest), granted);
                assert!(effective <= requested && effective <= granted);
                assert_eq!(effective_files(None, granted), granted);
            }
        }
    }

    #[test]
    fn declarations_only_tighten() {
        let reader = ToolTraits {
            read_only: true,
            ..ToolTraits::default()
        };
        let silent = ToolTraits::default();
        let destroyer = ToolTraits {
            destructive: true,
            ..ToolTraits::default()
        };
        let check = |declared: &ToolTraits, lifetime, granted, expected: (FileAccess, bool, bool)| {
            let access = call_files(granted, lifetime, declared);
            let traits = floor(declared.clone(), access, lifetime);
            assert_eq!(
                (access, traits.read_only, traits.touches_workspace),
                expected,
                "{declared:?} {lifetime:?} {granted:?}"
            );
        };
        check(&reader, Lifetime::Call, ReadWrite, (ReadOnly, true, true));
        check(&reader, Lifetime::Call, ReadOnly, (ReadOnly, true, true));
        check(&reader, Lifetime::Call, Nothing, (Nothing, true, false));
        check(&reader, Lifetime::Session, ReadWrite, (ReadWrite, false, true));
        check(&reader, Lifetime::Session, ReadOnly, (ReadOnly, true, true));
        check(&silent, Lifetime::Call, ReadWrite, (ReadWrite, false, true));
        check(&silent, Lifetime::Call, ReadOnly, (ReadOnly, false, true));
        check(&silent, Lifetime::Call, Nothing, (Nothing, true, false));
        check(&silent, Lifetime::Session, Nothing, (Nothing, false, false));
        check(&destroyer, Lifetime::Call, Nothing, (Nothing, false, false));
    }
}
