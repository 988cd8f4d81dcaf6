//! A tool: a function with a typed input, from which its JSON Schema and its description come.

use std::fmt;

use schemars::{JsonSchema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::bindings::exports::sandbar::plugin::tool::CallContext;
use crate::{Error, Output, ToolSpec};

/// What `schemars` says of numbers beyond JSON Schema.
const NUMBER_FORMATS: &[&str] = &[
    "int8", "int16", "int32", "int64", "int", "uint8", "uint16", "uint32", "uint64", "uint", "float", "double",
];

/// One tool of a plugin.
pub struct Tool {
    name: String,
    /// Instead of the one in `texts`.
    description: Option<String>,
    texts: Texts,
    annotations: Vec<(String, String)>,
    run: Box<Run>,
}

type Run = dyn Fn(&str, &Context) -> Result<Output, Error>;

/// Where description and schemas come from. A call needs neither, so the type's are made only when they are asked for.
enum Texts {
    OfType(fn() -> schemars::Schema),
    Written {
        description: String,
        input_schema: String,
        output_schema: Option<String>,
    },
}

/// Input of a tool that takes none; [`Tool::description`] says what it does.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(description = "Takes no input.")]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// Who is calling, and with which configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    pub session: String,
    pub run: String,
    /// The model's id of this call; the same when a call is repeated after a crash.
    pub call: String,
    /// The plugin's own configuration, a JSON object.
    pub config: String,
    pub annotations: Vec<(String, String)>,
}

impl Tool {
    /// The doc comment of the input type is the tool's description; those of its fields describe them.
    ///
    /// The function gives a `String`, a `&str`, or an [`Output`], or an [`Error`] for the model to read. It is called with what fits
    /// the schema of its input; `#[serde(deny_unknown_fields)]` makes the schema refuse what has no meaning.
    pub fn new<I, O>(name: &'static str, run: fn(I, &Context) -> Result<O, Error>) -> Self
    where
        I: DeserializeOwned + JsonSchema + 'static,
        O: Into<Output> + 'static,
    {
        Self {
            name: name.to_owned(),
            description: None,
            texts: Texts::OfType(schema_of::<I>),
            annotations: Vec::new(),
            run: Box::new(move |input, context| run(parse_input(name, input)?, context).map(Into::into)),
        }
    }

    /// For a tool whose schema no type has: `run` gets the input as the model wrote it.
    pub fn with_spec(spec: ToolSpec, run: impl Fn(&str, &Context) -> Result<Output, Error> + 'static) -> Self {
        Self {
            name: spec.name,
            description: None,
            texts: Texts::Written {
                description: spec.description,
                input_schema: spec.input_schema,
                output_schema: spec.output_schema,
            },
            annotations: spec.annotations,
            run: Box::new(run),
        }
    }

    /// What it does and when to use it, where the input type's doc comment does not say it.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Changes nothing: calls may run beside each other, and get a read-only workspace.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.annotated("read-only", "true")
    }

    /// May destroy what can't be brought back.
    #[must_use]
    pub fn destructive(self) -> Self {
        self.annotated("destructive", "true")
    }

    /// A person's word is wanted before each call.
    #[must_use]
    pub fn approval(self) -> Self {
        self.annotated("approval", "true")
    }

    /// The same call twice is the same as once, so that it may be retried.
    #[must_use]
    pub fn idempotent(self) -> Self {
        self.annotated("idempotent", "true")
    }

    /// Can say what it would change: where [`Context::is_preview`] is true it changes nothing (it couldn't) and returns what it would
    /// change, as a unified diff where it can. A person is shown it before allowing the call.
    #[must_use]
    pub fn previews(self) -> Self {
        self.annotated("previews", "true")
    }

    /// Never beside another call in the same workspace.
    #[must_use]
    pub fn exclusive(self) -> Self {
        self.annotated("exclusive", "true")
    }

    /// What a call uses, as a template over the input such as `file:{/path}`.
    #[must_use]
    pub fn resource(self, template: &str) -> Self {
        self.annotated("resource", template)
    }

    /// Any annotation of `tool-spec`.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.push((key.to_owned(), value.into()));
        self
    }

    /// What the host and the model see of this tool.
    pub fn spec(&self) -> ToolSpec {
        let (description, input_schema, output_schema) = match &self.texts {
            Texts::OfType(schema) => {
                let (description, schema) = split(schema());
                (description, schema, None)
            }
            Texts::Written {
                description,
                input_schema,
                output_schema,
            } => (description.clone(), input_schema.clone(), output_schema.clone()),
        };
        ToolSpec {
            name: self.name.clone(),
            description: self.description.clone().unwrap_or(description),
            input_schema,
            output_schema,
            annotations: self.annotations.clone(),
        }
    }

    /// Runs it on an input as the model wrote it.
    pub fn call(&self, input: &str, context: &Context) -> Result<Output, Error> {
        (self.run)(input, context)
    }

    #[doc(hidden)]
    pub fn dispatch(tools: &[Self], name: &str, input: &str, context: &Context) -> Result<Output, Error> {
        match tools.iter().find(|tool| tool.name == name) {
            Some(tool) => tool.call(input, context),
            None => {
                let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
                Err(
                    Error::new("unknown-tool", format!("there is no tool `{name}` in this plugin"))
                        .hint(format!("it has {}", names.join(", "))),
                )
            }
        }
    }
}

