//! The table of attacks: what a component does, what must come of it, and the limit that it meets.

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// Its component, and behind a colon what it is told to do.
    pub name: &'static str,
    /// For people.
    pub does: &'static str,
    pub way: Way,
    pub ends: Ends,
    /// The limit or rule that it meets, for people; where that is a limit of the configuration, the tests make it a near one.
    pub meets: &'static str,
}

/// How it is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By being in the directory of plugins.
    Loaded,
    /// By a call of a tool.
    Called {
        tool: &'static str,
        input: &'static str,
        given: Given,
    },
    /// As the pattern of an agent, whose message is what stands behind the colon.
    Stepped,
}

/// What the operator gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Nothing,
    /// Writing in the workspace.
    Files,
    /// Writing in the workspace, and in the directory in which the configuration, the plugins and the data are.
    Project,
    /// An instance that lasts as long as its session.
    Instance,
    /// Requests to two servers of this machine; a third isn't granted.
    Network,
    /// Keeping things for the session.
    Kv,
    /// The same servers, and a secret for one of them; files and keys, to carry it away.
    Secret,
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// An error with one of these codes: in the harness, where the clock is near, it is over before the processor time if many want that.
    Error(&'static [&'static str]),
    /// It may answer, and this is what it has got: the attack came to nothing.
    Answer(&'static str),
}

impl Attack {
    /// The name of its component.
    #[must_use]
    pub fn component(&self) -> &'static str {
        self.name.split(':').next().unwrap_or(self.name)
    }

    /// Whether a compiler works on it until it is stopped.
    #[must_use]
    pub fn is_compiled_for_long(&self) -> bool {
        self.meets == WORKER
    }

    /// What the operator gives it.
    #[must_use]
    pub fn given(&self) -> Given {
        match self.way {
            Way::Called { given, .. } => given,
            Way::Loaded | Way::Stepped => Given::Nothing,
        }
    }

    /// The manifest of its component, whose limits are near where it is they that end it, and which requests these powers; none where it
    /// needs none.
    #[must_use]
    pub fn manifest(&self, powers: &str, cpu_ms: u64, wall_ms: u64) -> Option<String> {
        let limit = match self.meets {
            WALL => format!("wall_ms = {wall_ms}"),
            TIMES => format!("cpu_ms = {cpu_ms}"),
            // It goes on asking when it has all that it gets, and has to get there first.
            HOARD => format!("cpu_ms = {}", cpu_ms * 20),
            _ => return self.lifetime().map(str::to_owned),
        };
        let lifetime = self.lifetime().unwrap_or_default();
        (self.way != Way::Loaded).then(|| format!("{lifetime}[requests]\n{powers}[limits]\n{limit}\n"))
    }

    /// The manifest of one whose instance lasts.
    #[must_use]
    pub fn lifetime(&self) -> Option<&'static str> {
        (self.given() == Given::Instance).then_some("lifetime = \"session\"\n")
    }

    /// The codes of errors that it may end with where the clock is far.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        match (self.ends, self.meets) {
            (Ends::Error(_), WALL) => vec!["wall-limit"],
            (Ends::Error(codes), _) if self.way != Way::Loaded => {
                codes.iter().copied().filter(|code| *code != "wall-limit").collect()
            }
            (Ends::Error(codes), _) => codes.to_vec(),
            (Ends::Answer(_), _) => Vec::new(),
        }
    }

    /// What it is told to do.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.name.split_once(':').map_or("go", |(_, message)| message)
    }
}

/// A loop: the processor time is used up, or in the harness, where many want it, the time on the clock.
const TIME: Ends = Ends::Error(&["cpu-limit", "wall-limit"]);
const TRAPPED: Ends = Ends::Error(&["plugin-trapped"]);
const TOO_MUCH: Ends = Ends::Error(&["transfer-limit"]);
const TOO_MANY: Ends = Ends::Error(&["too-many-requests"]);
const BAD_DESCRIBE: Ends = Ends::Error(&["bad-describe"]);
const REFUSED: Ends = Ends::Error(&["refused"]);
const NOT_COMPILED: Ends = Ends::Error(&["compile-refused"]);
/// What most of those that are written by hand answer if nobody stops them.
const DONE: Ends = Ends::Answer("done");

