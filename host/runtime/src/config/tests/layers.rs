//! Several sources: which wins, and what relative paths are relative to.

use super::*;

struct Home {
    directory: TempDir,
    sources: Sources,
}

/// A project in `project`, a user's file in `user`, and a current directory.
fn home(user: &str, project: &str) -> Home {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path();
    for name in ["user", "project/sub"] {
        std::fs::create_dir_all(base.join(name)).unwrap();
        std::fs::write(base.join(name).join("replies.toml"), "").unwrap();
    }
    std::fs::write(base.join("project/replies.toml"), "").unwrap();
    std::fs::write(base.join("user/config.toml"), user).unwrap();
    std::fs::write(base.join("project/sandbar.toml"), project).unwrap();
    let sources = Sources {
        start_dir: base.join("project"),
        user: Some(base.join("user/config.toml")),
        default_data_dir: Some(base.join("data")),
        ..Sources::default()
    };
    Home { directory, sources }
}

impl Home {
    fn env(mut self, variables: &[(&str, &str)]) -> Self {
        self.sources.env = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self
    }

    fn set(mut self, flags: &[(&str, &str)]) -> Self {
        self.sources.overrides = flags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self
    }

    fn check(&self, key: &str, expected: &str) {
        let base = self.directory.path();
        let got = match Config::load(&self.sources) {
            Ok(config) => {
                let all = origins(&config, base);
                all.lines()
                    .filter(|line| line.starts_with(key))
                    .collect::<Vec<_>>()
                    .join("\n")
            }
            Err(errors) => shown(&errors, base),
        };
        assert_eq!(got, expected);
    }
}

#[test]
fn stronger_layers_win_key_by_key() {
    let user = "[limits]\ncpu_ms = 1\nwall_ms = 1\nmemory_mib = 1\nmax_instances = 1\n";
    let project = format!("[limits]\ncpu_ms = 2\nwall_ms = 2\nmemory_mib = 2\n{LEAST}");
    let home = home(user, &project)
        .env(&[
            ("SANDBAR__LIMITS__CPU_MS", "3"),
            ("SANDBAR__LIMITS__WALL_MS", "3"),
            ("PATH", "/bin"),
        ])
        .set(&[("limits.cpu_ms", "4"), ("limits.cpu_ms", "5")]);
    home.check(
        "limits.",
        "limits.cpu_ms = 5 (flag)\n\
         limits.guest_memory_mib = 0 (default)\n\
         limits.kernel_sandbox = true (default)\n\
         limits.max_instances = 1 (DIR/user/config.toml:5)\n\
         limits.memory_mib = 2 (sandbar.toml:4)\n\
         limits.put_aside = true (default)\n\
         limits.wall_ms = 3 (env SANDBAR__LIMITS__WALL_MS)\n\
         limits.workspace_mib = 4096 (default)",
    );
    home.check("data_dir", "data_dir = \"DIR/data\" (default)");
}

#[test]
fn variables_and_flags_are_read_as_the_schema_says() {
    let project = format!("{LEAST}[agents.My-Agent]\nmodel = 'script'\n");
    let home = home("", &project)
        .env(&[
            ("SANDBAR__DEFAULT_AGENT", "main"),
            ("SANDBAR__AGENTS__MY_AGENT__PATTERN", "5"),
        ])
        .set(&[
            ("agents.main.plugins", "['a', \"b\"]"),
            ("agents.main.description", "true"),
            ("grants.a.config.depth", "3"),
            ("grants.a.config.name", "plain words"),
        ]);
    home.check(
        "agents.My-Agent.pattern",
        "agents.My-Agent.pattern = \"5\" (env SANDBAR__AGENTS__MY_AGENT__PATTERN)",
    );
    home.check("agents.main.plugins", "agents.main.plugins = [\"a\",\"b\"] (flag)");
    home.check("agents.main.description", "agents.main.description = \"true\" (flag)");
    home.check(
        "grants.a.config",
        "grants.a.config.depth = 3 (flag)\ngrants.a.config.name = \"plain words\" (flag)",
    );
}

