//! Links in the directories of plugins: what they lead to lies elsewhere, and the kernel's wall has to know of it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::manifest;
use crate::regular_file::open_regular;

/// What every component begins with.
const MAGIC: &[u8; 4] = b"\0asm";

/// The files that links in these directories lead to, if they are components or manifests: who can write into a directory of plugins
/// can make a link to anything.
pub fn linked_files(directories: &[PathBuf]) -> Vec<PathBuf> {
    let entries = directories.iter().filter_map(|directory| directory.read_dir().ok());
    let links = entries.flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_symlink().then(|| entry.path())
    });
    links.filter_map(|link| target(&link)).collect()
}

fn target(link: &Path) -> Option<PathBuf> {
    let target = link.canonicalize().ok()?;
    // Not anything that would keep its reader waiting.
    let is_ours = target.is_file()
        && match link.extension()?.to_str()? {
            "wasm" => is_component(&target),
            "toml" => manifest::read(link).is_ok(),
            _ => false,
        };
    is_ours.then_some(target)
}

fn is_component(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    open_regular(path).is_ok_and(|(mut file, _)| file.read_exact(&mut magic).is_ok()) && magic == *MAGIC
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plugins_are_followed() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let plugins = place.join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let check = |link: &str, content: &[u8], expected: bool| {
            let target = place.join(format!("target of {link}"));
            std::fs::write(&target, content).unwrap();
            symlink(&target, plugins.join(link)).unwrap();
            let found = linked_files(std::slice::from_ref(&plugins));
            assert_eq!(found.contains(&target), expected, "{link}");
        };
        check("a.wasm", b"\0asm and more", true);
        check("b.wasm", b"-----BEGIN OPENSSH PRIVATE KEY-----", false);
        check("c.wasm", b"", false);
        check("d.txt", b"\0asm", false);
        check("e.toml", b"kind = \"tool\"\n", true);
        check("f.toml", b"[registry]\ntoken = \"secret\"\n", false);
        std::fs::write(plugins.join("g.wasm"), b"\0asm").unwrap();
        symlink(&place, plugins.join("h.wasm")).unwrap();
        symlink(place.join("nothing"), plugins.join("i.wasm")).unwrap();
        assert_eq!(linked_files(&[plugins]).len(), 2);
    }
}