const WALL: &str = "time on the clock of a call";
const TIMES: &str = "processor time, else the clock";
const HOARD: &str = "memory of an instance";
const TRANSFER: &str = "8 MiB to the host in a call";
const ABI: &str = "canonical ABI: checked as it is read";
const HANDLES: &str = "1,000 handles of an instance";
const WALLS: &str = "the directory that was opened is all there is";
const SCHEMA: &str = "rules for schemas";
const COMPILE: &str = "a look before compiling";
const WORKER: &str = "processor time of the compile worker";

const fn loaded(name: &'static str, does: &'static str, ends: Ends, meets: &'static str) -> Attack {
    let way = Way::Loaded;
    Attack {
        name,
        does,
        way,
        ends,
        meets,
    }
}

/// A tool of another name than `attack`, with powers.
const fn tool(
    name: &'static str,
    tool: &'static str,
    given: Given,
    does: &'static str,
    ends: Ends,
    meets: &'static str,
) -> Attack {
    let way = Way::Called {
        tool,
        input: "{}",
        given,
    };
    Attack {
        name,
        does,
        way,
        ends,
        meets,
    }
}

const fn called(name: &'static str, does: &'static str, ends: Ends, meets: &'static str) -> Attack {
    tool(name, "attack", Given::Nothing, does, ends, meets)
}