#[test]
fn problems_name_the_variable_or_the_flag() {
    home("", LEAST)
        .env(&[
            ("SANDBAR__LIMITS__CPU_MS", "much"),
            ("SANDBAR__LIMIT", "1"),
            ("SANDBAR__DATA_DIR__X", "1"),
        ])
        .set(&[("plugins.directories", "plugins"), ("agents.main.modle", "x")])
        .check(
            "",
            "--set agents.main.modle: unknown key `modle` in `agents.main`\nhint: did you mean `model`?\n\
             env SANDBAR__DATA_DIR__X: `data_dir` is a table, but a text is wanted\nhint: a text is written in quotes\n\
             env SANDBAR__LIMIT: unknown key `limit` at the top\nhint: did you mean `limits`?\n\
             env SANDBAR__LIMITS__CPU_MS: `limits.cpu_ms` is a text, but a whole number is wanted\n\
             hint: a number is written without quotes\n\
             --set plugins.directories: `plugins.directories` is a text, but a list is wanted\n\
             hint: a list is written `[\"first\", \"second\"]`",
        );
}

#[test]
fn paths_are_relative_to_what_names_them() {
    let home = home(
        "[plugins]\ndirectories = ['p']\n[models.u]\nprovider = 'scripted'\nscript = 'replies.toml'",
        LEAST,
    )
    .set(&[("workspace", "sub")]);
    let base = home.directory.path();
    let config = Config::load(&home.sources).unwrap();
    assert_eq!(config.plugin_directories, [base.join("user/p")]);
    assert_eq!(config.workspace, Some(base.join("project/sub")));
    let scripts: Vec<_> = config
        .models
        .values()
        .map(|model| match model {
            ModelConfig::Scripted { script } => script.clone(),
            ModelConfig::OpenAi(_) => unreachable!("no such model is written here"),
        })
        .collect();
    assert_eq!(
        scripts,
        [base.join("project/replies.toml"), base.join("user/replies.toml")]
    );
}

#[test]
fn instructions_of_the_stronger_layer_count() {
    let mut home =
        home("", &format!("{LEAST}instructions_file = 'replies.toml'")).set(&[("agents.main.instructions", "Now.")]);
    assert_eq!(Config::load(&home.sources).unwrap().agents["main"].instructions, "Now.");
    home.sources.overrides.clear();
    assert_eq!(Config::load(&home.sources).unwrap().agents["main"].instructions, "");
}

#[test]
fn files_that_were_asked_for_must_be_there() {
    let mut home = home("", LEAST);
    home.sources.project = Some("sub/other.toml".into());
    home.check(
        "",
        "the configuration `sub/other.toml` does not exist\nhint: looked for `DIR/project/sub/other.toml`",
    );
    std::fs::write(home.directory.path().join("project/sub/other.toml"), LEAST).unwrap();
    home.check("agents.main.model", "agents.main.model = \"script\" (sub/other.toml:5)");

    home.sources.project = None;
    home.sources.default_data_dir = None;
    std::fs::remove_file(home.directory.path().join("project/sandbar.toml")).unwrap();
    home.check(
        "",
        "there is no place for data: neither `data_dir`, nor a home directory in the environment\n\
         hint: set `data_dir`, `XDG_DATA_HOME` or `HOME`\n\
         no agent is configured\nhint: add `[agents.main]` with `model = \"…\"` to `sandbar.toml`",
    );
}

#[test]
fn both_files_are_read_before_problems_are_reported() {
    let hint = "hint: the file is TOML: `key = value` lines under `[section]` headers, texts in quotes";
    home("a = = b", "[x").check(
        "",
        &format!(
            "DIR/user/config.toml:1:5: extra `=`, expected nothing\n{hint}\n\
             sandbar.toml:1:3: unclosed table, expected `]`\n{hint}"
        ),
    );
}

#[test]
fn environment_tells_where_we_are() {
    let sources = Sources::from_environment().unwrap();
    assert!(sources.start_dir.is_absolute());
    assert!(sources.env.keys().all(|name| name.starts_with("SANDBAR__")));
    assert!(sources.project.is_none() && sources.overrides.is_empty());
}
