//! The kernel's walls: what the kernel gave, what can be reached behind them, and what is not refused.

use std::collections::BTreeSet;

use sandbar::Config;
use sandbar::plugins::Plugins;
use sandbar::plugins::wall::{Access, Enclosure, Reach};

use super::{Finding, Health};

const OFF: &str = "is off: `limits.kernel_sandbox` is false";

/// Around the process that compiles.
pub(super) fn of_workers(plugins: &Plugins, config: &Config) -> Finding {
    let what = "wall of workers";
    if !config.kernel_sandbox {
        return Finding::new(Health::Note, what, OFF.to_owned());
    }
    let wall = plugins.worker_wall().unwrap_or_default();
    let seccomp = if wall.seccomp { "seccomp" } else { "no seccomp" };
    let health = match wall.landlock > 0 && wall.seccomp {
        true => Health::Good,
        false => Health::Note,
    };
    let text = format!("the kernel gave {} and {seccomp}", landlock(wall.landlock));
    Finding::new(health, what, text)
}

/// Around the process that runs plugins: this one, as it stands.
pub(super) fn of_host(wall: Option<&Enclosure>, config: &Config) -> Vec<Finding> {
    let what = "wall of the host";
    let note = |text: String| vec![Finding::new(Health::Note, what, text)];
    match wall {
        _ if !config.kernel_sandbox => note(OFF.to_owned()),
        None => note("there is none on this system: plugins are held by WebAssembly alone".to_owned()),
        Some(wall) if wall.landlock == 0 => {
            note("the kernel gave no Landlock: plugins are held by WebAssembly alone".to_owned())
        }
        Some(wall) => {
            let given = format!(
                "the kernel gave {}; nothing is started but compile workers",
                landlock(wall.landlock)
            );
            let mut findings = vec![
                Finding::new(Health::Good, what, given),
                Finding::new(Health::Good, "reached behind it", reached(&wall.reach)),
            ];
            let lacks = wall.lacks().into_iter();
            findings.extend(lacks.map(|lack| Finding::new(Health::Note, "not enforced", lack.to_owned())));
            findings
        }
    }
}

fn landlock(version: u32) -> String {
    match version {
        0 => "no Landlock".to_owned(),
        version => format!("Landlock {version}"),
    }
}

/// Places by what may be done there.
fn reached(reach: &[Reach]) -> String {
    let named = |word: &str, fits: fn(Access) -> bool| {
        let fitting = reach
            .iter()
            .filter(|reach| fits(reach.access) && !reach.paths.is_empty());
        let names: BTreeSet<&str> = fitting.map(|reach| reach.what).collect();
        let names: Vec<&str> = names.into_iter().collect();
        (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")))
    };
    let parts = [
        named("read-write:", |access| matches!(access, Access::Keep | Access::Change)),
        named("read-only:", |access| access == Access::Read),
        named("besides:", |access| access == Access::Device),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_by_what_may_be_done() {
        let reach = |what, access, paths: &[&str]| Reach {
            what,
            access,
            paths: paths.iter().map(Into::into).collect(),
        };
        let reach = [
            reach("workspaces", Access::Change, &["/w"]),
            reach("data", Access::Keep, &["/d"]),
            reach("mounts", Access::Read, &["/m"]),
            reach("mounts", Access::Read, &["/n"]),
            reach("secrets", Access::Read, &[]),
            reach("devices", Access::Device, &["/dev/null"]),
        ];
        assert_eq!(
            reached(&reach),
            "read-write: data, workspaces; read-only: mounts; besides: devices"
        );
        assert_eq!(reached(&reach[2..3]), "read-only: mounts");
    }
}