const fn stepped(name: &'static str, does: &'static str, ends: Ends, meets: &'static str) -> Attack {
    let way = Way::Stepped;
    Attack {
        name,
        does,
        way,
        ends,
        meets,
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    [
        TIME_AND_CALLS,
        MEMORY,
        BOUNDARY,
        SELF_DESCRIPTION,
        POWERS,
        OUTSIDE,
        PATTERNS,
        FILES_AND_CODE,
    ]
    .into_iter()
    .flatten()
}

#[rustfmt::skip] // A row is a line.
pub const TIME_AND_CALLS: &[Attack] = &[
    tool("loop", "spin", Given::Nothing, "computes for ever", TIME, TIMES),
    called("loop_in_realloc", "loops where the host asks for room for the arguments", TIME, TIMES),
    called("loop_in_post_return", "loops after the host has read its answer", TIME, TIMES),
    called("loop_in_destructor", "loops in the destructor of a resource", TIME, TIMES),
    called("trap_in_destructor", "traps in the destructor of a resource", TRAPPED, "a trap ends the call"),
    tool("sleep_forever", "sleep", Given::Nothing, "sleeps for a year", Ends::Error(&["wall-limit"]), WALL),
    called("sleep_longest", "waits for 2⁶⁴ - 1 ns", Ends::Error(&["wall-limit"]), WALL),
    called("many_sleeps", "sleeps for 1 ms, for ever", TIME, WALL),
    called("poll_flood", "waits for what is ready, for ever", TIME, TIMES),
    called("poll_list", "waits for one thing a million times at once", TOO_MUCH, TRANSFER),
    called("pollable_leak", "starts waits without end", Ends::Error(&["handle-limit"]), HANDLES),
    called("stream_leak", "opens streams without end", Ends::Error(&["handle-limit"]), HANDLES),
    called("clock_flood", "asks for the time, for ever", TIME, TIMES),
    called("random_flood", "asks for random bytes, for ever", TIME, TIMES),
    called("random_most", "asks for 64 KiB of random bytes", DONE, "this much it may have"),
    called("random_huge", "asks for a byte more", TRAPPED, "64 KiB of random bytes in a call of the host"),
    called("random_endless", "asks for 2⁶⁴ - 1 random bytes", TRAPPED, "64 KiB of random bytes in a call of the host"),
    tool("stdout_flood", "flood", Given::Nothing, "prints for ever", TIME, TIMES),
    tool("stderr_flood", "flood", Given::Nothing, "prints to standard error for ever", TIME, TIMES),
    tool("log_flood", "flood", Given::Nothing, "logs 16 MiB, then for ever", TOO_MUCH, TRANSFER),
    called("log_nothing", "logs nothing, for ever", TIME, TIMES),
    tool("progress_flood", "flood", Given::Nothing, "reports 16 MiB of progress, then for ever", TOO_MUCH, TRANSFER),
    called("progress_nothing", "reports nothing, for ever", TIME, TIMES),
    tool("stat_flood", "flood", Given::Files, "asks for the state of a file, for ever", TIME, TIMES),
    tool("open_flood", "flood", Given::Files, "opens and closes a file, for ever", TIME, TIMES),
    tool("list_flood", "flood", Given::Files, "lists a directory, for ever", TIME, TIMES),
    called("exit", "ends the process with 0", TRAPPED, "the exit is the call's alone"),
];

#[rustfmt::skip] // A row is a line.
pub const MEMORY: &[Attack] = &[
    tool("memory_bomb", "allocate", Given::Nothing, "takes memory until there is none", Ends::Error(&["memory-limit", "guest-memory-exhausted"]), HOARD),
    tool("memory_churn", "churn", Given::Nothing, "takes and frees memory for ever", Ends::Error(&["cpu-limit", "wall-limit", "guest-memory-exhausted"]), TIMES),
    called("memories_that_grow", "grows eight memories in turn", Ends::Error(&["memory-limit", "guest-memory-exhausted"]), "memory of an instance, as a sum"),
    called("grow_then_log", "hands the host 7 MiB, again and again", TIME, TIMES),
    loaded("first_memory_too_large", "wants 3.7 GiB to begin with", Ends::Error(&["memory-limit"]), HOARD),
    loaded("many_memories", "has 20 memories", Ends::Error(&["instance-limit"]), "16 memories of an instance"),
    loaded("many_tables", "has 20 tables", Ends::Error(&["instance-limit"]), "16 tables of an instance"),
    loaded("many_instances", "has a hundred instances inside", Ends::Error(&["instance-limit"]), "64 core instances of a component"),
    tool("table_bomb", "answer", Given::Nothing, "grows a table until it may not", Ends::Answer("100000"), "100,000 table elements"),
    tool("stack_overflow", "recurse", Given::Nothing, "calls itself for ever", TRAPPED, "its own stack"),
    called("deep_recursion", "calls itself for ever without memory", Ends::Error(&["stack-overflow"]), "512 KiB of stack"),
    called("deep_host_calls", "calls the host from ever deeper", Ends::Error(&["stack-overflow"]), "512 KiB of stack"),
];

#[rustfmt::skip] // A row is a line.
pub const BOUNDARY: &[Attack] = &[
    tool("huge_result", "answer", Given::Nothing, "claims that its answer has 2 GiB", TRAPPED, ABI),
    tool("big_result", "answer", Given::Nothing, "answers with all its memory", Ends::Error(&["transfer-limit", "no-memory"]), TRANSFER),
    called("realloc_out_of_bounds", "takes its arguments where it has no memory", TRAPPED, ABI),
    called("result_out_of_bounds", "answers from where it has no memory", TRAPPED, ABI),
    called("result_unaligned", "answers from an odd address", TRAPPED, ABI),
    called("bad_utf8", "answers with bytes that are no text", TRAPPED, ABI),
    called("bad_discriminant", "answers neither ok nor an error", TRAPPED, ABI),
    called("bad_option", "answers with an option that is neither", TRAPPED, ABI),
    called("million_annotations", "answers with a million annotations", TOO_MUCH, TRANSFER),
    called("million_artifacts", "answers with 200,000 artifacts", TOO_MUCH, TRANSFER),
    called("deep_json", "structured content 100,000 lists deep", Ends::Error(&["bad-output"]), "128 levels of JSON"),
    called("structured_no_json", "structured content that is no JSON", Ends::Error(&["bad-output"]), "it is parsed before it is taken"),
    called("huge_error", "fails with a message of 1 MiB", Ends::Error(&["huge"]), "4 KiB of a message"),
    called("escape_error", "fails with escape sequences", Ends::Error(&["2Jred"]), "codes are letters, digits and `-`; shown texts are cleaned"),
    called("artifact_too_large", "an artifact of 4 MiB and a byte", Ends::Error(&["output-too-large"]), "4 MiB of artifacts"),
    called("artifact_path", "an artifact that is called `../stolen.txt`", DONE, "a name is never a path"),
    called("log_bad_level", "logs at level 99", TRAPPED, ABI),
    called("log_bad_text", "logs bytes that are no text", TRAPPED, ABI),
    tool("trap_in_host_call", "attack", Given::Instance, "makes a call of the host trap, and hopes to be called again", TRAPPED, "an instance that trapped is gone"),
    tool("counter", "attack", Given::Instance, "leaves a number for the next session", Ends::Answer("1"), "an instance is one session's"),
];

#[rustfmt::skip] // A row is a line.
pub const SELF_DESCRIPTION: &[Attack] = &[
    loaded("loop_in_start", "loops while it is instantiated", TIME, "limits of `describe`"),
    loaded("loop_in_initialize", "loops in `_initialize`", TIME, "limits of `describe`"),
    loaded("exit_in_start", "ends the process while it is instantiated", TRAPPED, "the exit is the call's alone"),
    loaded("loop_in_describe", "loops in `describe`", TIME, "limits of `describe`"),
    loaded("trap_in_describe", "panics in `describe`", TRAPPED, "a trap ends the call"),
    loaded("flood_in_describe", "describes 100,000 tools", TOO_MUCH, TRANSFER),
    loaded("bad_schema", "schemas that are none", BAD_DESCRIBE, SCHEMA),
    loaded("deep_schema", "a schema 80 levels deep", BAD_DESCRIBE, SCHEMA),
    loaded("huge_schema", "a schema of 70 kB", BAD_DESCRIBE, SCHEMA),
    called("schema_ref_loop", "a schema that is defined by itself", DONE, "a circle of references ends"),
    loaded("schema_doubling", "a schema that takes 2³⁰ checks", BAD_DESCRIBE, SCHEMA),
    Attack {
        way: Way::Called {
            tool: "attack",
            input: r#"{"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}"#,
            given: Given::Nothing,
        },
        ..called("schema_backtracking", "a regular expression that backtracks for ever", Ends::Error(&["invalid-arguments"]), "regular expressions take linear time")
    },
    loaded("duplicate_tools", "two tools of one name", BAD_DESCRIBE, "one tool has a name"),
    loaded("bad_tool_name", "tool names that nobody can write", BAD_DESCRIBE, "letters, digits, `_` and `-`"),
    loaded("escape_name", "a tool name with escape sequences", BAD_DESCRIBE, "letters, digits, `_` and `-`"),
    loaded("many_tools", "129 tools", BAD_DESCRIBE, "128 tools"),
    loaded("no_tools", "no tool at all", BAD_DESCRIBE, "a tool plugin has a tool"),
    loaded("long_description", "a description of 4 KiB and a byte", BAD_DESCRIBE, "4 KiB of a description"),
    called("unseen_description", "a description with characters that nobody sees", DONE, "they are taken out"),
    tool("changing_describe", "attack", Given::Nothing, "describes something else each time", Ends::Answer("done"), "asked once for each file"),
];

#[rustfmt::skip] // A row is a line.
pub const POWERS: &[Attack] = &[
    tool("path_escapes", "attack", Given::Files, "`..`, absolute paths, `/proc/self`, and the like", REFUSED, WALLS),
    tool("link_escapes", "attack", Given::Files, "links that lead out, with and without a slash behind", REFUSED, WALLS),
    tool("hard_links", "attack", Given::Files, "a second name for a file outside", REFUSED, WALLS),
    tool("rename_race", "attack", Given::Files, "swaps a directory and a link while it opens a file", REFUSED, WALLS),
    tool("write_read_only", "write", Given::Files, "says that it only reads, and writes", REFUSED, "a reader's instance can't write"),
    tool("truncate_read_only", "attack", Given::Files, "opens for reading, and truncates", REFUSED, "a reader's instance can't write"),
    tool("rename_read_only", "attack", Given::Files, "moves and links what it may only read", REFUSED, "a reader's instance can't write"),
    tool("grant_itself", "attack", Given::Files, "writes `sandbar.toml` and a manifest into its workspace", REFUSED, "grants are read from the operator's files, at the start"),
    tool("own_places", "attack", Given::Project, "data, configuration, plugins and secrets of Sandbar, in a directory that it was given", REFUSED, "Sandbar's own places are in no guest's hands"),
    tool("file_leak", "attack", Given::Files, "opens files and never closes them", Ends::Error(&["open-files-limit", "handle-limit", "could-not-open"]), "open files of an instance, and of all"),
    tool("environment_peek", "attack", Given::Nothing, "looks for variables, arguments, a directory", REFUSED, "there are none"),
    tool("connect", "attack", Given::Nothing, "connects, listens, looks up names", REFUSED, "there is no network"),
];

#[rustfmt::skip] // A row is a line.
pub const OUTSIDE: &[Attack] = &[
    tool("http_flood", "attack", Given::Network, "sends requests without end", TOO_MANY, "100 requests of a session, then 20 a second"),
    tool("http_to_private", "attack", Given::Network, "asks metadata services, private networks and other ports, also by redirects", REFUSED, "the addresses that were granted"),
    tool("http_big_response", "attack", Given::Network, "fetches a body without an end", Ends::Error(&["too-large"]), "8 MiB of a response"),
    tool("http_slow_server", "attack", Given::Network, "fetches a byte a second", Ends::Error(&["wall-limit"]), WALL),
    tool("wasi_http_smuggle", "attack", Given::Network, "sends headers that are the host's, with `wasi:http`", REFUSED, "headers of the connection are the host's"),
    tool("secret_echo", "attack", Given::Secret, "reads the secret from a server that echoes it, and puts it wherever it can", Ends::Answer("[redacted]"), "what comes back is searched"),
    tool("secret_to_other_host", "attack", Given::Secret, "has the secret sent to another server", REFUSED, "a secret is for its hosts"),
    tool("kv_flood", "attack", Given::Kv, "reads keys, for ever", Ends::Error(&["too-many-calls"]), "4,096 calls of `kv` in a call"),
    tool("kv_big", "attack", Given::Kv, "keeps a value that is too large, then as many as it may", Ends::Error(&["quota"]), "64 KiB of a value, 4 MiB of all"),
    tool("kv_other_space", "attack", Given::Kv, "reads what another plugin keeps", REFUSED, "a space is one plugin's"),
];

#[rustfmt::skip] // A row is a line.
pub const PATTERNS: &[Attack] = &[
    stepped("pattern_loop", "a step that loops", TIME, TIMES),
    stepped("pattern_trap", "a step that panics", TRAPPED, "a trap ends the step"),
    stepped("pattern_garbage:no-actions", "decides nothing", Ends::Error(&["bad-decision"]), "a decision has an action"),
    stepped("pattern_garbage:many-actions", "decides 100,000 things", Ends::Error(&["bad-decision", "transfer-limit"]), "64 actions"),
    stepped("pattern_garbage:big-state", "a state of 1 MiB", Ends::Error(&["bad-decision"]), "64 KiB of state"),
    stepped("pattern_garbage:unknown-call", "runs a call that nobody asked for", Ends::Error(&["bad-decision"]), "calls are the model's, or named as its own"),
    stepped("pattern_endless", "never finishes", Ends::Error(&["max-steps"]), "steps of a run"),
];

#[rustfmt::skip] // A row is a line.
pub const FILES_AND_CODE: &[Attack] = &[
    loaded("core_module", "is no component", Ends::Error(&["core-module"]), "the header"),
    loaded("other_world", "exports something else", Ends::Error(&["other-world"]), "the worlds of `wit/`"),
    loaded("missing_import", "imports what nobody gives", Ends::Error(&["missing-import"]), "the imports that are linked"),
    loaded("precompiled", "is machine code", Ends::Error(&["not-wasm"]), "code is loaded from the host's own cache only"),
    loaded("too_large", "has 65 MiB", Ends::Error(&["too-large"]), "64 MiB of a file"),
    loaded("many_functions", "200,000 functions", NOT_COMPILED, COMPILE),
    loaded("many_locals", "40,000 local variables", NOT_COMPILED, COMPILE),
    loaded("long_function", "a function of 2 MiB and a byte", NOT_COMPILED, COMPILE),
    loaded("nested_components", "20 components in each other", NOT_COMPILED, COMPILE),
    loaded("nested_instances", "10,000 instances in four levels", Ends::Error(&["instance-limit", "compile-refused"]), "64 core instances of a component"),
    loaded("many_types", "400,000 types", NOT_COMPILED, COMPILE),
    called("many_segments", "99,000 data segments", DONE, "they are one image, made by the compiler"),
    called("deep_blocks", "200,000 blocks in each other", DONE, WORKER),
    loaded("huge_br_table", "a jump table with 1.9 million targets", Ends::Error(&["invalid-component"]), "limits of the format"),
    loaded("slow_function", "a function of 1.9 MB", NOT_COMPILED, WORKER),
    called("slow_functions", "twelve functions of 300 kB", DONE, WORKER),
    loaded("locals_in_loops", "40 loops around 9,900 variables", NOT_COMPILED, WORKER),
];
