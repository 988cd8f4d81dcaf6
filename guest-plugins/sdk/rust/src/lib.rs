//! Write Sandbar plugins in Rust: a tool plugin is a list of functions, a pattern is one function, a memory is a type.
//!
//! # A tool
//!
//! A tool is a function with a typed input. The doc comment of the input type tells the model what the tool does, those of its
//! fields what each is; [`tool_plugin!`] makes the component.
//!
//! ```
//! use sandbar_sdk::{Context, Error, Tool};
//!
//! sandbar_sdk::tool_plugin!(tools);
//!
//! fn tools() -> Vec<Tool> {
//!     vec![Tool::new("count", count).read_only()]
//! }
//!
//! /// Counts the words of a text.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Count {
//!     /// The text.
//!     text: String,
//! }
//!
//! fn count(input: Count, _context: &Context) -> Result<String, Error> {
//!     match input.text.split_whitespace().count() {
//!         0 => Err(Error::new("invalid-input", "`text` is empty").hint("give a text")),
//!         words => Ok(words.to_string()),
//!     }
//! }
//! # fn main() {
//! # assert_eq!(tools()[0].call(r#"{"text":"a b"}"#, &Context::default()).unwrap().text, "2");
//! # }
//! ```
//!
//! Several tools go into the same list. [`Context::config`] reads the plugin's own configuration, [`progress`] shows partial output
//! to the person who watches, [`info`] and its like log. Files of the workspace, if the plugin requests and is granted them, are at
//! `/` for `std::fs`; requests to the outside, if granted, are sent with [`http`]. Every call has a fresh instance by default, so keep
//! nothing in statics.
//!
//! # A pattern
//!
//! A pattern is a function from a [`View`](view::View), what happened since its last step, to a [`Decision`](view::Decision), what to
//! do next; [`pattern_plugin!`] makes the component. The host owns the conversation: results of tools are in it already when a step
//! sees them.
//!
//! ```
//! use sandbar_sdk::Error;
//! use sandbar_sdk::view::{Change, Decision, View};
//!
//! sandbar_sdk::pattern_plugin!(step);
//!
//! /// The model answers once, and gets to call no tool.
//! fn step(view: &View) -> Result<Decision, Error> {
//!     Ok(match view.last_reply() {
//!         Some(_) => Decision::new().finish(None, "done"),
//!         None => Decision::new().model(),
//!     })
//! }
//! # fn main() {
//! # assert_eq!(step(&View::of([Change::request("hi")])).unwrap(), Decision::new().model());
//! # assert_eq!(step(&View::of([Change::reply("ho")])).unwrap(), Decision::new().finish(None, "done"));
//! # }
//! ```
//!
//! # A memory
//!
//! A memory is a type with the five functions of [`Memory`] over entries, which it keeps in [`kv`] or wherever it can;
//! [`memory_plugin!`] makes the component.
//!
//! ```
//! use sandbar_sdk::remembered::{CallContext, Entry, EntryPage, Turn};
//! use sandbar_sdk::{Error, Memory, kv};
//!
//! sandbar_sdk::memory_plugin!(Last);
//!
//! /// Remembers the last message alone.
//! struct Last;
//!
//! impl Memory for Last {
//!     const IDEMPOTENT_COMMIT: bool = true;
//!
//!     fn recall(_query: &str, _context: &CallContext) -> Result<Vec<Entry>, Error> {
//!         let last = kv::get("last")?.map(|text| Entry::new("last", String::from_utf8_lossy(&text)));
//!         Ok(last.into_iter().collect())
//!     }
//!
//!     fn commit(turn: &Turn, _context: &CallContext) -> Result<(), Error> {
//!         kv::set("last", &turn.request)
//!     }
//!
//!     fn remember(entry: Entry, _context: &CallContext) -> Result<String, Error> {
//!         kv::set("last", entry.text)?;
//!         Ok("last".to_owned())
//!     }
//!
//!     fn forget(_id: &str, _context: &CallContext) -> Result<(), Error> {
//!         kv::delete("last")
//!     }
//!
//!     fn list(_after: Option<&str>, _limit: u32, context: &CallContext) -> Result<EntryPage, Error> {
//!         Ok(EntryPage { entries: Self::recall("", context)?, next: None })
//!     }
//! }
//! # fn main() {
//! # Last::commit(&Turn::new("hi", "ho"), &CallContext::default()).unwrap();
//! # assert_eq!(Last::recall("", &CallContext::default()).unwrap(), [Entry::new("last", "hi")]);
//! # }
//! ```
//!
//! # Testing
//!
//! Everything here also works natively, so that a plugin's functions are tested by `cargo test`: [`Tool::call`] on a
//! `Context::default()`, a step on a [`View::of`](view::View::of). Only the macros speak of WebAssembly. `sandbar plugins test`
//! runs the built component in the host's sandbox.

