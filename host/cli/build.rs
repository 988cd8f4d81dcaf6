//! Packs what `sandbar plugins new` writes - templates, SDK, WIT - into one generated file, so that an installed program needs no
//! clone of this repository.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Directory in the repository, and the name under which its files are packed.
const PACKED: [(&str, &str); 3] = [
    ("wit", "wit"),
    ("guest-plugins/sdk/rust", "sdk"),
    ("guest-plugins/templates", "templates"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told what to do by its environment"
)]
fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is in host/");
    let mut packed = String::from("&[\n");
    for (directory, name) in PACKED {
        let directory = root.join(directory);
        println!("cargo::rerun-if-changed={}", directory.display());
        pack(&directory, name, &mut packed);
    }
    packed.push_str("]\n");
    std::fs::write(out.join("packed.rs"), packed).expect("OUT_DIR can be written");
}

/// Sorted, so that the same sources give the same program.
fn pack(directory: &Path, name: &str, packed: &mut String) {
    let entries = std::fs::read_dir(directory).expect("the directory is part of the repository");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the directory can be read").path())
        .collect();
    paths.sort();
    for path in paths {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}/{file_name}");
        if path.is_dir() {
            pack(&path, &name, packed);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("every packed file is text");
        let _ = writeln!(packed, "    ({name:?}, {:?}),", standing_alone(&name, text));
    }
}

/// The SDK in a project has the WIT in its own directory and no workspace to take lints from.
fn standing_alone(name: &str, mut text: String) -> String {
    let replace = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{name} has no `{from}`");
        text.replace(from, to)
    };
    match name {
        "sdk/Cargo.toml" => text = replace(&text, "\n[lints]\nworkspace = true\n", ""),
        "sdk/src/bindings.rs" => text = replace(&text, "\"../../../wit\"", "\"wit\""),
        _ => {}
    }
    text
}
