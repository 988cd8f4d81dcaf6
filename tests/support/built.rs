//! What must be built before the tests run: the program and the guests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sandbar_torture::components::Components;

const HINT: &str = "hint: `cargo xtask test` builds what the tests need";

/// The sources of the tests.
pub(crate) fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program `sandbar`, beside this test.
pub(crate) fn program() -> PathBuf {
    let path = profile().join("sandbar");
    assert!(path.is_file(), "`{}` isn't there\n{HINT}", path.display());
    path
}

/// The component of a guest, by the name of its file in `guests/samples` or `guests/hostile`, or of a generated one.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    components()
        .read(name)
        .unwrap_or_else(|error| panic!("{error:#}\n{HINT}"))
}

fn components() -> Components {
    let built = target().join("guests-tests/wasm32-wasip2/release/examples");
    Components::new(&sources().join("guests"), &built)
}

pub(crate) fn is_guest(name: &str) -> bool {
    let hostile = sources().join("guests/hostile").join(name);
    ["rs", "wat"]
        .iter()
        .any(|extension| hostile.with_extension(extension).is_file())
}

/// The text of a guest that is written by hand.
pub(crate) fn written(name: &str) -> String {
    components().text(name).unwrap().expect("the guest is written by hand")
}

/// Compiled code that the tests of one build share, so that each guest is compiled once. Another build of the program may check
/// components in another way, so that it gets its own.
pub(crate) fn shared_cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
        let built = program().metadata().and_then(|metadata| metadata.modified()).unwrap();
        let build = built
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
            .to_string();
        for old in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            if old.file_name().to_str() != Some(build.as_str()) {
                // What another process still uses it makes again.
                let _ = std::fs::remove_dir_all(old.path());
            }
        }
        let cache = root.join(build);
        std::fs::create_dir_all(&cache).unwrap();
        cache
    })
}

fn profile() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors()
        .nth(2)
        .expect("a test lies in `deps` of its profile")
        .to_owned()
}

fn target() -> PathBuf {
    profile()
        .parent()
        .expect("a profile lies in the target directory")
        .to_owned()
}
