//! `sandbar.lock`: which components were approved under which names, and what each of them could ask for then.
//!
//! A file for people and for version control: sorted, one fact a line. It is written in place and not replaced, because the kernel's wall
//! gives a running host this one file, and not the directory in which the configuration is. Who reads or writes it holds a lock on it;
//! its last line tells whether it is whole.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use sandbar_protocol::{Clock, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::error::storage;
use crate::locked::Locked;
use crate::regular_file::check_regular;

/// A larger file is none of ours: an entry has some hundred bytes.
const MAX_LOCK_BYTES: u64 = 4 << 20;

const VERSION: u32 = 1;

const HEAD: &str = "# Which plugins were approved, and what each of them could ask for then. Written by Sandbar; keep it in version control.\n";

/// Without it the file was cut off while it was written.
const END: &str = "# The end.\n";

/// Who approved what was there when it was first seen.
pub(crate) const FIRST_SIGHT: &str = "first sight";

/// The file, and the time for new entries.
#[derive(Debug, Clone)]
pub struct LockFile {
    pub path: PathBuf,
    pub clock: Arc<dyn Clock>,
}

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    #[serde(default)]
    pub plugins: BTreeMap<String, Locked>,
}

impl LockFile {
    /// A file that isn't there has nothing in it.
    pub fn read(&self) -> Result<Lock> {
        let mut file = match self.open(File::options().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::new()),
            Err(error) => return Err(self.failed("read", error)),
        };
        file.lock_shared().map_err(|error| self.failed("lock", error))?;
        self.parse(&mut file)
    }

    /// Changes what is in the file as it is now: another process may have changed it since it was read.
    pub fn change(&self, change: impl FnOnce(&mut Lock)) -> Result<()> {
        let failed = |error| self.failed("write", error);
        self.begin().map_err(failed)?;
        let mut file = self.open(File::options().read(true).write(true)).map_err(failed)?;
        file.lock().map_err(failed)?;
        let before = self.parse(&mut file)?;
        let mut lock = before.clone();
        change(&mut lock);
        if lock == before {
            return Ok(());
        }
        let text = lock.text()?;
        file.rewind().map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.set_len(text.len() as u64).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// Makes the file, with nothing approved, if it isn't there: whole, so that one without a byte was cut off.
    pub fn begin(&self) -> std::io::Result<()> {
        if self.path.symlink_metadata().is_ok() {
            return Ok(());
        }
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)?;
        file.write_all(nothing().as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&self.path) {
            Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    }

    /// A link is not followed: whoever made it says what would be read or written. What is no file is not waited for.
    fn open(&self, options: &mut OpenOptions) -> std::io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = options.custom_flags(flags.bits().cast_signed()).open(&self.path);
        let file = match opened {
            // The error of the system would be about links that lead to each other.
            Err(error) => {
                if let Ok(metadata) = self.path.symlink_metadata() {
                    check_regular(&metadata)?;
                }
                return Err(error);
            }
            Ok(file) => file,
        };
        check_regular(&file.metadata()?)?;
        Ok(file)
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::InvalidInput => damaged(&self.path, &error.to_string()),
            std::io::ErrorKind::PermissionDenied => {
                storage(what, &self.path, error).with_hint(format!("let this user {what} the file"))
            }
            _ => storage(what, &self.path, error),
        }
    }

    /// The time, as the file has it.
    pub(crate) fn now(&self) -> String {
        sandbar_protocol::utc(self.clock.now_ms())
    }

    fn parse(&self, file: &mut File) -> Result<Lock> {
        let mut text = String::new();
        let bytes = file.take(MAX_LOCK_BYTES + 1).read_to_string(&mut text);
        match bytes {
            Ok(bytes) if bytes as u64 > MAX_LOCK_BYTES => Err(damaged(&self.path, "it is too large")),
            Ok(_) => Lock::parse(&text, &self.path),
            Err(error) => Err(damaged(&self.path, &error.to_string())),
        }
    }
}

impl Lock {
    fn new() -> Self {
        Self {
            version: VERSION,
            plugins: BTreeMap::new(),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        // Version control may have changed the ends of lines.
        let text = text.replace("\r\n", "\n");
        if text.is_empty() {
            return Err(damaged(path, "it is empty, so that it may have been cut off"));
        }
        let lock: Self = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text[..text.floor_char_boundary(start)].matches('\n').count() + 1;
            let why = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            damaged(path, &format!("line {line}: {why}"))
        })?;
        if lock.version != VERSION {
            let found = format!("it has version {}, and this Sandbar knows {VERSION}", lock.version);
            return Err(damaged(path, &found));
        }
        if !text.ends_with(END) {
            return Err(damaged(
                path,
                "its last line is missing, so that it may have been cut off",
            ));
        }
        let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        for (name, locked) in &lock.plugins {
            if !std::iter::once(&locked.digest)
                .chain(locked.tools.values())
                .all(is_digest)
            {
                let found = format!("`{}` has a digest that is no SHA-256", name.escape_debug());
                return Err(damaged(path, &found));
            }
        }
        Ok(lock)
    }

    fn text(&self) -> Result<String> {
        let body = toml::to_string_pretty(self).map_err(|error| crate::error::internal(error.to_string()))?;
        Ok(format!("{HEAD}{body}\n{END}"))
    }
}

/// A file in which nothing is approved.
fn nothing() -> String {
    format!("{HEAD}version = {VERSION}\n\n{END}")
}

fn damaged(path: &Path, why: &str) -> Error {
    let message = format!("`{}` can't be relied on: {why}", path.display());
    Error::new(ErrorKind::Config, "bad-lock", message).with_hint(
        "take it back from version control; if there is no good one, look at the plugins (their files, their manifests), remove it, and every plugin is taken as it is then",
    )
}