impl Context {
    /// Whether the call is to say what it would change, and change nothing.
    pub fn is_preview(&self) -> bool {
        self.annotations
            .iter()
            .any(|(key, value)| key == "preview" && value == "true")
    }

    /// The plugin's configuration as a type; a wrong one is the operator's to mend.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.config).map_err(|error| {
            Error::new("bad-config", format!("the plugin's configuration is wrong: {error}"))
                .hint("mend the `config` table of this plugin's grant")
        })
    }
}

impl Default for Context {
    /// For native tests: empty ids and no configuration.
    fn default() -> Self {
        Self {
            session: String::new(),
            run: String::new(),
            call: String::new(),
            config: "{}".to_owned(),
            annotations: Vec::new(),
        }
    }
}

impl From<CallContext> for Context {
    fn from(context: CallContext) -> Self {
        Self {
            session: context.session,
            run: context.run,
            call: context.call,
            config: context.config,
            annotations: context.annotations,
        }
    }
}

impl Output {
    /// Text for the model.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            structured: None,
            user_text: None,
            artifacts: Vec::new(),
            annotations: Vec::new(),
        }
    }

    /// The same for programs, as JSON.
    pub fn structured(mut self, value: &impl Serialize) -> Result<Self, Error> {
        let text = serde_json::to_string(value).map_err(|error| {
            Error::new(
                "not-json",
                format!("the structured output can't be written as JSON: {error}"),
            )
        })?;
        self.structured = Some(text);
        Ok(self)
    }

    /// Another text for the person who watches.
    #[must_use]
    pub fn user_text(mut self, text: impl Into<String>) -> Self {
        self.user_text = Some(text.into());
        self
    }
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Output {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.name)
            .field("annotations", &self.annotations)
            .finish_non_exhaustive()
    }
}

/// Sub-schemas are written in place: a model reads a schema without `$ref` more surely. What tells it nothing is left out:
/// defaults of `null`, and the width of a Rust integer as a `format`, which some providers refuse.
fn schema_of<I: JsonSchema>() -> schemars::Schema {
    let tidy = |schema: &mut schemars::Schema| {
        if schema.get("default").is_some_and(serde_json::Value::is_null) {
            schema.remove("default");
        }
        if schema
            .get("format")
            .is_some_and(|format| NUMBER_FORMATS.iter().any(|name| format == name))
        {
            schema.remove("format");
        }
    };
    let mut settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(tidy));
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator().into_root_schema_for::<I>()
}

/// The description goes to the tool, and the name of the type to nobody.
fn split(mut schema: schemars::Schema) -> (String, String) {
    let description = match schema.remove("description") {
        Some(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    schema.remove("title");
    (description, schema.to_value().to_string())
}

fn parse_input<I: DeserializeOwned>(tool: &str, input: &str) -> Result<I, Error> {
    serde_json::from_str(input).map_err(|error| {
        Error::new("invalid-input", format!("the input of `{tool}` does not fit: {error}"))
            .hint("call the tool again with an input that fits its schema")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds numbers.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Add {
        /// What to add.
        numbers: Vec<i64>,
        /// Whether to print the sign.
        #[serde(default)]
        sign: bool,
    }

    fn add(input: Add, _context: &Context) -> Result<String, Error> {
        let sum: i64 = input.numbers.iter().sum();
        Ok(if input.sign {
            format!("{sum:+}")
        } else {
            sum.to_string()
        })
    }

    fn tools() -> Vec<Tool> {
        vec![Tool::new("add", add).read_only().resource("sum:{/numbers}")]
    }

    #[test]
    fn spec_comes_from_the_input_type() {
        let spec = tools()[0].spec();
        assert_eq!(
            (spec.name.as_str(), spec.description.as_str()),
            ("add", "Adds numbers.")
        );
        assert_eq!(
            spec.annotations,
            [("read-only", "true"), ("resource", "sum:{/numbers}")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        let schema: serde_json::Value = serde_json::from_str(&spec.input_schema).unwrap();
        let expected = serde_json::json!({
            "type": "object",
            "properties": {
                "numbers": {"type": "array", "items": {"type": "integer"}, "description": "What to add."},
                "sign": {"type": "boolean", "default": false, "description": "Whether to print the sign."},
            },
            "required": ["numbers"],
            "additionalProperties": false,
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn calls() {
        let check = |name: &str, input: &str, expected: &str| {
            let text = match Tool::dispatch(&tools(), name, input, &Context::default()) {
                Ok(output) => output.text,
                Err(error) => format!("{}: {}", error.code, error.message),
            };
            assert_eq!(text, expected);
        };
        check("add", r#"{"numbers":[1,2],"sign":true}"#, "+3");
        check(
            "add",
            r#"{"number":1}"#,
            "invalid-input: the input of `add` does not fit: unknown field `number`, expected `numbers` or `sign` at line 1 column 9",
        );
        check("sub", "{}", "unknown-tool: there is no tool `sub` in this plugin");
    }

    #[test]
    fn a_wrong_configuration_is_named() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {}
        let context = Context {
            config: r#"{"x":1}"#.to_owned(),
            ..Context::default()
        };
        assert_eq!(context.config::<Config>().unwrap_err().code, "bad-config");
        assert!(Context::default().config::<Config>().is_ok());
    }
}
