//! Tools of the program that embeds Sandbar: they run in the test's own process, and tell how often they were called.

use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt as _, pending, ready};
use sandbar::protocol::{Error, ErrorKind, Result, Schema, Tool, ToolInvocation, ToolOutput, ToolSpec, ToolTraits};
use serde_json::json;

/// A desk with tools. Clones are the same desk.
#[derive(Debug, Clone)]
pub(crate) struct Desk(Arc<Papers>);

#[derive(Debug)]
struct Papers {
    digest: &'static str,
    /// What was called with which text, in order.
    calls: Mutex<Vec<String>>,
    /// How often somebody still has to sign in.
    sign_ins: Mutex<u32>,
}

/// What a tool is, and how its calls end.
const TOOLS: [(&str, Kind); 6] = [
    ("look", Kind::Looks),
    ("set", Kind::Idempotent),
    ("send", Kind::Once),
    ("pay", Kind::NeedsWord),
    ("mail", Kind::NeedsSignIn),
    ("wait", Kind::NeverEnds),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Looks,
    Idempotent,
    Once,
    NeedsWord,
    NeedsSignIn,
    NeverEnds,
}

struct DeskTool {
    desk: Desk,
    name: &'static str,
    kind: Kind,
    spec: Arc<ToolSpec>,
    schema: Schema,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::of("0a1b")
    }

    /// One whose tools are of a component with this digest.
    pub(crate) fn of(digest: &'static str) -> Self {
        Self(Arc::new(Papers {
            digest,
            calls: Mutex::default(),
            sign_ins: Mutex::new(1),
        }))
    }

    /// `desk__mail` wants a person to sign in so many times.
    pub(crate) fn sign_ins(self, times: u32) -> Self {
        *self.0.sign_ins.lock().unwrap() = times;
        self
    }

    pub(crate) fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let tools = TOOLS.into_iter().map(|(name, kind)| {
            let tool: Arc<dyn Tool> = Arc::new(DeskTool::new(self.clone(), name, kind));
            tool
        });
        tools.collect()
    }

    /// What was called so far, such as `send a letter`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().clone()
    }
}

impl DeskTool {
    fn new(desk: Desk, name: &'static str, kind: Kind) -> Self {
        let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
        let traits = ToolTraits {
            read_only: kind == Kind::Looks,
            idempotent: kind == Kind::Idempotent,
            approval: kind == Kind::NeedsWord,
            ..ToolTraits::default()
        };
        Self {
            desk,
            name,
            kind,
            schema: Schema::compile(&schema).unwrap(),
            spec: Arc::new(ToolSpec {
                name: format!("desk__{name}"),
                description: String::new(),
                input_schema: schema,
                output_schema: None,
                traits,
            }),
        }
    }
}

impl Tool for DeskTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    fn digest(&self) -> &str {
        self.desk.0.digest
    }

    fn input_schema(&self) -> &Schema {
        &self.schema
    }

    fn call(&self, invocation: ToolInvocation) -> BoxFuture<'static, Result<ToolOutput>> {
        let text = invocation.input["text"].as_str().unwrap();
        self.desk.0.calls.lock().unwrap().push(format!("{} {text}", self.name));
        if self.kind == Kind::NeverEnds {
            return pending().boxed();
        }
        if self.kind == Kind::NeedsSignIn {
            let mut left = self.desk.0.sign_ins.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                let error = Error::new(
                    ErrorKind::Denied,
                    "sign-in-required",
                    "open https://example.org/sign-in",
                );
                return ready(Err(error)).boxed();
            }
        }
        let output = ToolOutput {
            text: format!("{}: {text}", self.name),
            ..ToolOutput::default()
        };
        ready(Ok(output)).boxed()
    }

    fn preview(&self, _: ToolInvocation) -> Option<BoxFuture<'static, Result<ToolOutput>>> {
        None
    }
}
