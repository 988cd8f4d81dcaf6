//! The wall around `sandbar` itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::{landlock, skipped};
use crate::support::built;
use crate::support::program::{Ended, run, sandbar};
use crate::support::script::{asks, says};
use crate::support::world::World;

/// No process takes as long to end.
const PATIENCE: Timespec = Timespec {
    tv_sec: 300,
    tv_nsec: 0,
};

/// A world whose directory of plugins has a link to what is no plugin: to read it is refused behind the wall, and told.
fn with_a_telling_plugin() -> World {
    let world = World::new()
        .tools(&["files", "telling"])
        .with("[grants.files]\nfiles = \"read-write\"\n[consent.tools]\nfiles__write = \"ask\"")
        .file("canary", "this is no component")
        .script(asks(&[("files__write", r#"{"path":"a.md","content":"new"}"#)]) + &says("done"));
    symlink(world.path("canary"), world.path("plugins/telling.wasm")).unwrap();
    world.write_config();
    world
}

/// Whether a command was behind the wall when it looked at plugins.
fn assert_behind(ended: &Ended, wall: bool, command: &str) {
    let said = format!("{}{}", ended.out, ended.err);
    let denied = "can't be read: Permission denied";
    assert_eq!(said.contains(denied), wall, "{command} said:\n{said}");
    assert!(said.contains("telling"), "{command} said:\n{said}");
}

#[test]
fn every_command_that_loads_plugins_is_behind_the_wall() {
    if landlock() == 0 {
        return skipped("this kernel has no Landlock");
    }
    for (wall, setting) in [
        (true, "limits.kernel_sandbox=true"),
        (false, "limits.kernel_sandbox=false"),
    ] {
        let world = with_a_telling_plugin();
        let place = world.path("");
        let go = |arguments: &[&str]| run(&place, &[arguments, &["--set", setting]].concat());
        let told = |arguments: &[&str]| {
            let ended = go(arguments);
            assert_behind(&ended, wall, &arguments.join(" "));
            ended
        };
        told(&["plugins", "list"]);
        told(&["plugins", "inspect", "telling"]);
        told(&["config", "check"]);
        told(&["run", "--session", "talk", "go"]).expect(9);
        let unfinished = |world: &World| -> Value {
            let listed = run(&world.path(""), &["runs", "list", "--json"]).expect(0).out;
            serde_json::from_str(&listed).unwrap()
        };
        let waits = unfinished(&world);
        let (id, question) = (
            waits["id"].as_str().unwrap(),
            waits["suspensions"][0]["id"].as_str().unwrap(),
        );
        told(&["runs", "answer", question, "once"]).expect(0);
        assert_eq!(world.read("work/a.md"), "new");
        told(&["runs", "replay", id]).expect(0);
        std::fs::remove_file(world.path("work/a.md")).unwrap();
        told(&["run", "go"]).expect(9);
        told(&["runs", "cancel", unfinished(&world)["id"].as_str().unwrap()]).expect(0);
        let mut chat = sandbar(&place, &["chat", "--set", setting])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        chat.stdin.take().unwrap().write_all(b"/tools\n").unwrap();
        assert_behind(&chat.wait_with_output().unwrap().into(), wall, "chat");
    }
}

/// A session's own workspace that was replaced by a link to another place is none of its own.
#[test]
fn a_link_in_the_place_of_a_workspace_leads_nowhere() {
    if landlock() == 0 {
        return skipped("this kernel has no Landlock");
    }
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("canary.md"), "secret").unwrap();
    let shown = |setting: &str| {
        let world = World::new()
            .own_workspaces()
            .tools(&["files"])
            .with("[grants.files]\nfiles = \"read-only\"")
            .script(says("hello") + &asks(&[("files__list", "{\"path\":\".\"}")]) + &says("done"));
        world.write_config();
        let go = || {
            run(
                &world.path(""),
                &["run", "--json", "--session", "talk", "--set", setting, "go"],
            )
        };
        go().expect(0);
        let shown = run(&world.path(""), &["sessions", "list", "--json"]).expect(0).out;
        let id = serde_json::from_str::<Value>(&shown).unwrap()["workspace"]
            .as_str()
            .unwrap()
            .to_owned();
        let own = world.path("data/workspaces");
        std::fs::create_dir_all(&own).unwrap();
        symlink(outside.path(), own.join(id)).unwrap();
        let ended = go();
        format!("{}{}", ended.out, ended.err)
    };
    let without = shown("limits.kernel_sandbox=false");
    assert!(without.contains("canary.md"), "{without}");
    let behind = shown("limits.kernel_sandbox=true");
    assert!(!behind.contains("canary.md"), "{behind}");
    assert!(
        behind.contains("which the kernel's sandbox of this process leaves out"),
        "{behind}"
    );
}

/// Another workspace than the configured one is refused with the line that allows it, and with it works.
#[test]
fn another_workspace_is_refused_with_the_line_that_allows_it() {
    if landlock() == 0 {
        return skipped("this kernel has no Landlock");
    }
    let world = World::new()
        .tools(&["files"])
        .with("[grants.files]\nfiles = \"read-only\"")
        .file("other/b.md", "b")
        .script(says("hello") + &asks(&[("files__list", "{\"path\":\".\"}")]) + &says("done") + &says("again"));
    world.write_config();
    let work = world.path("work").canonicalize().unwrap().display().to_string();
    let go = |more: &[&str]| run(&world.path(""), &[&["run", "--session", "talk", "go"], more].concat());
    go(&[]).expect(0);
    let refused = go(&["--set", "workspace=other"]).expect(3);
    let said =
        format!("the workspace of the session is `{work}`, which the kernel's sandbox of this process leaves out");
    assert!(refused.err.contains(&said), "{}", refused.err);
    let line = format!("`workspace = \"{work}\"`");
    let flag = format!("--set workspace={work}");
    assert!(
        refused.err.contains(&line) && refused.err.contains(&flag),
        "{}",
        refused.err
    );
    assert_eq!(go(&["--set", &format!("workspace={work}")]).expect(0).out, "done\n");
    // Without a wall nobody needs to say so.
    go(&["--set", "workspace=other", "--set", "limits.kernel_sandbox=false"]).expect(0);
}

/// The compile worker is started by the spawner; and what a link in a directory of plugins leads to is read.
#[test]
fn components_compile_behind_the_wall() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("echo.wasm"), built::guest("echo")).unwrap();
    let world = World::new().own_cache().plugin("broken", b"no component");
    symlink(elsewhere.path().join("echo.wasm"), world.path("plugins/echo.wasm")).unwrap();
    world.write_config();
    let listed = run(&world.path(""), &["plugins", "list", "--json"]).expect(0).out;
    let plugins: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = |name: &str| {
        let plugin = plugins.iter().find(|plugin| plugin["name"] == name);
        plugin.unwrap_or_else(|| panic!("{listed}"))["error"].clone()
    };
    assert_eq!(error("echo"), Value::Null, "{listed}");
    assert_eq!(error("files"), Value::Null, "{listed}");
    assert!(error("broken").is_object(), "{listed}");
}

/// How a worker of the spawner ended is told like that of a child.
#[test]
fn the_end_of_a_worker_comes_through_the_spawner() {
    let world = World::new().plugin("slow", &crate::compiling::slow_to_compile());
    world.write_config();
    // The program itself needs less.
    let script = format!(
        "ulimit -t 3\nexec '{}' plugins inspect slow",
        built::program().display()
    );
    let ended = Command::new("sh")
        .args(["-c", &script])
        .current_dir(world.path(""))
        .env_clear()
        .output()
        .unwrap();
    let ended = Ended::from(ended).expect(7);
    assert!(ended.err.contains("s of processor time"), "{}", ended.err);
}

/// Its spawner lives as long as the program, however that ends, and has none of its files.
#[test]
fn the_spawner_ends_with_the_program() {
    if landlock() == 0 {
        return skipped("this kernel has no Landlock");
    }
    let world = World::new().script("[[reply]]\nhang = true\n");
    world.write_config();
    let mut program = sandbar(&world.path(""), &["run", "--json", "go"]).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("model.started")),
        "it waits for the model"
    );
    let status = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let id = program.id().to_string();
    for thread in std::fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        let thread = thread.unwrap().file_name();
        let status = status(&format!("{id}/task/{}", thread.display()));
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let spawner = children.trim().to_owned();
    assert!(status(&spawner).starts_with("Name:\tsandbar-spawner\n"), "{children}");
    let open = std::fs::read_dir(format!("/proc/{spawner}/fd")).unwrap().map(|entry| {
        let link = std::fs::read_link(entry.unwrap().path()).unwrap();
        link.display().to_string().split(':').next().unwrap().to_owned()
    });
    let mut open: Vec<String> = open.collect();
    open.sort();
    assert_eq!(open, ["/dev/null", "/dev/null", "/dev/null", "socket"]);
    let handle = pidfd_open(Pid::from_raw(spawner.parse().unwrap()).unwrap(), PidfdFlags::empty()).unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&PATIENCE)).unwrap();
    assert_eq!(ended, 1, "the spawner has outlived the program");
}

