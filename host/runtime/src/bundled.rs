//! The plugins that the program carries, built by the build script. They use nothing that a third party's can't.

use sandbar_plugins::Bundled;

macro_rules! bundled {
    ($name:literal) => {
        Bundled {
            name: $name,
            component: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            manifest: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".toml")),
        }
    };
}

pub(crate) const BUNDLED: &[Bundled] = &[bundled!("react"), bundled!("files"), bundled!("notes")];

/// Hostile components for `sandbar demo`: each tries one thing that it must not.
pub const DEMO_PLUGINS: &[Bundled] = &[
    bundled!("endless_loop"),
    bundled!("memory_bomb"),
    bundled!("nosy"),
    bundled!("crasher"),
];
