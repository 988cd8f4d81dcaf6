//! What is fuzzed: functions that take what somebody else wrote, each with what must hold whatever they are given.
//!
//! `libfuzzer/` has the programs, which are not part of the workspace and want a nightly compiler: `cargo xtask torture fuzz`. The bodies
//! are here, so that the seeds in `seeds/<target>/` are run through them by the ordinary tests too. An input that broke something becomes
//! a seed.

mod choices;
mod event;
mod journal;
mod manifest;
mod names;
mod policy;
mod protected;
mod resource;
mod sse;
mod url;

pub use event::event;
pub use journal::journal;
pub use manifest::manifest;
pub use names::names;
pub use policy::policy;
pub use protected::protected;
pub use resource::resource;
pub use sse::sse;
pub use url::url;

/// Panics if something doesn't hold.
pub type Body = fn(&[u8]);

/// By name: of the program, and of the folder of its seeds.
pub const TARGETS: [(&str, Body); 9] = [
    ("event", event),
    ("journal", journal),
    ("manifest", manifest),
    ("names", names),
    ("policy", policy),
    ("protected", protected),
    ("resource", resource),
    ("sse", sse),
    ("url", url),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::TARGETS;

    #[test]
    fn all_seeds_hold() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, body) in TARGETS {
            let seeds: Vec<_> = root.join("seeds").join(name).read_dir().expect(name).collect();
            assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
            for seed in seeds {
                let path = seed.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                let held = std::panic::catch_unwind(|| body(&bytes));
                assert!(held.is_ok(), "{}", path.display());
            }
            // Inputs that every fuzzer begins with.
            body(b"");
            body(b"\n");
            body(&[0xFF; 64]);
        }
    }

    #[test]
    fn each_target_has_a_program() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/targets");
        let mut found: Vec<String> = programs
            .read_dir()
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        found.sort();
        assert_eq!(found, TARGETS.map(|(name, _)| name));
    }
}
