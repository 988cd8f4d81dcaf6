//! What a plugin may do: requested *and* granted, and what follows for its tools.
//!
//! Pure: no I/O. What may be done with a power is decided in `sandbar_protocol::policy`; here is what a grant makes of a tool. A
//! declaration of the plugin about itself can only tighten what is derived here.

use sandbar_protocol::manifest::{Lifetime, Manifest};
use sandbar_protocol::policy::{Effective, KvAccess, PowerGrant};
use sandbar_protocol::{FileAccess, ToolTraits};
use serde_json::Value;

use crate::workspace::Mount;

/// What the operator gives a plugin. Nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    pub powers: PowerGrant,
    pub mounts: Vec<Mount>,
    /// The plugin's own configuration, shown to it with every call.
    pub config: Value,
}

/// The powers that a plugin has. Without a manifest the operator's word is both request and grant.
pub(crate) fn effective(plugin: &str, manifest: Option<&Manifest>, granted: PowerGrant) -> Effective {
    Effective::of(plugin, manifest.map(|manifest| manifest.requests.clone()), granted)
}

/// The access to files that a call of one tool gets. A tool that declares itself read-only is held to it: its instance can't write. That
/// is not possible for an instance that other tools of the session share.
pub(crate) fn call_files(effective: FileAccess, lifetime: Lifetime, declared: &ToolTraits) -> FileAccess {
    if declared.read_only && lifetime == Lifetime::Call {
        effective.min(FileAccess::ReadOnly)
    } else {
        effective
    }
}

/// What of a call's powers decides how far its tool is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) files: FileAccess,
    pub(crate) http: Outside,
    pub(crate) kv: KvAccess,
}

/// What requests a tool can send. Where one can be sent, something can be told to the outside, whatever the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outside {
    Nothing,
    /// Only such as ask for something, which a server may be asked twice.
    Asks,
    Changes,
}

impl Reach {
    pub(crate) fn of(effective: &Effective, files: FileAccess) -> Self {
        let asks = |method: &String| matches!(method.as_str(), "GET" | "HEAD");
        let http = match effective.has_http() {
            false => Outside::Nothing,
            true if effective.http_rules().iter().all(|rule| rule.methods.iter().all(asks)) => Outside::Asks,
            true => Outside::Changes,
        };
        Self {
            files,
            http,
            kv: effective.kv(),
        }
    }
}

/// What the host knows of a tool from its powers, and what the tool says of itself where that tightens it.
///
/// With a write access, a way to the outside or a store of its own in its hands it is no reader, whatever it declares; and where it may
/// change something outside, that twice is the same as once is not for it to say. With nothing in its hands, not even an instance that
/// lasts, it can't change anything, and touches no workspace.
pub(crate) fn floor(declared: ToolTraits, reach: Reach, lifetime: Lifetime) -> ToolTraits {
    let inside = reach.http == Outside::Nothing && reach.kv == KvAccess::None;
    let powerless = inside && reach.files == FileAccess::None && lifetime == Lifetime::Call && !declared.destructive;
    let read_only = powerless || declared.read_only && inside && reach.files < FileAccess::ReadWrite;
    ToolTraits {
        read_only,
        idempotent: declared.idempotent && reach.http < Outside::Changes || read_only,
        touches_workspace: reach.files > FileAccess::None,
        ..declared
    }
}

#[cfg(test)]
mod tests {
    use FileAccess::{None as Nothing, ReadOnly, ReadWrite};
    use proptest::prelude::*;
    use sandbar_protocol::policy::PowerSet;

    use super::*;

    #[test]
    fn effective_is_requested_and_granted() {
        for requested in [Nothing, ReadOnly, ReadWrite] {
            let mut manifest = Manifest::default();
            manifest.requests.files = requested;
            for granted in [Nothing, ReadOnly, ReadWrite] {
                let grant = PowerGrant {
                    powers: PowerSet {
                        files: granted,
                        ..PowerSet::default()
                    },
                    ..PowerGrant::default()
                };
                let found = effective("p", Some(&manifest), grant.clone()).files();
                assert!(found <= requested && found <= granted);
                assert_eq!(effective("p", None, grant).files(), granted);
            }
        }
    }

