//! A tool of a plugin, as the agent loop calls it.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sandbar_protocol::{
    Artifact, Error, ErrorKind, Result, Schema, Tool, ToolInvocation, ToolOutput, ToolPowers, ToolSpec,
};

use crate::bindings::tool::exports::sandbar::plugin::tool as wit;
use crate::boundary::{Boundary, Whose};
use crate::error::{broken, limit};
use crate::exposed::Exposed;
use crate::guest::{Call, CallPorts};
use crate::limits::{MAX_ARTIFACT_BYTES, MAX_OUTPUT_BYTES};
use crate::plugins::Plugins;
use crate::refusals::Refusals;
use crate::sandbox::Setup;
use crate::warm::WarmKey;
use crate::watch::counted;

#[derive(Debug)]
pub(crate) struct WasmTool {
    pub(crate) exposed: Exposed,
    pub(crate) config: Arc<str>,
    pub(crate) setup: Setup,
    pub(crate) powers: ToolPowers,
    pub(crate) plugins: Arc<Plugins>,
    /// The session that keeps an instance between calls; none takes a fresh one for each.
    pub(crate) warm: Option<Arc<str>>,
}

impl Tool for WasmTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.exposed.spec
    }

    fn digest(&self) -> &str {
        self.setup.plugin.digest.as_str()
    }

    fn input_schema(&self) -> &Schema {
        &self.exposed.schema
    }

    fn powers(&self) -> Option<&ToolPowers> {
        Some(&self.powers)
    }

    fn call(&self, invocation: ToolInvocation) -> BoxFuture<'static, Result<ToolOutput>> {
        let call = self.invoke(invocation, &self.setup, self.warm.as_ref(), Vec::new());
        counted(&self.plugins, &self.setup.plugin, call)
    }

    /// A fresh instance that can't write, whatever the plugin's lifetime and grants.
    fn preview(&self, invocation: ToolInvocation) -> Option<BoxFuture<'static, Result<ToolOutput>>> {
        if !self.exposed.spec.traits.previews {
            return None;
        }
        let mut setup = self.setup.clone();
        setup.powers.make_read_only();
        let preview = vec![("preview".to_owned(), "true".to_owned())];
        let call = self.invoke(invocation, &setup, None, preview);
        Some(counted(&self.plugins, &setup.plugin, call))
    }
}

impl WasmTool {
    /// Of the result the outer error is the host's, the inner one the tool's own.
    fn invoke(
        &self,
        invocation: ToolInvocation,
        setup: &Setup,
        warm: Option<&Arc<str>>,
        annotations: Vec<(String, String)>,
    ) -> BoxFuture<'static, Result<Result<ToolOutput>>> {
        let refusals = Refusals::to(invocation.denials.clone());
        let ports = CallPorts {
            progress: Some(invocation.progress.clone()),
            refusals: refusals.clone(),
            whose: Whose {
                session: Some(invocation.session.clone()),
                run: Some(invocation.run.clone()),
            },
            ..CallPorts::default()
        };
        let boundary = Boundary::new(
            &self.plugins.host.egress.settings,
            setup.plugin.name.clone(),
            ports.whose.clone(),
        );
        let setup = match setup.call(&self.plugins, ports) {
            Ok(setup) => setup,
            Err(error) => return futures::future::ready(Err(error)).boxed(),
        };
        let (plugins, name) = (self.plugins.clone(), self.exposed.spec.name.clone());
        let key = warm.map(|owner| WarmKey::of(owner, &self.setup.plugin));
        let export = self.exposed.export.clone();
        let context = wit::CallContext {
            session: invocation.session.to_string(),
            run: invocation.run.to_string(),
            call: invocation.call_id,
            config: self.config.to_string(),
            annotations,
        };
        async move {
            let warm = key.as_ref().and_then(|key| plugins.host.warm.take(key));
            let call = Call::Tool(Box::new(move |store, program| {
                let input = invocation.input.to_string();
                async move {
                    program
                        .sandbar_plugin_tool()
                        .call_call(store, &export, &input, &context)
                        .await
                }
                .boxed()
            }));
            let (result, guest) = setup.run(warm, call).await?;
            if let Some(key) = key {
                plugins.host.keep(key, guest);
            }
            match result {
                Ok(output) => accept(&name, output).map(|output| Ok(boundary.output(output))),
                Err(error) => {
                    let mut error = refusal(&name, &error, &boundary);
                    if let Some(what) = refusals.in_short() {
                        error = error.told(|message| format!("{message} (the plugin was refused {what})"));
                    }
                    Ok(Err(error))
                }
            }
        }
        .boxed()
    }
}

/// Checks the size of what a tool returned.
fn accept(name: &str, output: wit::ToolOutput) -> Result<ToolOutput> {
    let texts = [
        Some(&output.text),
        output.structured.as_ref(),
        output.user_text.as_ref(),
    ];
    let bytes: usize = texts.into_iter().flatten().map(String::len).sum();
    if bytes > MAX_OUTPUT_BYTES {
        return Err(limit(
            "output-too-large",
            format!("`{name}` returned {bytes} bytes, the limit is {MAX_OUTPUT_BYTES}"),
        )
        .with_hint("ask for less, or for a page"));
    }
    let artifact_bytes: usize = output.artifacts.iter().map(|artifact| artifact.content.len()).sum();
    if artifact_bytes > MAX_ARTIFACT_BYTES {
        return Err(limit(
            "output-too-large",
            format!("`{name}` returned artifacts of {artifact_bytes} bytes, the limit is {MAX_ARTIFACT_BYTES}"),
        ));
    }
    let structured = output
        .structured
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| {
            broken(
                "bad-output",
                format!("`{name}` returned structured content that is not JSON: {error}"),
            )
        })?;
    let artifacts = output.artifacts.into_iter().map(|artifact| Artifact {
        name: artifact.name,
        media_type: artifact.media_type,
        content: artifact.content,
    });
    Ok(ToolOutput {
        text: output.text,
        structured,
        user_text: output.user_text,
        artifacts: artifacts.collect(),
    })
}

/// The tool's own error, cut to what a model and a journal can bear, and without protected values.
pub(crate) fn refusal(name: &str, error: &wit::Error, boundary: &Boundary) -> Error {
    let cut = |text: &str| boundary.beginning("the plugin's error", text, 4_096);
    let code: String = error
        .code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(64)
        .collect();
    let code = if code.is_empty() {
        "tool-failed".to_owned()
    } else {
        code
    };
    let message = if error.message.is_empty() {
        format!("`{name}` failed")
    } else {
        cut(&error.message)
    };
    let mut refusal = Error::new(ErrorKind::Plugin, code, message);
    refusal.retryable = error
        .annotations
        .iter()
        .any(|(key, value)| key == "retryable" && value == "true");
    refusal.hint = error.hint.as_deref().map(cut);
    // A code without the characters that none has may be a value now.
    boundary.error(refusal)
}
