//! From sources to a component: one compiler for each language, started as a child.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sandbar::protocol::{Error, ErrorKind, Result};
use serde_json::Value;

use super::packed;
use super::project::{Language, Project};
use crate::failure::file_failed;

const TARGET: &str = "wasm32-wasip2";

/// Variables of an outer build that would change this one.
const OUTER: [&str; 8] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_MANIFEST_DIR",
];

/// A compiler that is a package of its language.
struct Compiler {
    program: &'static str,
    /// Where in a project its language's tools put programs.
    beside: &'static str,
    install: &'static str,
}

const PYTHON: Compiler = Compiler {
    program: "componentize-py",
    beside: ".venv/bin",
    install: "pip install componentize-py==0.25.1",
};

const JAVASCRIPT: Compiler = Compiler {
    program: "componentize-qjs",
    beside: "node_modules/.bin",
    install: "npm install componentize-qjs@0.4.5",
};

/// Builds the component at `to`. What the compiler says of a mistake goes to `say`; Cargo speaks for itself on standard error.
pub(crate) fn compile(project: &Project, target_directory: Option<&Path>, to: &Path, say: &dyn Fn(&str)) -> Result<()> {
    match project.language {
        Language::Rust => {
            let component = cargo(project, target_directory)?;
            std::fs::copy(&component, to).map_err(|error| file_failed("copy", &component, error))?;
            Ok(())
        }
        Language::Python => with_wit(project, |wit| {
            let mut command = PYTHON.command(&project.directory);
            command
                .arg("-q")
                .arg("-d")
                .arg(wit)
                .args(["-w", project.world(), "componentize", "app", "-o"])
                .arg(to);
            PYTHON.run(command, project, say)
        }),
        Language::Javascript => with_wit(project, |wit| {
            let mut command = JAVASCRIPT.command(&project.directory);
            command
                .arg("--sync")
                .arg("--wit")
                .arg(wit)
                .args(["-n", project.world(), "--js", "app.js", "-o"])
                .arg(to);
            JAVASCRIPT.run(command, project, say)
        }),
    }
}

fn cargo(project: &Project, target_directory: Option<&Path>) -> Result<PathBuf> {
    require_target(&project.directory)?;
    let own = project.directory.join("target");
    let mut command = Command::new("cargo");
    command
        .current_dir(&project.directory)
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
            "--target-dir",
        ])
        .arg(target_directory.unwrap_or(&own))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for variable in OUTER {
        command.env_remove(variable);
    }
    let mut child = command.spawn().map_err(|error| no_rust("cargo", error))?;
    let mut component = None;
    if let Some(stdout) = child.stdout.take() {
        // The author's package is built last, after what it depends on.
        for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
            component = component_of(&line).or(component);
        }
    }
    let status = child.wait().map_err(|error| no_rust("cargo", error))?;
    if !status.success() {
        return Err(build_failed(project, "cargo"));
    }
    component.ok_or_else(|| {
        Error::new(
            ErrorKind::Plugin,
            "no-component",
            format!("`{}` was built, but no component came of it", project.name),
        )
        .with_hint("its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`")
    })
}

/// The component that a message of Cargo tells of.
fn component_of(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_component = message["reason"] == "compiler-artifact"
        && message["target"]["kind"]
            .as_array()?
            .iter()
            .any(|kind| kind == "cdylib");
    let names = message["filenames"].as_array().filter(|_| is_component)?;
    names
        .iter()
        .filter_map(Value::as_str)
        .find(|name| name.ends_with(".wasm"))
        .map(PathBuf::from)
}

fn require_target(directory: &Path) -> Result<()> {
    let output = Command::new("rustc")
        .current_dir(directory)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| no_rust("rustc", error))?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        "no-toolchain",
        format!("the Rust target `{TARGET}` is not installed"),
    )
    .with_hint(format!("rustup target add {TARGET}")))
}

fn no_rust(program: &str, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Config,
        "no-toolchain",
        format!("`{program}` can't be started: {error}"),
    )
    .with_hint(format!(
        "install Rust from https://rustup.rs, then: rustup target add {TARGET}"
    ))
    .with_source(error)
}

fn build_failed(project: &Project, program: &str) -> Error {
    Error::new(
        ErrorKind::Plugin,
        "build-failed",
        format!("`{}` was not built: `{program}` found mistakes", project.name),
    )
    .with_hint("mend what it says above")
}

impl Compiler {
    /// The one beside the project comes first: its version is the project's choice.
    fn command(&self, directory: &Path) -> Command {
        let beside = directory.join(self.beside).join(self.program);
        let mut command = if beside.is_file() {
            Command::new(beside)
        } else {
            Command::new(self.program)
        };
        // Both are Rust programs; what their authors' mistakes need is the message, without a backtrace of the compiler.
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .env("RUST_BACKTRACE", "0");
        command
    }

    fn run(&self, mut command: Command, project: &Project, say: &dyn Fn(&str)) -> Result<()> {
        let Output { status, stdout, stderr } = command.output().map_err(|error| {
            let why = if error.kind() == std::io::ErrorKind::NotFound {
                "is not installed".to_owned()
            } else {
                format!("can't be started: {error}")
            };
            Error::new(ErrorKind::Config, "no-toolchain", format!("`{}` {why}", self.program))
                .with_hint(format!(
                    "{} (then it is found on the PATH or in {})",
                    self.install, self.beside
                ))
                .with_source(error)
        })?;
        if status.success() {
            return Ok(());
        }
        for text in [stdout, stderr] {
            say(String::from_utf8_lossy(&text).trim_end());
        }
        Err(build_failed(project, self.program))
    }
}

/// The project's own `wit/`, or the one that the program carries.
fn with_wit(project: &Project, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let own = project.directory.join("wit");
    if own.is_dir() {
        return build(&own);
    }
    let carried =
        tempfile::tempdir().map_err(|error| file_failed("create a directory in", &std::env::temp_dir(), error))?;
    for (name, text) in packed::files("wit") {
        packed::write_new(&carried.path().join(name), text)?;
    }
    build(carried.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_told_from_other_artifacts() {
        let check =
            |line: &str, expected: Option<&str>| assert_eq!(component_of(line), expected.map(PathBuf::from), "{line}");
        check(
            r#"{"reason":"compiler-artifact","target":{"kind":["cdylib"]},"filenames":["/t/x.d","/t/x.wasm"]}"#,
            Some("/t/x.wasm"),
        );
        check(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"filenames":["/t/x.rlib"]}"#,
            None,
        );
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("warning: text", None);
    }
}
