//! An agent's memory, for people and programs that ask it without a run.

use std::sync::Arc;

use sandbar_plugins::SandboxSpec;
use sandbar_protocol::{Error, ErrorKind, Memory, MemoryCaller, MemoryOperation, MemoryOutput, Result, SessionId};

use crate::runtime::Runtime;

/// A memory, and who asks it.
#[derive(Debug, Clone)]
pub struct AgentMemory {
    memory: Arc<dyn Memory>,
    caller: MemoryCaller,
}

impl Runtime {
    /// The memory of an agent, or of the default one. Where the plugin keeps what it knows for each session, `session` says which one is
    /// meant; it is another one each time otherwise.
    ///
    /// What is done here is in no journal: it belongs to no run.
    pub fn memory(&self, agent: Option<&str>, session: Option<&SessionId>) -> Result<AgentMemory> {
        let agent = self.shared.find_agent(agent)?;
        let name = agent.memory.as_deref().ok_or_else(|| {
            let message = format!("the agent `{}` has no memory", agent.name);
            Error::new(ErrorKind::Config, "no-memory", message).with_hint(format!(
                "write `memory = \"notes\"` under `[agents.{}]`, and grant it `kv` under `[grants.notes]`",
                agent.name
            ))
        })?;
        let session = match session {
            Some(session) => session.clone(),
            None => SessionId::from_entropy((self.shared.options.entropy)()),
        };
        let sandbox = self.shared.plugins.sandbox(SandboxSpec {
            session: session.clone(),
            workspace: None,
            grants: self.shared.grants.clone(),
        });
        Ok(AgentMemory {
            memory: sandbox.memory(name)?,
            caller: MemoryCaller { session, run: None },
        })
    }
}

impl AgentMemory {
    /// The plugin's name.
    pub fn name(&self) -> &str {
        self.memory.name()
    }

    pub async fn call(&self, operation: MemoryOperation) -> Result<MemoryOutput> {
        self.memory.call(operation, self.caller.clone()).await
    }
}
