//! What the compile worker does with a component: look before compiling, then compile.
//!
//! Runs in the child process only: untrusted bytes are never parsed or compiled in the host's.

use sandbar_protocol::{Error, Result};
use wasmparser::{Encoding, Parser, Payload};

use crate::engine::compiling_engine;
use crate::error::{broken, chain, internal};
use crate::facts::Shape;
use crate::limits::{MAX_FUNCTION_BODY_BYTES, MAX_FUNCTION_LOCALS, MAX_FUNCTIONS, MAX_IMPORTS, MAX_NESTING, MAX_TYPES};

/// Machine code and what can be known without running it.
pub(crate) fn compile(bytes: &[u8]) -> Result<(Shape, Vec<u8>)> {
    let shape = inspect(bytes)?;
    if shape.kind().is_none() {
        let exports = match shape.exports.as_slice() {
            [] => "nothing".to_owned(),
            names => names
                .iter()
                .take(5)
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        return Err(broken(
            "other-world",
            format!("it is a component, but no plugin: it exports {exports}, not `sandbar:plugin/tool`, `…/pattern` or `…/memory`"),
        )
        .with_hint("build it for the world `tool-plugin`, `pattern-plugin` or `memory-plugin` of `wit/`"));
    }
    let engine =
        compiling_engine().map_err(|error| internal(format!("the compiler can't be started: {}", chain(&error))))?;
    let code = engine.precompile_component(bytes).map_err(|error| {
        broken("invalid-component", format!("it is not valid: {}", chain(&error)))
            .with_hint("build it again; `wasm-tools validate` says more")
    })?;
    Ok((shape, code))
}

/// Reads the sections without compiling, and refuses what would make compiling it an attack.
fn inspect(bytes: &[u8]) -> Result<Shape> {
    check_header(bytes)?;
    let mut look = Look::default();
    for payload in Parser::new(0).parse_all(bytes) {
        look.at(&payload.map_err(|error| invalid(&error))?)?;
    }
    Ok(look.shape)
}

fn check_header(bytes: &[u8]) -> Result<()> {
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return Err(broken("core-module", "it is a core module, not a component").with_hint(
            "build for the target wasm32-wasip2, or wrap it: wasm-tools component new module.wasm -o plugin.wasm",
        ));
    }
    let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let found = if bytes.is_empty() {
        "is empty".to_owned()
    } else {
        format!("starts with {}", start.join(" "))
    };
    Err(broken(
        "not-wasm",
        format!("it is not WebAssembly: it {found}, not with 00 61 73 6d"),
    )
    .with_hint("copy the component again, or take it out of the directory"))
}

#[derive(Default)]
struct Look {
    shape: Shape,
    /// How deep in nested components and modules the parser is.
    depth: u32,
    functions: u32,
    types: u32,
    imports: u32,
}

impl Look {
    fn at(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                // The outermost level is the component itself.
                if self.depth > MAX_NESTING {
                    return Err(bomb(&format!(
                        "components in it are nested more than {MAX_NESTING} deep"
                    )));
                }
                debug_assert!(self.depth > 1 || *encoding == Encoding::Component);
            }
            Payload::End(_) => self.depth -= 1,
            Payload::ImportSection(section) => self.count_imports(section.count())?,
            Payload::ComponentImportSection(section) => {
                self.count_imports(section.count())?;
                if self.depth == 1 {
                    for import in section.clone() {
                        self.shape
                            .imports
                            .push(import.map_err(|error| invalid(&error))?.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                self.count_imports(section.count())?;
                for export in section.clone() {
                    self.shape
                        .exports
                        .push(export.map_err(|error| invalid(&error))?.name.name.to_owned());
                }
            }
            Payload::TypeSection(section) => {
                self.types = self.types.saturating_add(section.count());
                if self.types > MAX_TYPES {
                    return Err(bomb(&format!("it has more than {MAX_TYPES} types")));
                }
            }
            Payload::FunctionSection(section) => {
                self.functions = self.functions.saturating_add(section.count());
                if self.functions > MAX_FUNCTIONS {
                    return Err(bomb(&format!("it has more than {MAX_FUNCTIONS} functions")));
                }
            }
            Payload::CodeSectionEntry(body) => check_body(body)?,
            _ => {}
        }
        Ok(())
    }

    fn count_imports(&mut self, count: u32) -> Result<()> {
        self.imports = self.imports.saturating_add(count);
        if self.imports > MAX_IMPORTS {
            return Err(bomb(&format!("it has more than {MAX_IMPORTS} imports and exports")));
        }
        Ok(())
    }
}

fn check_body(body: &wasmparser::FunctionBody<'_>) -> Result<()> {
    let bytes = body.range().len();
    if bytes > MAX_FUNCTION_BODY_BYTES {
        return Err(bomb(&format!(
            "a function in it has {bytes} bytes, the limit is {MAX_FUNCTION_BODY_BYTES}"
        )));
    }
    let mut locals: u32 = 0;
    for group in body.get_locals_reader().map_err(|error| invalid(&error))? {
        locals = locals.saturating_add(group.map_err(|error| invalid(&error))?.0);
    }
    if locals > MAX_FUNCTION_LOCALS {
        return Err(bomb(&format!(
            "a function in it has {locals} local variables, the limit is {MAX_FUNCTION_LOCALS}"
        )));
    }
    Ok(())
}

fn invalid(error: &wasmparser::BinaryReaderError) -> Error {
    broken("invalid-component", format!("it is damaged: {error}"))
        .with_hint("copy or build it again; `wasm-tools validate` says more")
}

fn bomb(what: &str) -> Error {
    broken("compile-refused", format!("it would take too long to compile: {what}"))
        .with_hint("split it into smaller plugins, or build it optimised for size")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], code: &str) {
        let found = inspect(bytes).map_or_else(|error| error.code, |_| "ok".to_owned());
        assert_eq!(found, code);
    }

    #[test]
    fn files_that_are_no_component() {
        check(b"", "not-wasm");
        check(b"#!/bin/sh", "not-wasm");
        check(b"\0asm\x01\0\0\0", "core-module");
        check(b"\0asm\x0d\0\x01\0", "ok");
        check(b"\0asm\x0d\0\x01\0\xff\xff", "invalid-component");
    }
}
