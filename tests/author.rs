//! The way of a plugin's author: a project from the template, its component, its cases, and every mistake on the way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::program::{Ended, run, sandbar};
use crate::support::quiet;
use crate::support::script::{asks, says};

/// Where Cargo and rustup keep what they have: their homes, and the names of those in ours.
const KEPT: [(&str, &str); 2] = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];

/// The function of the template that lists its tools.
const TOOLS: &str = "vec![Tool::new(\"greet\", greet).read_only()]";

/// A directory with the project `hello`, made by `plugins new`.
struct Author {
    directory: TempDir,
    _share: quiet::Share,
}

impl Author {
    fn new() -> Self {
        let share = quiet::share();
        let directory = tempfile::tempdir().unwrap();
        let ended = run(directory.path(), &["plugins", "new", "hello"]).expect(0);
        assert!(ended.out.contains("hello/src/lib.rs\n"), "{}", ended.out);
        assert_eq!(ended.err, "\nnow try: cd hello && sandbar plugins test\n");
        Self {
            directory,
            _share: share,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// `sandbar plugins …` on the project, with the compiler of this machine. The SDK is compiled once for all builds.
    fn plugins(&self, command: &str) -> Ended {
        self.plugins_of("hello", command)
    }

    fn plugins_of(&self, project: &str, command: &str) -> Ended {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests-author");
        let arguments = ["plugins", command, project, "--target-dir", target.to_str().unwrap()];
        let mut command = sandbar(self.directory.path(), &arguments);
        command.envs(variable("PATH").map(|path| ("PATH", path)));
        for (name, folder) in KEPT {
            let kept = variable(name).or_else(|| Some(PathBuf::from(variable("HOME")?).join(folder).into_os_string()));
            command.envs(kept.map(|place| (name, place)));
        }
        command.envs(variable("RUSTUP_TOOLCHAIN").map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
        command.output().unwrap().into()
    }

    /// Builds with another text in a file, which is then as before.
    fn with(&self, file: &str, change: impl FnOnce(&str) -> String, command: &str) -> Ended {
        let before = self.read(file);
        let changed = change(&before);
        assert_ne!(changed, before, "the template has changed");
        self.write(file, &changed);
        let ended = self.plugins(command);
        self.write(file, &before);
        ended
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the tools of this machine are is for the environment to say"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// One test, for each build waits for the one before it.
#[test]
fn from_a_template_to_an_agent() {
    let author = Author::new();
    builds(&author);
    mistakes_in_the_code(&author);
    cases(&author);
    an_agent_calls_it(&author);
    a_memory(&author);
}

fn builds(author: &Author) {
    let built = author.plugins("build").expect(0).out;
    let lines: Vec<&str> = built.lines().collect();
    assert!(
        lines[0].starts_with("hello/plugins/hello.wasm  ") && lines[0].ends_with("  tool"),
        "{built}"
    );
    assert_eq!(lines[1], "  tools    hello__greet");
    assert!(author.path("hello/plugins/hello.toml").is_file());

    let tested = author.plugins("test").expect(0).out;
    let lines: Vec<&str> = tested.lines().collect();
    let (last, passed) = lines.split_last().unwrap();
    assert_eq!((*last, passed.len()), ("3 passed", 3), "{tested}");
    assert!(passed.iter().all(|line| line.starts_with("✓ ")), "{tested}");
}

/// Each is told once, as the last thing; what was built before stays.
fn mistakes_in_the_code(author: &Author) {
    let good = std::fs::read(author.path("hello/plugins/hello.wasm")).unwrap();
    let check = |from: &str, to: &str, compiler: &str, expected: &str| {
        let ended = author.with("hello/src/lib.rs", |text| text.replace(from, to), "build");
        let ended = ended.expect(7);
        assert!(
            ended.err.ends_with(expected),
            "{expected}\nis not the end of:\n{}",
            ended.err
        );
        assert!(ended.err.contains(compiler), "{compiler} is not in:\n{}", ended.err);
        assert_eq!(ended.err.matches("\nhint: ").count(), 1, "{}", ended.err);
        assert_eq!(ended.out, "");
        assert_eq!(std::fs::read(author.path("hello/plugins/hello.wasm")).unwrap(), good);
    };
    check(
        TOOLS,
        "vec![Tool::new(;",
        "src/lib.rs:8:",
        "error: `hello` was not built: `cargo` found mistakes\nhint: mend what it says above\n",
    );
    check(
        "sandbar_sdk::tool_plugin!(tools);",
        "",
        "function `tools` is never used",
        "error: `hello` was built, but no host can use it: it is a component, but no plugin: it exports nothing, not \
         `sandbar:plugin/tool`, `…/pattern` or `…/memory`\nhint: make it a plugin: `sandbar_sdk::tool_plugin!(tools);` in src/lib.rs\n",
    );
    check(
        "\"greet\", greet",
        "\"say hello\", greet",
        "Finished",
        "error: `hello` was built, but no host can use it: the tool name `say hello` is not 1 to 40 of A-Z a-z 0-9 _ -\n\
         hint: see `tool-spec` in wit/tool.wit for what a tool may say of itself\n",
    );
    check(
        TOOLS,
        r##"
            let input_schema = r#"{"type":"object","properties":{"name":{"pattern":"(?=a)b"}}}"#.to_owned();
            let spec = Tool::new("greet", greet).spec();
            vec![Tool::with_spec(sandbar_sdk::ToolSpec { input_schema, ..spec }, |_, _| Err(Error::new("x", "x")))]
        "##,
        "Finished",
        "error: `hello` was built, but no host can use it: the input schema of `greet`: the JSON Schema can't be used: \
         at `/properties/name/pattern`: \"(?=a)b\" is not a \"regex\"\n\
         hint: see `tool-spec` in wit/tool.wit for what a tool may say of itself\n",
    );
}

fn cases(author: &Author) {
    let file = "hello/tests/hello.toml";
    let case = "[[case]]\nname = \"greets Bob\"\ntool = \"greet\"\ninput = { name = \"Bob\" }\n";
    let written = author.read(file).lines().count();
    let with = |more: &str| author.with(file, |text| format!("{text}{case}{more}"), "test");

    // A file that can't be read is known before anything is built.
    let ended = with("expct = { text = \"x\" }\n").expect(2);
    let line = written + 5;
    let expected =
        format!("error: tests/hello.toml:{line}: a case of a tool has no key `expct`\nhint: did you mean `expect`?\n");
    assert_eq!((ended.out.as_str(), ended.err), ("", expected));

    let ended = with("expect = { text = \"Hello, Ada!\" }\n").expect(1);
    let at = written + 1;
    let expected =
        format!("    tests/hello.toml:{at}\n    text\n      - Hello, Ada!\n      + Hello, Bob!\n3 passed, 1 failed\n");
    assert!(ended.out.contains("✗ greets Bob  "), "{}", ended.out);
    assert!(ended.out.ends_with(&expected), "{}", ended.out);
}

fn an_agent_calls_it(author: &Author) {
    let told = "[[reply]]\nexpect = { last = '^Hello, Ada!$' }\n";
    let answer = says("She is greeted.").replace("[[reply]]\n", told);
    let script = asks(&[("hello__greet", r#"{"name":"Ada"}"#)]) + &answer;
    author.write("replies.toml", &script);
    let config = "[plugins]\ndirectories = [\"hello/plugins\"]\n\
                  [models.script]\nprovider = \"scripted\"\nscript = \"replies.toml\"\n\
                  [agents.main]\nmodel = \"script\"\nplugins = [\"hello\"]\n";
    author.write("sandbar.toml", config);
    let ended = run(author.directory.path(), &["run", "greet Ada"]).expect(0);
    assert_eq!(ended.out, "She is greeted.\n");
    assert!(ended.err.contains("✓ hello__greet"), "{}", ended.err);
    // Who builds it again, into the directory from which the agent takes it, has approved of it.
    author
        .with(
            "hello/src/lib.rs",
            |code| code.replace(TOOLS, &format!("{TOOLS} // again")),
            "build",
        )
        .expect(0);
    let lock = author.read("sandbar.lock");
    assert!(lock.contains("approved_by = \"plugins build\""), "{lock}");
    run(author.directory.path(), &["run", "greet Ada"]).expect(0);
    run(author.directory.path(), &["plugins", "verify"]).expect(0);
}

fn a_memory(author: &Author) {
    let new = |name: &str, more: &[&str]| {
        let arguments = [&["plugins", "new", name, "--kind", "memory"], more].concat();
        run(author.directory.path(), &arguments)
    };
    new("recaller", &[]).expect(0);
    let built = author.plugins_of("recaller", "build").expect(0).out;
    assert!(built.lines().next().unwrap().ends_with("  memory"), "{built}");
    let tested = author.plugins_of("recaller", "test").expect(0).out;
    assert!(tested.ends_with("\n2 passed\n"), "{tested}");
    let refused = new("other", &["--lang", "python"]).expect(1).err;
    assert!(
        refused.contains("there is no template of a memory in python"),
        "{refused}"
    );
    assert!(!author.path("other").exists());
}

#[test]
fn bad_names_make_no_project() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, why: &str| {
        let ended = run(directory.path(), &["plugins", "new", name]).expect(2);
        let expected = format!(
            "error: `{name}` can't be a plugin's name: {why}\n\
             hint: a name is 1 to 40 of A-Z a-z 0-9 _ -, begins with a letter, and has no `__`\n"
        );
        assert_eq!((ended.out.as_str(), ended.err), ("", expected));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{name}");
    };
    check("", "it has 0 characters");
    check(&"x".repeat(41), "it has 41 characters");
    check("../x", "it has the character `.`");
    check("a b", "it has the character ` `");
    check("2x", "it doesn't begin with a letter");
    check("a__b", "`__` stands between a plugin's name and a tool's");
    check("match", "Rust has the name for something else");
    check("sandbar", "`sandbar.toml` is another program's file");
}

/// One file that is there is enough for nothing to be written, whatever its text.
#[test]
fn a_new_project_overwrites_nothing() {
    let check = |arguments: &[&str], file: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "mine").unwrap();
        let ended = run(directory.path(), &[&["plugins", "new"], arguments].concat()).expect(2);
        let expected = format!(
            "error: `{file}` is there already\n\
             hint: nothing was written: choose another name or another directory with `--dir`\n"
        );
        assert_eq!((ended.out.as_str(), ended.err), ("", expected));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "{file}");
    };
    check(&["hello"], "hello/src/lib.rs");
    check(&["hello"], "hello/hello.toml");
    check(&["hello", "--dir", "there"], "there/Cargo.toml");
    check(&["hello", "--lang", "python"], "hello/app.py");
    check(&["hello", "--lang", "javascript", "--kind", "pattern"], "hello/app.js");
}

#[test]
fn what_is_no_project_is_not_built() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["build", "test"] {
        let ended = run(directory.path(), &["plugins", command, "nowhere"]).expect(2);
        let expected = "error: the directory `nowhere` can't be opened: No such file or directory (os error 2)\n\
                        hint: make a project: sandbar plugins new NAME\n";
        assert_eq!(ended.err, expected);
        let ended = run(directory.path(), &["plugins", command]).expect(2);
        let expected = "is no plugin's project: it has none of `Cargo.toml`, `app.py`, `app.js`\n\
                        hint: name the project's directory, or make one: sandbar plugins new NAME\n";
        assert!(ended.err.ends_with(expected), "{}", ended.err);
    }
}
