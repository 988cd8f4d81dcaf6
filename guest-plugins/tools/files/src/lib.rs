//! The tools `list`, `read`, `write`, `edit`, `delete` and `search` on the workspace.
//!
//! The workspace is `/`; relative and absolute names mean the same. The host keeps a plugin inside of what it was granted; the
//! checks here are for messages that a model can act on.

mod delete;
mod directory;
mod edit;
mod fault;
mod glob;
mod list;
mod preview;
mod read;
mod save;
mod search;
mod text;
mod walk;
mod workspace;
mod write;

use sandbar_sdk::{Context, Tool};
use serde::Deserialize;

use crate::workspace::Workspace;

sandbar_sdk::tool_plugin!(tools);

/// The `config` table of this plugin's grant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The most text that one `read` gives, in bytes; 64 KiB by default.
    max_read_bytes: Option<usize>,
}

const FILE: &str = "file:{/path}";

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("list", |input: list::List, _: &Context| {
            list::list(&Workspace::granted()?, &input)
        })
        .read_only()
        .resource(FILE),
        Tool::new("read", |input: read::Read, context: &Context| {
            let config: Config = context.config()?;
            read::read(&Workspace::granted()?, &input, config.max_read_bytes)
        })
        .read_only()
        .resource(FILE),
        Tool::new("search", |input: search::Search, _: &Context| {
            search::search(&Workspace::granted()?, &input)
        })
        .read_only()
        .resource(FILE),
        Tool::new("write", |input: write::Write, context: &Context| {
            write::write(&Workspace::granted()?.for_call(context), &input)
        })
        .previews()
        .idempotent()
        .resource(FILE),
        Tool::new("edit", |input: edit::Edit, context: &Context| {
            edit::edit(&Workspace::granted()?.for_call(context), &input)
        })
        .previews()
        .resource(FILE),
        Tool::new("delete", |input: delete::Delete, context: &Context| {
            delete::delete(&Workspace::granted()?.for_call(context), &input)
        })
        .previews()
        .destructive()
        .resource(FILE),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_describe_themselves() {
        for tool in tools() {
            let spec = tool.spec();
            assert!(spec.description.len() > 40, "{}", spec.name);
            assert!(
                spec.input_schema.contains(r#""additionalProperties":false"#),
                "{}",
                spec.name
            );
            assert!(spec.input_schema.len() < 4096, "{}", spec.name);
            let resource = ("resource".to_owned(), FILE.to_owned());
            assert!(spec.annotations.contains(&resource), "{}", spec.name);
        }
    }

    #[test]
    fn a_wrong_configuration_is_an_error() {
        let context = Context {
            config: r#"{"max_read":1}"#.to_owned(),
            ..Context::default()
        };
        let read = &tools()[1];
        assert_eq!(read.call(r#"{"path":"x"}"#, &context).unwrap_err().code, "bad-config");
    }
}
