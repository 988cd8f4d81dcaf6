//! A manifest as a file beside a component, and its limits within those of the configuration.

use std::path::Path;
use std::time::Duration;

use sandbar_protocol::manifest::Manifest;
use sandbar_protocol::{Error, ErrorKind, Result};

use crate::limits::{GuestLimits, MAX_MANIFEST_BYTES};
use crate::regular_file::read_regular_text;

/// None if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Manifest>> {
    let origin = path.display().to_string();
    let unreadable = |message: String| Error::new(ErrorKind::Plugin, "bad-manifest", format!("{origin}: {message}"));
    let text = match read_regular_text(path, MAX_MANIFEST_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let unreadable = unreadable(error.to_string());
            return Err(match error.kind() {
                std::io::ErrorKind::FileTooLarge => unreadable.with_hint("shorten it: a manifest is a few lines"),
                _ => unreadable.with_hint("let it be a text file that this user can read"),
            }
            .with_source(error));
        }
        Ok(text) => text,
    };
    Manifest::parse(&text, &origin).map(Some)
}

/// The configured limits, tightened by what the plugin asks for.
pub(crate) fn limits(manifest: &Manifest, configured: GuestLimits) -> GuestLimits {
    let asked = manifest.limits;
    configured.tightened_by(GuestLimits {
        memory_bytes: asked.memory_mib.map_or(u64::MAX, |mib| mib.saturating_mul(1 << 20)),
        cpu: asked.cpu_ms.map_or(Duration::MAX, Duration::from_millis),
        wall: asked.wall_ms.map_or(Duration::MAX, Duration::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_only_tighten() {
        let manifest = Manifest::parse("[limits]\nmemory_mib = 9999\ncpu_ms = 10", "x.toml").unwrap();
        let limits = limits(&manifest, GuestLimits::default());
        assert_eq!(
            limits,
            GuestLimits {
                cpu: Duration::from_millis(10),
                ..GuestLimits::default()
            }
        );
    }
}
