//! The tools of the plugin `{{name}}`.

use sandbar_sdk::{Context, Error, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("greet", greet).read_only()]
}

/// Greets somebody by name. Use it when the user wants a greeting.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Greet {
    /// Whom to greet.
    name: String,
}

fn greet(input: Greet, _context: &Context) -> Result<String, Error> {
    match input.name.trim() {
        "" => Err(Error::new("invalid-input", "`name` is empty").hint("ask the user for a name")),
        name => Ok(format!("Hello, {name}!")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        let greeting = tools()[0].call(r#"{"name":"Ada"}"#, &Context::default());
        assert_eq!(greeting.unwrap().text, "Hello, Ada!");
    }
}
