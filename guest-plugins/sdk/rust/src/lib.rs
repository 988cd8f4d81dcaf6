//! Write Sandbar plugins in Rust: a tool plugin is a list of functions, a pattern is one function.
//!
//! Everything here also works natively, so that a plugin's functions are tested by `cargo test`; only the two macros
//! [`tool_plugin!`] and [`pattern_plugin!`] speak of WebAssembly.

mod error;
mod history;
mod log;
mod pattern;
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
        Action, ArtifactAction, AskAction, Change, CompactAction, Decision, DelegateAction, DiscardAction,
        FinishAction, Message, ModelAction, Note, OwnCall, Reply, ToolCall, ToolRequest, ToolResult, ToolsAction, View,
    };
}

pub use schemars;
pub use serde;

/// Makes this component a tool plugin out of a function `fn() -> Vec<Tool>`.
///
/// ```
/// use sandbar_sdk::{Context, Error, Tool, schemars, serde};
///
/// /// Says hello to somebody.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Hello {
///     /// Whom to greet.
///     name: String,
/// }
///
/// fn hello(input: Hello, _context: &Context) -> Result<String, Error> {
///     Ok(format!("Hello, {}!", input.name))
/// }
///
/// fn tools() -> Vec<Tool> {
///     vec![Tool::new("hello", hello).read_only()]
/// }
///
/// sandbar_sdk::tool_plugin!(tools);
/// # fn main() {
/// let output = tools()[0].call(r#"{"name":"Ada"}"#, &Context::default()).unwrap();
/// assert_eq!(output.text, "Hello, Ada!");
/// # }
/// ```
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

/// Makes this component a pattern out of a function `fn(View) -> Result<Decision, Error>`.
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
