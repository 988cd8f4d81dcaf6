//! A directory with the sources of one plugin: its language, its name, its kind.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sandbar::plugins::{Kind, read_regular_text};
use sandbar::protocol::{Error, ErrorKind, Result};

use super::packed;
use crate::author::MAX_TEXT_BYTES;
use crate::failure::file_failed;

/// TOML files in a project that are no manifest of a plugin, whatever is in them.
const OTHERS: [&str; 3] = ["Cargo", "pyproject", "sandbar"];
/// Names that Cargo refuses, or that a dependency of the template has.
const RESERVED: [&str; 9] = [
    "alloc",
    "core",
    "proc-macro",
    "sandbar-sdk",
    "schemars",
    "serde",
    "std",
    "test",
    "self",
];
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final \
                        fn for gen if impl in let loop macro match mod move mut override priv pub ref return static struct \
                        super trait true try type typeof unsafe unsized use virtual where while yield";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    Python,
    Javascript,
}

/// What `--kind` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TemplateKind {
    Tool,
    Pattern,
    /// In Rust alone
    Memory,
}

#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) directory: PathBuf,
    pub(crate) language: Language,
    pub(crate) kind: Kind,
    /// That of the manifest's file.
    pub(crate) name: String,
}

impl Language {
    fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Javascript => "javascript",
        }
    }

    /// The file that tells a project's language.
    fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "app.py",
            Self::Javascript => "app.js",
        }
    }
}

impl Project {
    /// Finds out what a directory holds.
    pub(crate) fn find(directory: &Path) -> Result<Self> {
        let directory = directory.canonicalize().map_err(|error| {
            Error::new(
                ErrorKind::NotFound,
                "no-project",
                format!("the directory `{}` can't be opened: {error}", directory.display()),
            )
            .with_hint("make a project: sandbar plugins new NAME")
        })?;
        let languages = [Language::Rust, Language::Python, Language::Javascript];
        let language = languages
            .into_iter()
            .find(|language| directory.join(language.mark()).is_file());
        let language = language.ok_or_else(|| {
            let marks = languages.map(|language| format!("`{}`", language.mark())).join(", ");
            no_project(&directory, &format!("it has none of {marks}"))
        })?;
        let (name, kind) = manifest(&directory)?;
        Ok(Self {
            directory,
            language,
            kind,
            name,
        })
    }

    /// The world that the component must be built for.
    pub(crate) fn world(&self) -> &'static str {
        match self.kind {
            Kind::Tool => "tool-plugin",
            Kind::Pattern => "pattern-plugin",
            Kind::Memory => "memory-plugin",
        }
    }
}

/// The one manifest of a project: a TOML file that has a `kind`.
fn manifest(directory: &Path) -> Result<(String, Kind)> {
    let unreadable = |error| file_failed("read", directory, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "toml") || OTHERS.contains(&name.as_str()) {
            continue;
        }
        let text = read_regular_text(&path, MAX_TEXT_BYTES).map_err(|error| file_failed("read", &path, error))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let why = error.message().replace('\n', ", ");
            Error::new(
                ErrorKind::Plugin,
                "bad-manifest",
                format!("{}:{line}: {why}", path.display()),
            )
        })?;
        match table.get("kind").and_then(toml::Value::as_str) {
            Some("tool") => found.push((name, Kind::Tool)),
            Some("pattern") => found.push((name, Kind::Pattern)),
            Some("memory") => found.push((name, Kind::Memory)),
            _ => {}
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(no_project(
            directory,
            "it has no manifest, a `NAME.toml` with `kind = \"tool\"`, `\"pattern\"` or `\"memory\"`",
        )),
        _ => {
            let names: Vec<String> = found.iter().map(|(name, _)| format!("`{name}.toml`")).collect();
            Err(no_project(
                directory,
                &format!("it has more than one manifest: {}", names.join(", ")),
            ))
        }
    }
}

fn no_project(directory: &Path, why: &str) -> Error {
    let message = format!("`{}` is no plugin's project: {why}", directory.display());
    Error::new(ErrorKind::InvalidInput, "no-project", message)
        .with_hint("name the project's directory, or make one: sandbar plugins new NAME")
}

/// Writes a new project. Gives the names of its files.
pub(crate) fn create(directory: &Path, name: &str, language: Language, kind: TemplateKind) -> Result<Vec<String>> {
    check_name(name)?;
    if kind == TemplateKind::Memory && language != Language::Rust {
        let message = format!("there is no template of a memory in {}", language.word());
        return Err(Error::new(ErrorKind::Unsupported, "no-template", message).with_hint(
            "make one in Rust with `--lang rust`, or build a component for the world `memory-plugin` of `wit/`",
        ));
    }
    let files = contents(name, language, kind);
    if let Some((taken, _)) = files.iter().find(|(file, _)| directory.join(file).exists()) {
        let message = format!("`{}` is there already", directory.join(taken).display());
        return Err(Error::new(ErrorKind::InvalidInput, "file-exists", message)
            .with_hint("nothing was written: choose another name or another directory with `--dir`"));
    }
    for (file, text) in &files {
        packed::write_new(&directory.join(file), text)?;
    }
    Ok(files.into_iter().map(|(file, _)| file).collect())
}

