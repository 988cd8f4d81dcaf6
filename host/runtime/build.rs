//! Builds the plugins that the program carries: `guest-plugins/` for WebAssembly, copied to where the sources include them.
//!
//! A nested Cargo needs a target directory of its own (the outer one is locked) and none of the outer build's flags. The directory
//! is shared by build, check and Clippy, so that guests are built once.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const TARGET: &str = "wasm32-wasip2";

/// Package, component, manifest.
const PLUGINS: [(&str, &str, &str); 7] = [
    ("patterns/react", "react", "react"),
    ("tools/files", "files", "files"),
    ("memory/notes", "notes", "notes"),
    ("demo/endless-loop", "endless_loop", "endless-loop"),
    ("demo/memory-bomb", "memory_bomb", "memory-bomb"),
    ("demo/nosy", "nosy", "nosy"),
    ("demo/crasher", "crasher", "crasher"),
];

/// Variables of the outer build that would change the inner one.
const OUTER: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CLIPPY_ARGS",
];

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told what to do by its environment"
)]
fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    // Asked for as it runs: two checkouts that share a target directory share this program.
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is in host/")
        .to_owned();
    let guests = root.join("guest-plugins");
    for watched in ["Cargo.toml", "Cargo.lock", "sdk", "patterns", "tools", "memory", "demo"] {
        println!("cargo::rerun-if-changed={}", guests.join(watched).display());
    }
    println!("cargo::rerun-if-changed={}", root.join("wit").display());
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    check_target(&rustc);
    let target = target_directory(&out);
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .current_dir(&guests)
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target);
    for variable in OUTER {
        build.env_remove(variable);
    }
    if !build.status().is_ok_and(|status| status.success()) {
        fail(
            "the bundled plugins in guest-plugins/ could not be built",
            "see the compiler's messages above",
        );
    }
    for (package, component, manifest) in PLUGINS {
        copy(
            &target.join(TARGET).join("release").join(format!("{component}.wasm")),
            &out,
        );
        let from = guests.join(package).join(format!("{manifest}.toml"));
        std::fs::copy(&from, out.join(format!("{component}.toml"))).expect("every bundled plugin has a manifest");
    }
}

fn copy(from: &Path, out: &Path) {
    let to = out.join(from.file_name().expect("a component has a name"));
    if let Err(error) = std::fs::copy(from, &to) {
        fail(&format!("{} can't be copied: {error}", from.display()), "build again");
    }
}

fn check_target(rustc: &std::ffi::OsStr) {
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let installed = output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !installed {
        fail(
            &format!("the Rust target {TARGET} is not installed"),
            &format!("rustup target add {TARGET}"),
        );
    }
}

/// `<target>/guests`, found from `<target>/<profile>/build/<package>/out`.
fn target_directory(out: &Path) -> PathBuf {
    let profile = out
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "build"));
    let target = profile
        .and_then(|build| build.parent())
        .and_then(Path::parent)
        .unwrap_or(out);
    target.join("guests")
}

#[expect(clippy::print_stderr, reason = "Cargo shows what a failing build script says")]
fn fail(what: &str, mend: &str) -> ! {
    eprintln!("error: {what}\nhint: {mend}");
    println!("cargo::error={what} (hint: {mend})");
    exit(1)
}