/// A secret in a file, which lies outside of everything else.
#[test]
fn a_secret_in_a_file_is_read() {
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("key");
    std::fs::write(&key, "sk-test-12345678\n").unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let world = World::new().own_cache();
    let text = format!(
        "[models.m]\nprovider = \"openai\"\nmodel = \"m\"\nbase_url = \"http://localhost:{port}/v1\"\nmax_retries = 0\n\
         api_key = \"file:{}\"\n[agents.main]\nmodel = \"m\"\n",
        key.display()
    );
    std::fs::write(world.path("sandbar.toml"), text).unwrap();
    let program = sandbar(&world.path(""), &["run", "go"]).spawn().unwrap();
    let (mut connection, _) = tcp.accept().unwrap();
    let mut lines = BufReader::new(connection.try_clone().unwrap())
        .lines()
        .map(Result::unwrap);
    let header = lines.find(|line| line.to_lowercase().starts_with("authorization:"));
    assert_eq!(
        header.as_deref().map(str::to_lowercase).as_deref(),
        Some("authorization: bearer sk-test-12345678")
    );
    connection
        .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    drop((connection, lines));
    Ended::from(program.wait_with_output().unwrap()).expect(6);
}

/// What stands around this machine's program is shown, and that nothing does.
#[test]
fn the_doctor_says_what_stands_around_the_host() {
    let world = World::new().with("[grants.files]\nfiles = \"read-write\"");
    world.write_config();
    let shown = |command: &mut Command| {
        let out = Ended::from(command.output().unwrap()).expect(0).out;
        let of = |what: &str| {
            let line = out.lines().find(|line| line.contains(what)).unwrap_or_default();
            line.split("  ").last().unwrap().trim().to_owned()
        };
        (of("wall of the host"), of("reached behind it"))
    };
    let doctor = |setting: &[&str]| shown(&mut sandbar(&world.path(""), &[&["doctor"], setting].concat()));
    let (wall, reached) = doctor(&[]);
    match landlock() {
        0 => assert!(wall.contains("no Landlock"), "{wall}"),
        _ => {
            assert!(wall.starts_with("the kernel gave Landlock "), "{wall}");
            assert!(
                reached.starts_with("read-write: data, workspaces; read-only: "),
                "{reached}"
            );
            assert!(reached.contains("plugins") && reached.contains("scripts"), "{reached}");
        }
    }
    let off = ("is off: `limits.kernel_sandbox` is false".to_owned(), String::new());
    assert_eq!(doctor(&["--set", "limits.kernel_sandbox=false"]), off);
    let mut by_variable = sandbar(&world.path(""), &["doctor"]);
    assert_eq!(shown(by_variable.env("SANDBAR__LIMITS__KERNEL_SANDBOX", "false")), off);
}