fn contents(name: &str, language: Language, kind: TemplateKind) -> Vec<(String, String)> {
    let kind = match kind {
        TemplateKind::Tool => "tool",
        TemplateKind::Pattern => "pattern",
        TemplateKind::Memory => "memory",
    };
    let filled = |(file, text): (&str, &str)| (file.replace("NAME", name), text.replace("{{name}}", name));
    let mut files: Vec<_> = packed::files(&format!("templates/{}/{kind}", language.word()))
        .map(filled)
        .collect();
    let wit = if language == Language::Rust {
        "sandbar-sdk/wit"
    } else {
        "wit"
    };
    files.extend(packed::files("wit").map(|(file, text)| (format!("{wit}/{file}"), text.to_owned())));
    if language == Language::Rust {
        files.extend(packed::files("sdk").map(|(file, text)| (format!("sandbar-sdk/{file}"), text.to_owned())));
    }
    files.sort();
    files
}

/// The name goes into file names, the names of tools that models see, and that of a Rust package.
fn check_name(name: &str) -> Result<()> {
    let bad = |why: &str| {
        Err(Error::new(
            ErrorKind::InvalidInput,
            "bad-name",
            format!("`{}` can't be a plugin's name: {why}", name.escape_debug()),
        )
        .with_hint("a name is 1 to 40 of A-Z a-z 0-9 _ -, begins with a letter, and has no `__`"))
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let lower = name.to_ascii_lowercase();
    if !(1..=40).contains(&name.len()) {
        return bad(&format!("it has {} characters", name.chars().count()));
    }
    if let Some(other) = name.chars().find(|c| !letters(*c)) {
        return bad(&format!("it has the character `{}`", other.escape_debug()));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return bad("it doesn't begin with a letter");
    }
    if name.contains("__") {
        return bad("`__` stands between a plugin's name and a tool's");
    }
    if RESERVED.contains(&lower.replace('_', "-").as_str()) || KEYWORDS.split_whitespace().any(|word| word == lower) {
        return bad("Rust has the name for something else");
    }
    if OTHERS.iter().any(|other| other.eq_ignore_ascii_case(name)) {
        return bad(&format!("`{name}.toml` is another program's file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name: &str, problem: Option<&str>| match (check_name(name), problem) {
            (Ok(()), None) => {}
            (Err(error), Some(problem)) => assert!(error.message.contains(problem), "{name}: {error}"),
            (result, _) => panic!("{name}: {result:?}"),
        };
        check("hello", None);
        check("Hello-World_2", None);
        check("", Some("0 characters"));
        check(&"x".repeat(41), Some("41 characters"));
        check("hällo", Some("`ä`"));
        check("../x", Some("`.`"));
        check("2x", Some("letter"));
        check("a__b", Some("`__`"));
        check("match", Some("Rust"));
        check("sandbar_sdk", Some("Rust"));
        check("cargo", Some("another program"));
    }

    #[test]
    fn a_new_project_is_found_and_never_overwritten() {
        for language in [Language::Rust, Language::Python, Language::Javascript] {
            for (kind, expected) in [(TemplateKind::Tool, Kind::Tool), (TemplateKind::Pattern, Kind::Pattern)] {
                let parent = tempfile::tempdir().unwrap();
                let directory = parent.path().join("mine");
                let files = create(&directory, "my-plugin", language, kind).unwrap();
                assert!(
                    files.contains(&"my-plugin.toml".to_owned()) && files.contains(&"tests/my-plugin.toml".to_owned())
                );
                for file in &files {
                    let text = std::fs::read_to_string(directory.join(file)).unwrap();
                    assert!(!text.contains("{{"), "{file}");
                }
                let project = Project::find(&directory).unwrap();
                assert_eq!(
                    (project.name.as_str(), project.language, project.kind),
                    ("my-plugin", language, expected)
                );
                assert_eq!(
                    create(&directory, "my-plugin", language, kind).unwrap_err().code,
                    "file-exists"
                );
            }
        }
    }

    #[test]
    fn what_is_no_project_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let check = |file: &str, text: &str, problem: &str| {
            std::fs::write(directory.path().join(file), text).unwrap();
            let error = Project::find(directory.path()).unwrap_err();
            assert!(error.message.contains(problem), "{error}");
        };
        check("notes.md", "", "none of `Cargo.toml`, `app.py`, `app.js`");
        check("app.py", "", "no manifest");
        check("a.toml", "kind = \"tool\n", "a.toml:1: ");
        std::fs::write(directory.path().join("a.toml"), "kind = \"tool\"").unwrap();
        check("b.toml", "kind = \"tool\"", "more than one manifest");
    }
}