mod error;
mod history;
pub mod http;
pub mod kv;
mod log;
mod memory;
mod pattern;
pub mod secrets;
mod tool;

#[doc(hidden)]
pub mod bindings;

pub use bindings::exports::sandbar::plugin::tool::{ToolOutput as Output, ToolSpec};
pub use bindings::sandbar::plugin::types::{Artifact, Error};
pub use history::{read_all, read_part};
pub use log::{debug, error, info, progress, warn};
pub use tool::{Context, NoInput, Tool};

/// What a pattern sees and answers, as in `wit/pattern.wit`.
pub mod view {
    pub use crate::bindings::pattern::exports::sandbar::plugin::pattern::{
        Action, ArtifactAction, AskAction, Change, CompactAction, Decision, DelegateAction, DiscardAction, EmitAction,
        FinishAction, Message, ModelAction, Note, OwnCall, Reply, ToolCall, ToolRequest, ToolResult, ToolsAction, View,
    };
}

/// What a memory keeps and is asked, as in `wit/memory.wit`.
pub mod remembered {
    pub use crate::bindings::memory::exports::sandbar::plugin::memory::{CallContext, Entry, EntryPage, Turn};
}

pub use memory::Memory;
pub use schemars;
pub use serde;

/// Makes this component a tool plugin out of a function `fn() -> Vec<Tool>`; see the [crate's page](crate) for a whole one.
#[macro_export]
macro_rules! tool_plugin {
    ($tools:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::bindings::exports::sandbar::plugin::tool::Guest for Plugin {
                fn describe() -> ::std::vec::Vec<$crate::ToolSpec> {
                    $tools().iter().map($crate::Tool::spec).collect()
                }

                fn call(
                    name: ::std::string::String,
                    input: ::std::string::String,
                    context: $crate::bindings::exports::sandbar::plugin::tool::CallContext,
                ) -> ::std::result::Result<$crate::Output, $crate::Error> {
                    $crate::Tool::dispatch(&$tools(), &name, &input, &context.into())
                }
            }

    $crate::bindings::__export_tool_plugin!(Plugin with_types_in $crate::bindings);
        };
        // Natively nothing calls the function but tests, and an unused one is no mistake of the author.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> ::std::vec::Vec<$crate::Tool> = $tools;
    };
}

/// Makes this component a memory out of a type that is a [`Memory`]; see the [crate's page](crate) for a whole one.
#[macro_export]
macro_rules! memory_plugin {
    ($memory:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::Memory;
            use $crate::remembered::{CallContext, Entry, EntryPage, Turn};

            struct Plugin;

            impl $crate::bindings::memory::exports::sandbar::plugin::memory::Guest for Plugin {
                fn describe() -> ::std::vec::Vec<(::std::string::String, ::std::string::String)> {
                    let idempotent = <$memory>::IDEMPOTENT_COMMIT;
                    ::std::vec![("idempotent-commit".to_owned(), idempotent.to_string())]
                }

                fn recall(
                    query: ::std::string::String,
                    context: CallContext,
                ) -> ::std::result::Result<::std::vec::Vec<Entry>, $crate::Error> {
                    <$memory>::recall(&query, &context)
                }

                fn remember(
                    entry: Entry,
                    context: CallContext,
                ) -> ::std::result::Result<::std::string::String, $crate::Error> {
                    <$memory>::remember(entry, &context)
                }

                fn forget(id: ::std::string::String, context: CallContext) -> ::std::result::Result<(), $crate::Error> {
                    <$memory>::forget(&id, &context)
                }

                fn list(
                    after: ::std::option::Option<::std::string::String>,
                    limit: u32,
                    context: CallContext,
                ) -> ::std::result::Result<EntryPage, $crate::Error> {
                    <$memory>::list(after.as_deref(), limit, &context)
                }

                fn commit(turn: Turn, context: CallContext) -> ::std::result::Result<(), $crate::Error> {
                    <$memory>::commit(&turn, &context)
                }
            }

    $crate::bindings::memory::__export_memory_plugin!(Plugin with_types_in $crate::bindings::memory);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn is_a_memory<M: $crate::Memory>() {}
            is_a_memory::<$memory>();
        };
    };
}

/// Makes this component a pattern out of a function `fn(&View) -> Result<Decision, Error>`; see the [crate's page](crate) for a
/// whole one.
#[macro_export]
macro_rules! pattern_plugin {
    ($step:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::bindings::pattern::exports::sandbar::plugin::pattern::Guest for Plugin {
                fn step(view: $crate::view::View) -> ::std::result::Result<$crate::view::Decision, $crate::Error> {
                    $step(&view)
                }
            }

    $crate::bindings::pattern::__export_pattern_plugin!(Plugin with_types_in $crate::bindings::pattern);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::view::View) -> ::std::result::Result<$crate::view::Decision, $crate::Error> = $step;
    };
}
