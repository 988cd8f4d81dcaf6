//! Checks the components that are written by hand, and what the built ones import.

#![expect(clippy::unwrap_used, reason = "everything in this file is a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

/// Top-level imports and exports of a component.
struct Surface {
    imports: Vec<String>,
    exports: Vec<String>,
}

fn surface(bytes: &[u8]) -> Surface {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    Surface { imports, exports }
}

fn written() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // Most are the beginning of a core module, and are made a component by what loads them.
    let is_whole = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().any(|line| ["(component", "(module"].contains(&line))
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wat") && is_whole(path));
    files.sort();
    files
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let bytes = wat::parse_file(path).unwrap_or_else(|error| panic!("{error}"));
            (name, bytes)
        })
        .collect()
}

#[test]
fn written_components_are_valid() {
    let written = written();
    let check = |name: &str, imports: &[&str], exports: &[&str]| {
        let (_, bytes) = written.iter().find(|(found, _)| found == name).unwrap();
        Validator::new_with_features(WasmFeatures::default())
            .validate_all(bytes)
            .unwrap();
        let surface = surface(bytes);
        assert_eq!(
            (surface.imports, surface.exports),
            (owned(imports), owned(exports)),
            "{name}"
        );
    };
    let tool = &["sandbar:plugin/tool@0.1.0"];
    check("core_module", &[], &[]);
    check("huge_result", &[], tool);
    check("loop_in_start", &[], tool);
    check("missing_import", &["acme:nothing/here@1.0.0"], tool);
    check("other_world", &[], &["acme:calc/adder@1.0.0"]);
    check("table_bomb", &[], tool);
    assert_eq!(written.len(), 6);
}

/// A bundled plugin uses nothing that a third party's can't, and nothing that its work does not need.
#[test]
fn bundled_components_import_little() {
    let built = build_bundled();
    let check = |name: &str, ours: &[&str], exports: &str| {
        let surface = surface(&fs::read(built.join(name)).unwrap());
        for import in &surface.imports {
            let known = |ours: &&str| *import == format!("sandbar:plugin/{ours}@0.1.0");
            assert!(
                import.starts_with("wasi:") || ours.iter().any(known),
                "{name} imports {import}"
            );
            assert!(!import.starts_with("wasi:sockets"), "{name} imports {import}");
        }
        assert_eq!(surface.exports, [exports], "{name}");
    };
    let (tool, pattern) = ("sandbar:plugin/tool@0.1.0", "sandbar:plugin/pattern@0.1.0");
    check("react.wasm", &["types", "log", "history"], pattern);
    for name in ["files", "endless_loop", "memory_bomb", "nosy", "crasher"] {
        check(&format!("{name}.wasm"), &["types", "log", "progress"], tool);
    }
}

/// Builds the bundled plugins beside this test and says where they are.
fn build_bundled() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            "wasm32-wasip2",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-plugins"))
        .status()
        .unwrap();
    assert!(status.success(), "the bundled plugins were not built: {status}");
    target.join("wasm32-wasip2/release")
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
