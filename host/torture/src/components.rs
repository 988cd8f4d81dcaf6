//! The bytes of a hostile component: built from Rust before, put together from a text, or generated because no file could hold them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::bombs;

/// Where the sources are, and what was built of them.
#[derive(Debug, Clone)]
pub struct Components {
    /// `tests/guests`.
    sources: PathBuf,
    /// Components that Cargo has built.
    built: PathBuf,
}

/// What a file says of its tools in a line `;; tool: {…}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: String,
}

const COMPONENT_PART: &str = ";; component:\n";
const TOOL_LINE: &str = ";; tool: ";
const NO_TOOLS: &str = ";; tools: none";
/// The same in each component; the files say what they are.
const SHELL: &str = include_str!("../../../tests/guests/tool.wat");
const HOST: &str = include_str!("../../../tests/guests/host.wat");
/// What stands for the tool that a file doesn't describe.
const ATTACK: (&str, &str, &str) = ("attack", "Does what it shouldn't.", r#"{"type":"object"}"#);

impl Components {
    #[must_use]
    pub fn new(sources: &Path, built: &Path) -> Self {
        Self {
            sources: sources.to_owned(),
            built: built.to_owned(),
        }
    }

    /// By the name of its file in `samples` or `hostile`, or of a bomb.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        if let Some(bomb) = bombs::build(name) {
            return bomb;
        }
        match self.text(name)? {
            Some(text) => wat::parse_str(&text).with_context(|| format!("`{name}.wat` is no component:\n{text}")),
            None => {
                let path = self.built.join(name).with_extension("wasm");
                std::fs::read(&path).with_context(|| format!("`{}`", path.display()))
            }
        }
    }

    /// The whole text of a component that is written by hand; none if there is no such file.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        let path = self.sources.join("hostile").join(name).with_extension("wat");
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
        let starts = |word: &str| text.lines().any(|line| line.starts_with(word));
        if starts("(component") || starts("(module") {
            return Ok(Some(text));
        }
        let tools = tools(&text)?;
        Ok(Some(assemble(&text, &tools)))
    }
}

/// Adds to the beginning of a core module what a tool plugin needs besides.
pub(crate) fn assemble(text: &str, tools: &[Described]) -> String {
    let (fields, component) = text.split_once(COMPONENT_PART).unwrap_or((text, ""));
    let imports = fields.contains("(import \"host\"");
    let mut whole = String::from("(component\n");
    let mut with = String::new();
    whole.push_str(component);
    if imports {
        // Functions of the host are made before the module that calls them, so that memory is in a third one.
        whole.push_str(
            "(core module $store (memory (export \"memory\") 2)\n  \
               (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 8192)))\n\
             (core instance $store (instantiate $store))\n\
             (alias core export $store \"memory\" (core memory $memory))\n\
             (alias core export $store \"realloc\" (core func $realloc))\n",
        );
        whole.push_str(HOST);
        with.push_str(" (with \"host\" (instance $host)) (with \"store\" (instance $store))");
    }
    if component.contains("(core instance $own") {
        with.push_str(" (with \"own\" (instance $own))");
    }
    whole.push_str("(core module $m\n");
    if imports {
        whole.push_str("  (import \"store\" \"memory\" (memory 1))\n");
    }
    whole.push_str(
        "  (type $call (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))\n",
    );
    whole.push_str(fields);
    whole.push_str(&missing(fields, imports));
    let _ = writeln!(whole, ")\n(core instance $i (instantiate $m{with}))");
    if !imports {
        whole.push_str(
            "(alias core export $i \"memory\" (core memory $memory))\n\
             (alias core export $i \"realloc\" (core func $realloc))\n",
        );
    }
    let post_return = if fields.contains("(export \"post\")") {
        whole.push_str("(alias core export $i \"post\" (core func $post))\n");
        "(post-return (core func $post))"
    } else {
        ""
    };
    whole.push_str(&describing(tools));
    whole.push_str(&SHELL.replace("POST-RETURN", post_return));
    whole.push_str(")\n");
    whole
}

/// What a file leaves out because most have the same: memory, a place for arguments, and the answer `done`.
fn missing(fields: &str, imports: bool) -> String {
    let mut missing = String::new();
    if !imports && !fields.contains("(export \"memory\")") {
        missing.push_str("(memory (export \"memory\") 1)\n");
    }
    if !imports && !fields.contains("(export \"realloc\")") {
        missing.push_str("(func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 8192))\n");
    }
    if !fields.contains("(export \"call\")") {
        missing.push_str("(func (export \"call\") (type $call) (i32.const 512))\n");
    }
    if !fields.contains("(data (i32.const 512)") {
        missing.push_str("(data (i32.const 512) \"\\00\\00\\00\\00\" \"\\00\\04\\00\\00\" \"\\04\\00\\00\\00\")\n");
    }
    if !fields.contains("(data (i32.const 1024)") {
        missing.push_str("(data (i32.const 1024) \"done\")\n");
    }
    missing
}

fn tools(fields: &str) -> Result<Vec<Described>> {
    let lines = fields.lines().filter_map(|line| line.strip_prefix(TOOL_LINE));
    let tools: Vec<Described> = lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` is no tool")))
        .collect::<Result<_>>()?;
    if tools.is_empty() && !fields.contains(NO_TOOLS) {
        return Ok(vec![Described::attack()]);
    }
    Ok(tools)
}

impl Described {
    pub(crate) fn attack() -> Self {
        let (name, description, schema) = ATTACK;
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            schema: schema.to_owned(),
        }
    }
}

/// The core module that hands over what the tools are: a list at 16, the specifications, then their texts.
fn describing(tools: &[Described]) -> String {
    const LIST: usize = 16;
    const SPECS: usize = 1024;
    const SPEC_BYTES: usize = 44;
    let mut texts: Vec<u8> = Vec::new();
    let mut specs: Vec<u8> = Vec::new();
    let texts_at = SPECS + tools.len() * SPEC_BYTES;
    for tool in tools {
        for text in [&tool.name, &tool.description, &tool.schema] {
            specs.extend(word(texts_at + texts.len()));
            specs.extend(word(text.len()));
            texts.extend(text.as_bytes());
        }
        // No output schema, no annotations.
        specs.extend([0; 20]);
    }
    let pages = (texts_at + texts.len()).div_ceil(1 << 16);
    let list = [word(SPECS), word(tools.len())].concat();
    format!(
        "(core module $describing (memory (export \"memory\") {pages})\n  (data (i32.const {LIST}) \"{}\")\n  \
         (data (i32.const {SPECS}) \"{}{}\")\n  (func (export \"describe\") (result i32) (i32.const {LIST})))\n",
        escaped(&list),
        escaped(&specs),
        escaped(&texts)
    )
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that can't be parsed would only be found where a harness runs.
    #[test]
    fn every_text_is_a_component() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests");
        let components = Components::new(&sources, Path::new("nowhere"));
        let (mut seen, mut wrong) = (0, Vec::new());
        for entry in std::fs::read_dir(sources.join("hostile")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wat") {
                let found = components.read(path.file_stem().unwrap().to_str().unwrap());
                wrong.extend(found.err().map(|error| format!("{error:#}")));
                seen += 1;
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(seen > 40, "{seen}");
    }
}