#[cfg(test)]
mod tests {
    use sandbar_protocol::SystemClock;

    use super::*;
    use crate::locked::tests::locked;

    fn file(directory: &Path) -> LockFile {
        LockFile {
            path: directory.join("sandbar.lock"),
            clock: Arc::new(SystemClock),
        }
    }

    #[test]
    fn the_file_is_for_people() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        assert_eq!(file.read().unwrap(), Lock::new());
        let put = |name: &'static str| {
            file.change(|lock| drop(lock.plugins.insert(name.to_owned(), locked())))
                .unwrap();
        };
        put("weather");
        put("clock");
        let text = std::fs::read_to_string(&file.path).unwrap();
        let entry = "digest = \"abababababababababababababababababababababababababababababababab\"\nkind = \"tool\"\n\
            approved_by = \"ada\"\napproved_at = \"2026-01-31T09:05:00Z\"\nimports = [\n    \"sandbar:plugin/http@0.1.0\",\n    \
            \"wasi:io/poll@0.2.6\",\n]\nrequests = [\n    \"files read-only\",\n    \"kv shared\",\n    \"secret key\",\n]\n";
        let hash = &locked().tools["forecast"];
        let tables = |name: &str| {
            format!(
                "[plugins.{name}.tools]\nforecast = \"{hash}\"\n\n[plugins.{name}.traits]\nforecast = \"read-only, approval\"\n"
            )
        };
        let part = |name: &str| format!("[plugins.{name}]\n{entry}\n{}\n", tables(name));
        let expected = format!("{HEAD}version = 1\n\n{}{}{END}", part("clock"), part("weather"));
        assert_eq!(text, expected);
        assert_eq!(file.read().unwrap().plugins["clock"], locked());
        file.change(|lock| drop(lock.plugins.remove("clock"))).unwrap();
        assert_eq!(
            std::fs::read_to_string(&file.path).unwrap(),
            format!("{HEAD}version = 1\n\n{}{END}", part("weather"))
        );
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.change(|lock| drop(lock.plugins.insert("weather".to_owned(), locked())))
            .unwrap();
        let whole = std::fs::read_to_string(&file.path).unwrap();
        let check = |text: &str, why: &str| {
            std::fs::write(&file.path, text).unwrap();
            for error in [file.read().unwrap_err(), file.change(|_| {}).unwrap_err()] {
                assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "bad-lock"));
                assert!(error.message.contains(why), "{}", error.message);
                assert!(error.hint.is_some());
            }
            assert_eq!(std::fs::read_to_string(&file.path).unwrap(), text, "it was changed");
        };
        check(&whole.replace(END, ""), "its last line is missing");
        check(&whole[..whole.len() / 2], "line ");
        check("", "it is empty");
        check(&whole.replace("kind = ", "kond = "), "line 6: unknown field `kond`");
        check(
            &whole.replace("abab", "xyxy"),
            "`weather` has a digest that is no SHA-256",
        );
        check(
            &whole.replace("version = 1", "version = 2"),
            "it has version 2, and this Sandbar knows 1",
        );
        check(&whole.replace("version = 1", ""), "missing field `version`");
        check(&format!("<<<<<<< HEAD\n{whole}"), "line 1");
        check(
            &whole.replace("[plugins.weather]\n", "[plugins.weather]\ntrusted = true\n"),
            "unknown field `trusted`",
        );
    }

    #[test]
    fn the_ends_of_lines_are_no_difference() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.change(|lock| drop(lock.plugins.insert("weather".to_owned(), locked())))
            .unwrap();
        let whole = std::fs::read_to_string(&file.path).unwrap();
        std::fs::write(&file.path, whole.replace('\n', "\r\n")).unwrap();
        assert_eq!(file.read().unwrap().plugins["weather"], locked());
    }

    #[test]
    fn the_file_begins_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.begin().unwrap();
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), nothing());
        assert_eq!(file.read().unwrap(), Lock::new());
        file.change(|lock| drop(lock.plugins.insert("weather".to_owned(), locked())))
            .unwrap();
        file.begin().unwrap();
        assert_eq!(file.read().unwrap().plugins["weather"], locked());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let elsewhere = directory.path().join("elsewhere");
        std::fs::write(&elsewhere, nothing()).unwrap();
        let check = |why: &str| {
            let put = |lock: &mut Lock| drop(lock.plugins.insert("weather".to_owned(), locked()));
            for error in [file.read().unwrap_err(), file.change(put).unwrap_err()] {
                assert_eq!(error.code, "bad-lock");
                assert!(error.message.contains(why), "{}", error.message);
            }
            std::fs::remove_file(&file.path).unwrap();
        };
        std::os::unix::fs::symlink(&elsewhere, &file.path).unwrap();
        check("it is a link, and a file was wanted");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), nothing());
        std::os::unix::fs::symlink("nowhere", &file.path).unwrap();
        check("it is a link, and a file was wanted");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &file.path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        check("it is a pipe, and a file was wanted");
        assert!(!directory.path().join("nowhere").exists());
    }

    #[test]
    fn two_processes_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = file(directory.path());
                scope.spawn(move || {
                    for m in 0..10 {
                        file.change(|lock| drop(lock.plugins.insert(format!("p{n}-{m}"), locked())))
                            .unwrap();
                        assert!(file.read().unwrap().plugins.contains_key(&format!("p{n}-{m}")));
                    }
                });
            }
        });
        assert_eq!(file(directory.path()).read().unwrap().plugins.len(), 80);
    }
}
