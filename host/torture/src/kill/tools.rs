//! The tools of a trial: each does one thing to the counting server, and what it gives depends on its call alone.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use sandbar::protocol::{
    Artifact, Error, ErrorKind, Result, Schema, Tool, ToolInvocation, ToolOutput, ToolSpec, ToolTraits,
};
use serde_json::json;

use super::server;

/// More than what a journal's row keeps.
const LARGE: usize = 40 << 10;

/// Which tools there are, and whether a call may be repeated.
const TOOLS: [(&str, Repeat); 6] = [
    ("look", Repeat::ReadOnly),
    ("big", Repeat::ReadOnly),
    ("put", Repeat::Idempotent),
    ("send", Repeat::Never),
    ("pay", Repeat::Never),
    (ENTER, Repeat::Never),
];

/// Wants somebody to sign in first.
const ENTER: &str = "enter";

/// What the world knows a sign-in by; the key is the session.
pub(crate) const SIGN_IN: &str = "sign-in";

/// What stands before the name of each.
const PREFIX: &str = "native__";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    ReadOnly,
    Idempotent,
    Never,
}

struct Counted {
    name: &'static str,
    spec: Arc<ToolSpec>,
    schema: Schema,
    server: SocketAddr,
}

pub(crate) fn all(server: SocketAddr) -> Result<Vec<Arc<dyn Tool>>> {
    TOOLS
        .into_iter()
        .map(|(name, repeat)| {
            let input_schema = json!({ "type": "object" });
            let schema = Schema::compile(&input_schema)?;
            let spec = ToolSpec {
                name: format!("{PREFIX}{name}"),
                description: format!("Does {name}."),
                input_schema,
                output_schema: None,
                traits: ToolTraits {
                    read_only: repeat == Repeat::ReadOnly,
                    idempotent: repeat == Repeat::Idempotent,
                    ..ToolTraits::default()
                },
            };
            let tool: Arc<dyn Tool> = Arc::new(Counted {
                name,
                spec: Arc::new(spec),
                schema,
                server,
            });
            Ok(tool)
        })
        .collect()
}

/// The tool behind a name as the model knows it.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Whether the world counts what a tool does, by its name as the model knows it.
pub(crate) fn is_counted(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether the tool may do its work more than once under one key.
pub(crate) fn is_repeatable(tool: &str) -> bool {
    !TOOLS.contains(&(tool, Repeat::Never))
}

/// What the world knows a call by: the same when the call is repeated.
pub(crate) fn key(session: &str, run: &str, call_id: &str) -> String {
    format!("{session}/{run}/{call_id}")
}

/// What a call gives. It is the same whenever and wherever it is made.
pub(crate) fn output(tool: &str, call_id: &str) -> ToolOutput {
    let text = format!("{tool} {call_id} is done");
    match tool {
        "big" => ToolOutput {
            text: text.repeat(LARGE / text.len()),
            ..ToolOutput::default()
        },
        "put" => ToolOutput {
            artifacts: vec![Artifact {
                name: format!("{call_id}.bin"),
                media_type: "application/octet-stream".to_owned(),
                content: vec![0xff, 0xfe, 0x00],
            }],
            user_text: Some("It is put.".to_owned()),
            text,
            ..ToolOutput::default()
        },
        _ => ToolOutput {
            text,
            ..ToolOutput::default()
        },
    }
}

impl Tool for Counted {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    fn digest(&self) -> &'static str {
        "native"
    }

    fn input_schema(&self) -> &Schema {
        &self.schema
    }

    fn call(&self, invocation: ToolInvocation) -> BoxFuture<'static, Result<ToolOutput>> {
        let (name, address) = (self.name, self.server);
        Box::pin(async move {
            (invocation.progress)("begun");
            if name == ENTER && !server::is_done(address, SIGN_IN, invocation.session.as_str()).await? {
                return Err(Error::new(
                    ErrorKind::Denied,
                    "sign-in-required",
                    "nobody has signed in",
                ));
            }
            let key = key(
                invocation.session.as_str(),
                invocation.run.as_str(),
                &invocation.call_id,
            );
            server::act(address, name, &key).await?;
            Ok(output(name, &invocation.call_id))
        })
    }

    fn preview(&self, _: ToolInvocation) -> Option<BoxFuture<'static, Result<ToolOutput>>> {
        None
    }
}
