//! One guest's files during one host call: what is looked at and counted before wasmtime does what was asked.

use std::sync::Arc;

use sandbar_protocol::FileAccess;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, OpenMode, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types;
use wasmtime_wasi::p2::{DynOutputStream, FsError, FsResult};

use super::at::At;
use super::directory::{Growth, OpenNode, Write};
use super::ledger::{FileLedger, Held};
use super::names;
use super::special::{self, Links, Target};
use super::streams::CountedOutput;
use crate::error::limit;
use crate::limits::MAX_FILE_OPERATIONS;

/// One guest's files during one host call.
pub(crate) struct FilesView<'a> {
    pub(crate) wasi: WasiFilesystemCtxView<'a>,
    pub(crate) ledger: &'a mut FileLedger,
}

impl FilesView<'_> {
    /// Each operation costs the host more than the guest: a guest that does nothing else must end.
    pub(super) fn count(&mut self) -> wasmtime::Result<()> {
        self.ledger.operations += 1;
        if self.ledger.operations > MAX_FILE_OPERATIONS {
            return Err(limit(
                "file-operations-limit",
                format!("stopped: it made more than {MAX_FILE_OPERATIONS} file operations in one call"),
            )
            .with_hint("do less at a time")
            .into());
        }
        Ok(())
    }

    /// A plugin that wants files and gets none isn't told why; whoever runs it is.
    pub(super) fn tell_of_no_files(&self) {
        if let Some(gatekeeper) = &self.ledger.gatekeeper {
            // The list that it gets is empty in any case.
            let _ = gatekeeper.any_files();
        }
    }

    /// Before a change in a directory that the plugin may only read, which wasmtime refuses: tells whoever runs the plugin what is missing.
    pub(super) fn tell_of_write(&self, directory: &Resource<Descriptor>) -> FsResult<()> {
        let is_read_only = match self.wasi.table.get(directory)? {
            Descriptor::Dir(directory) => directory.perms.write_not_permitted(),
            Descriptor::File(_) => false,
        };
        if let Some(gatekeeper) = self.ledger.gatekeeper.as_ref().filter(|_| is_read_only)
            && gatekeeper.files(FileAccess::ReadWrite).is_ok()
        {
            gatekeeper.tell_read_only();
        }
        Ok(())
    }

    pub(super) fn counted(&mut self) -> FsResult<()> {
        self.count().map_err(FsError::trap)
    }

    pub(super) fn named(&mut self, name: &str) -> FsResult<()> {
        self.counted()?;
        Ok(names::check(name)?)
    }

    /// What a change of a name is about. A file is held among those that are open until this is dropped, so that what it counts is settled when
    /// the change is over.
    pub(super) fn target(
        &self,
        held: &Held,
        at: &At,
        links: Links,
    ) -> FsResult<Option<(Target, Option<Arc<OpenNode>>)>> {
        let directory = self.directory_of(at)?;
        let found = directory.and_then(|directory| special::target(&directory, &at.name, links));
        let Some(target) = found else { return Ok(None) };
        let node = target
            .file
            .clone()
            .map(|file| OpenNode::of(&held.quota.directory, file));
        Ok(Some((target, node.transpose()?)))
    }

    /// Files that are neither files nor directories: opening a pipe waits for ever, and a device is no file of the workspace.
    pub(super) fn refuse_special(&self, at: &At) -> FsResult<()> {
        match self.directory_of(at)? {
            Some(directory) if special::is_special(&directory, &at.name) => Err(types::ErrorCode::NotPermitted.into()),
            _ => Ok(()),
        }
    }

    /// A link is made where its own directory is no link, so that what its target leads to can be told from the names alone.
    pub(super) fn refuse_leading_link(
        &self,
        directory: &Resource<Descriptor>,
        name: &str,
        target: &str,
    ) -> FsResult<()> {
        names::check_link(name, target)?;
        match self.wasi.table.get(directory)? {
            Descriptor::Dir(directory) if special::passes_link(&directory.dir, name) => {
                Err(types::ErrorCode::NotPermitted.into())
            }
            _ => Ok(()),
        }
    }

    /// The room of one more file, directory or link; `Held::keep_entry` gives it back if that isn't made.
    pub(super) fn take_entry(&self, held: &Held) -> FsResult<()> {
        if held.quota.take_entry() {
            return Ok(());
        }
        self.ledger.full.tell(&held.quota);
        Err(types::ErrorCode::Quota.into())
    }

    /// The room of a write; none for a file that can't be written, which wasmtime says in its own words.
    pub(super) fn take(&self, descriptor: &Resource<Descriptor>, growth: Growth) -> FsResult<Option<Write>> {
        let held = self.ledger.of(descriptor)?;
        let (Some(node), true) = (&held.file.node, self.is_writable(descriptor)?) else {
            return Ok(None);
        };
        match held.quota.write(node, growth) {
            Some(write) => Ok(Some(write)),
            None => {
                self.ledger.full.tell(&held.quota);
                Err(types::ErrorCode::Quota.into())
            }
        }
    }

    /// For what is about two names. Each mount is as a file system of its own: what is moved or linked into another one would take room there
    /// that it was not counted in.
    pub(super) fn within_one(&self, from: &Resource<Descriptor>, to: &Resource<Descriptor>) -> FsResult<Held> {
        let (from, to) = (self.ledger.of(from)?, self.ledger.of(to)?);
        if Arc::ptr_eq(&from.quota.directory, &to.quota.directory) {
            Ok(to)
        } else {
            Err(types::ErrorCode::CrossDevice.into())
        }
    }

    pub(super) fn is_writable(&self, descriptor: &Resource<Descriptor>) -> FsResult<bool> {
        Ok(match self.wasi.table.get(descriptor)? {
            Descriptor::File(file) => !file.perms.write_not_permitted() && file.open_mode.contains(OpenMode::WRITE),
            Descriptor::Dir(_) => false,
        })
    }

    pub(super) fn output(
        &mut self,
        stream: Resource<DynOutputStream>,
        held: Held,
        position: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let Some(node) = held.file.node.clone() else {
            return Err(types::ErrorCode::BadDescriptor.into());
        };
        let inner = self.wasi.table.delete(stream)?;
        let full = self.ledger.full.clone();
        let counted: DynOutputStream = Box::new(CountedOutput::new(inner, held, node, full, position));
        Ok(self.wasi.table.push(counted)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use wasmtime::component::ResourceTable;
    use wasmtime_wasi::FsPerms;
    use wasmtime_wasi::filesystem::{Dir, WasiFilesystemCtx};
    use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, HostDescriptor as _, OpenFlags, PathFlags};

    use super::super::directory::Directory;
    use super::super::open_files::OpenFiles;
    use super::super::quota::Quota;
    use super::*;
    use crate::workspace::{Place, Room};

    /// How one operation ends, in a directory in which `to-d` is a link, when so many have been done in this call.
    async fn ended(operation: &str, done: u32) -> String {
        let path = tempfile::tempdir().unwrap();
        std::fs::create_dir(path.path().join("d")).unwrap();
        std::os::unix::fs::symlink("d", path.path().join("to-d")).unwrap();
        let open = || File::open(path.path()).unwrap();
        let room = Room {
            bytes: 1 << 20,
            place: Place::Workspace,
        };
        let quota = Arc::new(Quota::new(Directory::of(open()).unwrap(), room));
        let mut ledger = FileLedger::new("p".into(), OpenFiles::new(1), Vec::new(), Arc::default());
        let mut table = ResourceTable::new();
        let dir = Dir::new(open(), FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, true);
        let root = table.push(Descriptor::Dir(dir)).unwrap();
        let place = ledger.place().unwrap();
        ledger.hold(&root, quota, place, None).unwrap();
        ledger.operations = done;
        let mut view = FilesView {
            wasi: WasiFilesystemCtxView {
                ctx: &mut WasiFilesystemCtx::default(),
                table: &mut table,
            },
            ledger: &mut ledger,
        };
        let ended = match operation {
            "link out" => view.symlink_at(root, "../../a".to_owned(), "d/l".to_owned()).await,
            "link by a link" => view.symlink_at(root, "a".to_owned(), "to-d/l".to_owned()).await,
            "remove" => view.unlink_file_at(root, "../a".to_owned()).await,
            "open" => {
                let read = DescriptorFlags::READ;
                let opened = view.open_at(root, PathFlags::empty(), "/a".to_owned(), OpenFlags::empty(), read);
                opened.await.map(drop)
            }
            other => panic!("there is no operation `{other}`"),
        };
        assert_eq!(view.ledger.operations, done + 1, "{operation}");
        match ended.unwrap_err().downcast() {
            Ok(code) => code.name().to_owned(),
            Err(trap) => trap.to_string(),
        }
    }

    /// What is refused costs the host something, too.
    #[tokio::test]
    async fn what_is_refused_is_counted() {
        for operation in ["link out", "link by a link", "remove", "open"] {
            let last = ended(operation, MAX_FILE_OPERATIONS - 1).await;
            assert_eq!(last, "not-permitted", "{operation}");
            let stopped = ended(operation, MAX_FILE_OPERATIONS).await;
            assert!(
                stopped.contains("file operations in one call"),
                "{operation}: {stopped}"
            );
        }
    }
}
