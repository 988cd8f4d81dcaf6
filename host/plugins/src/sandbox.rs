//! What a session's plugins run in: their grants, limits and instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbar_protocol::manifest::{Kind, Lifetime};
use sandbar_protocol::policy::Effective;
use sandbar_protocol::{FileAccess, Memory, Pattern, Result, RunId, SessionId, Tool};

use crate::exposed::Exposed;
use crate::grants::Grant;
use crate::guest::{CallPorts, CallSetup, Powers};
use crate::kv::KvPort;
use crate::limits::GuestLimits;
use crate::memory_plugin::WasmMemory;
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
        let config: Arc<str> = json(&grant.config).into();
        let effective = || plugin.effective(grant.powers.clone());
        let exposure = ready
            .exposed
            .get(&grant.powers, effective, &ready.tools, plugin.lifetime());
        let tools = exposure.tools.as_ref().map_err(Clone::clone)?;
        let tool = |exposed: &Exposed| {
            let limits = self.limits(plugin, exposed.spec.traits.timeout_ms);
            let powers = self.powers(grant, &exposure.effective, exposed.access);
            Arc::new(WasmTool {
                powers: powers.told(exposed.access),
                setup: self.setup(plugin, powers, limits),
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

    /// The memory of an agent.
    pub fn memory(&self, plugin: &str) -> Result<Arc<dyn Memory>> {
        let (plugin, ready) = self.plugins.usable(plugin, Kind::Memory)?;
        let nothing = Grant::default();
        let grant = self.spec.grants.get(&*plugin.name).unwrap_or(&nothing);
        let effective = Arc::new(plugin.effective(grant.powers.clone()));
        let powers = Powers {
            effective,
            ..Powers::default()
        };
        Ok(Arc::new(WasmMemory {
            traits: ready.memory,
            config: json(&grant.config).into(),
            setup: self.setup(plugin, powers, self.limits(plugin, None)),
            plugins: self.plugins.clone(),
            warm: (plugin.lifetime() == Lifetime::Session).then(|| self.owner.clone()),
        }))
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

    fn powers(&self, grant: &Grant, effective: &Arc<Effective>, access: FileAccess) -> Powers {
        let workspace = self.spec.workspace.clone().filter(|_| access > FileAccess::None);
        let mounts = grant.mounts.iter().map(|mount| {
            let mut mount = mount.clone();
            mount.access = mount.access.min(access);
            mount
        });
        Powers {
            workspace: workspace.map(|workspace| (workspace, access)),
            mounts: mounts.filter(|mount| mount.access > FileAccess::None).collect(),
            effective: effective.clone(),
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
        let ports = CallPorts {
            kv: KvPort::of(plugins.host.keys.get(), &self.powers.effective, &self.session)?,
            ..ports
        };
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
