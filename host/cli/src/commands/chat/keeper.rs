//! Keeps files before the calls of a run change them.

use std::collections::HashSet;
use std::path::PathBuf;

use sandbar::agent::{Attended, Unattended};
use sandbar::protocol::policy::Rule;
use sandbar::protocol::{Result, SessionId, SuspendedCall};
use sandbar::{AgentTool, Runtime};

use super::undo::{Undo, target};
use crate::consent::{Calls, Unasked};

pub(super) struct Keeper<'a> {
    runtime: &'a Runtime,
    tools: Vec<AgentTool>,
    undo: &'a mut Undo,
    /// The calls whose files were kept, or which change none.
    told: HashSet<String>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(runtime: &'a Runtime, agent: &str, undo: &'a mut Undo) -> Result<Self> {
        let tools = runtime.tools(agent)?;
        Ok(Self {
            runtime,
            tools,
            undo,
            told: HashSet::new(),
        })
    }

    fn tool(&self, name: &str) -> Option<&AgentTool> {
        self.tools.iter().find(|tool| tool.spec.name == name)
    }

    /// The file that a call is about to change: the directory that holds it, its path in there, and how the call names it. None for
    /// calls that work on something else.
    fn file_of(&self, session: &SessionId, call: &SuspendedCall) -> Result<Option<(PathBuf, PathBuf, String)>> {
        let Some(tool) = self.tool(&call.tool) else {
            return Ok(None);
        };
        let Some((name, path)) = target(tool.spec.traits.resource.as_deref(), &call.arguments) else {
            return Ok(None);
        };
        let grants = &self.runtime.config().grants;
        let mounts = grants.get(&tool.plugin).map_or(&[][..], |grant| &grant.mounts);
        for mount in mounts {
            if let Ok(below) = path.strip_prefix(&mount.name) {
                return Ok(Some((mount.path.clone(), below.to_owned(), name.to_owned())));
            }
        }
        let store = self.runtime.store();
        let workspace = store.session(session)?.and_then(|session| session.workspace);
        let workspace = workspace.map(|id| store.workspace(&id)).transpose()?.flatten();
        Ok(workspace.map(|workspace| (workspace.path, path, name.to_owned())))
    }
}

impl Calls for Keeper<'_> {
    /// As if this had not wanted to hear of it.
    fn unasked(&self, call: &SuspendedCall) -> Unasked {
        let consent = &self.runtime.config().consent;
        let asked = self.tool(&call.tool).is_some_and(|tool| {
            let ruling = consent.ruling(&tool.spec, tool.powers.as_ref(), &[call.origin], &Attended::Nobody);
            ruling.rule != Rule::Allow
        });
        match (asked, consent.unattended) {
            (false, _) => Unasked::Happens,
            (true, Unattended::Suspend) => Unasked::Waits,
            (true, Unattended::Deny) => Unasked::Denied,
        }
    }

    fn before(&mut self, session: &SessionId, call: &SuspendedCall) {
        self.told.insert(call.call_id.clone());
        if let Ok(Some((directory, path, name))) = self.file_of(session, call) {
            self.undo.keep(&directory, &path, &name);
        }
    }

    /// A call that was allowed once and for all: its file may be another one already, and an earlier change is not the last one.
    fn begun(&mut self, call_id: &str, tool: &str, arguments: &str) {
        let spec = self.tool(tool).map(|tool| &tool.spec);
        let Some(spec) = spec.filter(|spec| !spec.traits.read_only && !self.told.contains(call_id)) else {
            return;
        };
        let arguments = serde_json::from_str(arguments).unwrap_or_default();
        if let Some((name, _)) = target(spec.traits.resource.as_deref(), &arguments) {
            let name = name.to_owned();
            self.undo.miss(&name);
        }
    }
}