    const INSIDE: Reach = Reach {
        files: Nothing,
        http: Outside::Nothing,
        kv: KvAccess::None,
    };

    #[test]
    fn declarations_are_held_to() {
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
            let files = call_files(granted, lifetime, declared);
            let traits = floor(declared.clone(), Reach { files, ..INSIDE }, lifetime);
            assert_eq!(
                (files, traits.read_only, traits.touches_workspace),
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

    #[test]
    fn a_way_out_makes_a_tool_no_reader() {
        let declared = ToolTraits {
            read_only: true,
            idempotent: true,
            ..ToolTraits::default()
        };
        let check = |http, kv, expected: (bool, bool)| {
            let traits = floor(declared.clone(), Reach { http, kv, ..INSIDE }, Lifetime::Call);
            assert_eq!((traits.read_only, traits.idempotent), expected, "{http:?} {kv:?}");
        };
        check(Outside::Nothing, KvAccess::None, (true, true));
        check(Outside::Asks, KvAccess::None, (false, true));
        check(Outside::Changes, KvAccess::None, (false, false));
        check(Outside::Nothing, KvAccess::Session, (false, true));
        check(Outside::Nothing, KvAccess::Shared, (false, true));
    }

    fn reaches() -> impl Strategy<Value = (Reach, Lifetime)> {
        let files = prop_oneof![Just(Nothing), Just(ReadOnly), Just(ReadWrite)];
        let http = prop_oneof![Just(Outside::Nothing), Just(Outside::Asks), Just(Outside::Changes)];
        let kv = prop_oneof![Just(KvAccess::None), Just(KvAccess::Session), Just(KvAccess::Shared)];
        let lifetime = prop_oneof![Just(Lifetime::Call), Just(Lifetime::Session)];
        (files, http, kv, lifetime).prop_map(|(files, http, kv, lifetime)| (Reach { files, http, kv }, lifetime))
    }

    fn declarations() -> impl Strategy<Value = ToolTraits> {
        any::<[bool; 6]>().prop_map(
            |[
                read_only,
                destructive,
                idempotent,
                exclusive,
                touches_workspace,
                approval,
            ]| ToolTraits {
                read_only,
                destructive,
                idempotent,
                exclusive,
                touches_workspace,
                approval,
                ..ToolTraits::default()
            },
        )
    }

    proptest! {
        /// Whatever a tool says of itself, it isn't taken for more harmless than its powers are.
        #[test]
        fn declarations_only_tighten(declared in declarations(), (reach, lifetime) in reaches()) {
            let files = call_files(reach.files, lifetime, &declared);
            prop_assert!(files <= reach.files);
            let found = floor(declared.clone(), Reach { files, ..reach }, lifetime);
            prop_assert_eq!(found.touches_workspace, files > Nothing);
            let harmless = files < ReadWrite && reach.http == Outside::Nothing && reach.kv == KvAccess::None;
            prop_assert!(harmless || !found.read_only);
            prop_assert!(reach.http < Outside::Changes || !found.idempotent);
            // What makes it look worse is always believed.
            prop_assert_eq!(found.destructive, declared.destructive);
            prop_assert_eq!(found.exclusive, declared.exclusive);
            prop_assert_eq!(found.approval, declared.approval);
        }

        /// A further power never makes a tool look more harmless.
        #[test]
        fn powers_only_tighten(declared in declarations(), (reach, lifetime) in reaches()) {
            let found = floor(declared.clone(), reach, lifetime);
            let more = [
                Reach { http: Outside::Changes, ..reach },
                Reach { kv: KvAccess::Shared, ..reach },
                Reach { files: ReadWrite, ..reach },
            ];
            for more in more {
                let worse = floor(declared.clone(), more, lifetime);
                prop_assert!(found.read_only || !worse.read_only);
                prop_assert!(found.idempotent || !worse.idempotent);
            }
        }
    }
}
