//! What a session's plugins run in: their grants, limits and instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbar_protocol::{FileAccess, Pattern, Result, RunId, SessionId, Tool};

use crate::exposed::Exposed;
use crate::facts::Kind;
use crate::grants::Grant;
use crate::guest::{CallPorts, CallSetup, Powers};
use crate::limits::GuestLimits;
use crate::manifest::Lifetime;
use crate::pattern::WasmPattern;
use crate::plugin::Plugin;
use crate::plugins::Plugins;
use crate::tool::WasmTool;
use crate::workspace::Workspace;

/// What a session gives its plugins.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    pub session: SessionId,
    pub workspace: Option<Arc<Workspace>>,
    /// By plugin; a plugin without a grant gets nothing.
    pub grants: Arc<BTreeMap<String, Grant>>,
}

/// A session's plugins. Dropping it drops their warm instances.
#[derive(Debug)]
pub struct Sandbox {
    plugins: Arc<Plugins>,
    spec: SandboxSpec,
    owner: Arc<str>,
}

impl Sandbox {
    pub(crate) fn new(plugins: Arc<Plugins>, spec: SandboxSpec) -> Self {
        Self {
            plugins,
            owner: spec.session.as_str().into(),
            spec,
        }
    }

    /// The tools of one plugin, with the names that the model sees.
    pub fn tools(&self, plugin: &str) -> Result<Vec<Arc<dyn Tool>>> {
        let (plugin, ready) = self.plugins.usable(plugin, Kind::Tool)?;
        let nothing = Grant::default();
        let grant = self.spec.grants.get(&*plugin.name).unwrap_or(&nothing);
        let files = plugin.effective_files(grant.files);
        let config: Arc<str> = json(&grant.config).into();
        let tools = ready
            .exposed
            .get(&plugin.name, &ready.tools, files, plugin.lifetime())?;
        let tool = |exposed: &Exposed| {
            let limits = self.limits(plugin, exposed.spec.traits.timeout_ms);
            Arc::new(WasmTool {
                setup: self.setup(plugin, self.powers(grant, exposed.access), limits),
                exposed: exposed.clone(),
                config: config.clone(),
                plugins: self.plugins.clone(),
                warm: (plugin.lifetime() == Lifetime::Session).then(|| self.owner.clone()),
            }) as Arc<dyn Tool>
        };
        Ok(tools.iter().map(tool).collect())
    }

    /// The pattern of one run.
    pub fn pattern(&self, plugin: &str, run: &RunId) -> Result<Box<dyn Pattern>> {
        let (plugin, _) = self.plugins.usable(plugin, Kind::Pattern)?;
        let config = self
            .spec
            .grants
            .get(&*plugin.name)
            .map_or_else(|| "{}".to_owned(), |grant| json(&grant.config));
        let setup = self.setup(plugin, Powers::default(), self.limits(plugin, None));
        Ok(Box::new(WasmPattern::new(self.plugins.clone(), setup, run, config)))
    }

    fn setup(&self, plugin: &Arc<Plugin>, powers: Powers, limits: GuestLimits) -> Setup {
        Setup {
            plugin: plugin.clone(),
            powers,
            limits,
            session: self.owner.clone(),
        }
    }

    fn limits(&self, plugin: &Plugin, timeout_ms: Option<u64>) -> GuestLimits {
        let mut limits = plugin.effective_limits(self.plugins.limits);
        if let Some(timeout) = timeout_ms {
            limits.wall = limits.wall.min(std::time::Duration::from_millis(timeout));
        }
        limits
    }

    fn powers(&self, grant: &Grant, access: FileAccess) -> Powers {
        let workspace = self.spec.workspace.clone().filter(|_| access > FileAccess::None);
        let mounts = grant.mounts.iter().map(|mount| {
            let mut mount = mount.clone();
            mount.access = mount.access.min(access);
            mount
        });
        Powers {
            workspace: workspace.map(|workspace| (workspace, access)),
            mounts: mounts.filter(|mount| mount.access > FileAccess::None).collect(),
            seed: None,
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.plugins.host.warm.drop_owner(&self.owner);
    }
}

/// What the calls of one tool or pattern have in common.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) powers: Powers,
    pub(crate) limits: GuestLimits,
    pub(crate) session: Arc<str>,
}

impl Setup {
    pub(crate) fn call(&self, plugins: &Plugins, ports: CallPorts) -> Result<CallSetup> {
        Ok(CallSetup {
            host: plugins.host.clone(),
            loaded: self.plugin.load(&plugins.host, &plugins.cache)?,
            plugin: self.plugin.clone(),
            powers: self.powers.clone(),
            limits: self.limits,
            session: self.session.clone(),
            ports,
        })
    }
}

fn json(config: &serde_json::Value) -> String {
    if config.is_null() {
        "{}".to_owned()
    } else {
        config.to_string()
    }
}
