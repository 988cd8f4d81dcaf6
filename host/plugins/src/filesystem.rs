//! `wasi:filesystem` as guests get it: wasmtime's, behind limits and checks of our own.
//!
//! Wasmtime resolves names and holds guests to what was granted. What it doesn't do is done here, at the one place that every file operation
//! of every guest passes: it counts (bytes written, open files, operations), and refuses names and kinds of files that no honest tool needs.

mod ledger;
mod names;
mod quota;
mod special;
mod streams;

use std::sync::Arc;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use crate::error::limit;
use crate::limits::{MAX_FILE_OPERATIONS, MAX_LISTED_ENTRIES};
pub(crate) use ledger::FileLedger;
use ledger::Held;
use quota::ENTRY_BYTES;
pub(crate) use quota::{OpenFiles, Quota};
use streams::{CountedInput, CountedOutput};

/// Names the view below to the linker.
pub(crate) struct Files;

impl HasData for Files {
    type Data<'a> = FilesView<'a>;
}

/// One guest's files during one host call.
pub(crate) struct FilesView<'a> {
    pub(crate) wasi: WasiFilesystemCtxView<'a>,
    pub(crate) ledger: &'a mut FileLedger,
}

impl FilesView<'_> {
    /// Each operation costs the host more than the guest: a guest that does nothing else must end.
    fn count(&mut self) -> wasmtime::Result<()> {
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

    fn counted(&mut self) -> FsResult<()> {
        self.count().map_err(FsError::trap)
    }

    fn named(&mut self, name: &str) -> FsResult<()> {
        self.counted()?;
        Ok(names::check(name)?)
    }

    /// The size of the file that a change would make smaller or replace, and that counts as room again when it is gone.
    fn room_in(&self, directory: &Resource<Descriptor>, name: &str) -> u64 {
        match self.wasi.table.get(directory) {
            Ok(Descriptor::Dir(directory)) => special::size_of(&directory.dir, name),
            _ => 0,
        }
    }

    /// Files that are neither files nor directories: opening a pipe waits for ever, and a device is no file of the workspace.
    fn refuse_special(&self, directory: &Resource<Descriptor>, name: &str) -> FsResult<()> {
        match self.wasi.table.get(directory)? {
            Descriptor::Dir(directory) if special::is_special(&directory.dir, name) => {
                Err(types::ErrorCode::NotPermitted.into())
            }
            _ => Ok(()),
        }
    }

    /// A link is made where its own directory is no link, so that what its target leads to can be told from the names alone.
    fn refuse_leading_link(&self, directory: &Resource<Descriptor>, name: &str, target: &str) -> FsResult<()> {
        names::check_link(name, target)?;
        match self.wasi.table.get(directory)? {
            Descriptor::Dir(directory) if special::passes_link(&directory.dir, name) => {
                Err(types::ErrorCode::NotPermitted.into())
            }
            _ => Ok(()),
        }
    }

    fn take(&self, held: &Held, bytes: u64) -> FsResult<()> {
        if held.quota.take(bytes) {
            return Ok(());
        }
        tracing::warn!(plugin = %self.ledger.plugin, limit = held.quota.limit(), "the workspace has no more room for this plugin");
        Err(types::ErrorCode::Quota.into())
    }

    /// The room of one more file, directory or link; `Held::keep_entry` gives it back if that isn't made.
    async fn take_entry(&mut self, held: &Held) -> FsResult<()> {
        held.quota.measure().await;
        self.take(held, ENTRY_BYTES)
    }

    fn size(&self, descriptor: &Resource<Descriptor>) -> FsResult<u64> {
        match self.wasi.table.get(descriptor)? {
            Descriptor::File(file) => Ok(file.file.metadata()?.len()),
            Descriptor::Dir(_) => Err(types::ErrorCode::BadDescriptor.into()),
        }
    }

    fn output(
        &mut self,
        stream: Resource<DynOutputStream>,
        held: Held,
        position: Option<u64>,
        size: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        let inner = self.wasi.table.delete(stream)?;
        let counted: DynOutputStream = Box::new(CountedOutput::new(inner, held.quota, held.file, position, size));
        Ok(self.wasi.table.push(counted)?)
    }
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.count()?;
        let directories = preopens::Host::get_directories(&mut self.wasi)?;
        for ((descriptor, _), quota) in directories.iter().zip(self.ledger.quotas.clone()) {
            let held = self
                .ledger
                .hold(quota)
                .map_err(|_| limit("open-files-limit", "stopped: it asked for its directories too often"))?;
            self.ledger.held.insert(descriptor.rep(), held);
        }
        Ok(directories)
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        let found = self.wasi.table.get(&error)?;
        if let Some(error) = found.downcast_ref::<quota::NoRoom>() {
            tracing::debug!(%error, "a stream ended");
            return Ok(Some(types::ErrorCode::Quota));
        }
        types::Host::filesystem_error_code(&mut self.wasi, error)
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        types::HostDirectoryEntryStream::read_directory_entry(&mut self.wasi, stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.ledger.listings.remove(&stream.rep());
        types::HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

impl types::HostDescriptor for FilesView<'_> {
    async fn open_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.named(&path)?;
        self.refuse_special(&directory, &path)?;
        let quota = self.ledger.of(&directory)?.quota;
        let held = self.ledger.hold(quota)?;
        let creates = open_flags.contains(types::OpenFlags::CREATE);
        let room = if open_flags.contains(types::OpenFlags::TRUNCATE) {
            self.room_in(&directory, &path)
        } else {
            0
        };
        if creates || flags.contains(types::DescriptorFlags::WRITE) {
            held.quota.measure().await;
        }
        let made = creates && self.room_in(&directory, &path) == 0;
        if made {
            self.take(&held, ENTRY_BYTES)?;
        }
        let opened =
            types::HostDescriptor::open_at(&mut self.wasi, directory, path_flags, path, open_flags, flags).await;
        match &opened {
            Ok(descriptor) => {
                held.quota.give_back(room.saturating_sub(ENTRY_BYTES));
                self.ledger.held.insert(descriptor.rep(), held);
            }
            Err(_) if made => held.quota.give_back(ENTRY_BYTES),
            Err(_) => {}
        }
        opened
    }

    async fn write(
        &mut self,
        file: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: types::Filesize,
    ) -> FsResult<types::Filesize> {
        self.counted()?;
        let held = self.ledger.of(&file)?;
        let end = offset.saturating_add(bytes.len() as u64);
        self.take(&held, end.saturating_sub(self.size(&file)?))?;
        types::HostDescriptor::write(&mut self.wasi, file, bytes, offset).await
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: types::Filesize) -> FsResult<()> {
        self.counted()?;
        let held = self.ledger.of(&file)?;
        let before = self.size(&file)?;
        // A sparse file takes no room yet, but whoever copies it finds out.
        self.take(&held, size.saturating_sub(before))?;
        types::HostDescriptor::set_size(&mut self.wasi, file, size).await?;
        held.quota.give_back(before.saturating_sub(size));
        Ok(())
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: types::Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.counted()?;
        let (held, size) = (self.ledger.of(&file)?, self.size(&file)?);
        let stream = types::HostDescriptor::write_via_stream(&mut self.wasi, file, offset)?;
        self.output(stream, held, Some(offset), size)
    }

    fn append_via_stream(&mut self, file: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.counted()?;
        let held = self.ledger.of(&file)?;
        let stream = types::HostDescriptor::append_via_stream(&mut self.wasi, file)?;
        self.output(stream, held, None, 0)
    }

    fn read_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: types::Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.counted()?;
        let held = self.ledger.of(&file)?;
        let stream = types::HostDescriptor::read_via_stream(&mut self.wasi, file, offset)?;
        let inner = self.wasi.table.delete(stream)?;
        let counted: DynInputStream = Box::new(CountedInput::new(inner, held.file));
        Ok(self.wasi.table.push(counted)?)
    }

    /// A listing lies in the host's memory until the guest drops it.
    async fn read_directory(
        &mut self,
        directory: Resource<Descriptor>,
    ) -> FsResult<Resource<types::DirectoryEntryStream>> {
        self.counted()?;
        let rest = MAX_LISTED_ENTRIES.saturating_sub(self.ledger.listings.values().sum());
        let entries = match self.wasi.table.get(&directory)? {
            Descriptor::Dir(found) => special::entries(found.dir.clone(), rest).await?,
            Descriptor::File(_) => return Err(types::ErrorCode::NotDirectory.into()),
        };
        if entries > rest {
            return Err(types::ErrorCode::InsufficientMemory.into());
        }
        let listing = types::HostDescriptor::read_directory(&mut self.wasi, directory).await?;
        self.ledger.listings.insert(listing.rep(), entries);
        Ok(listing)
    }

    async fn create_directory_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.named(&path)?;
        let held = self.ledger.of(&directory)?;
        self.take_entry(&held).await?;
        let made = types::HostDescriptor::create_directory_at(&mut self.wasi, directory, path).await;
        held.keep_entry(made)
    }

    async fn symlink_at(&mut self, directory: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        self.named(&path)?;
        self.refuse_leading_link(&directory, &path, &target)?;
        let held = self.ledger.of(&directory)?;
        self.take_entry(&held).await?;
        let made = types::HostDescriptor::symlink_at(&mut self.wasi, directory, target, path).await;
        held.keep_entry(made)
    }

    async fn link_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        self.named(&path)?;
        self.named(&to_path)?;
        self.refuse_special(&directory, &path)?;
        let held = self.ledger.of(&to)?;
        self.take_entry(&held).await?;
        let made = types::HostDescriptor::link_at(&mut self.wasi, directory, flags, path, to, to_path).await;
        held.keep_entry(made)
    }

    async fn unlink_file_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.named(&path)?;
        let (held, room) = (self.ledger.of(&directory)?, self.room_in(&directory, &path));
        types::HostDescriptor::unlink_file_at(&mut self.wasi, directory, path).await?;
        held.quota.give_back(room);
        Ok(())
    }

    async fn remove_directory_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.named(&path)?;
        let held = self.ledger.of(&directory)?;
        types::HostDescriptor::remove_directory_at(&mut self.wasi, directory, path).await?;
        held.quota.give_back(ENTRY_BYTES);
        Ok(())
    }

    async fn rename_at(
        &mut self,
        from: Resource<Descriptor>,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        self.named(&path)?;
        self.named(&to_path)?;
        let (source, target) = (self.ledger.of(&from)?, self.ledger.of(&to)?);
        let (moved, replaced) = (self.room_in(&from, &path), self.room_in(&to, &to_path));
        let elsewhere = !Arc::ptr_eq(&source.quota, &target.quota);
        if elsewhere {
            self.take(&target, moved)?;
        }
        let renamed = types::HostDescriptor::rename_at(&mut self.wasi, from, path, to, to_path).await;
        match &renamed {
            Ok(()) => {
                target.quota.give_back(replaced);
                if elsewhere {
                    source.quota.give_back(moved);
                }
            }
            Err(_) if elsewhere => target.quota.give_back(moved),
            Err(_) => {}
        }
        renamed
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.ledger.held.remove(&descriptor.rep());
        types::HostDescriptor::drop(&mut self.wasi, descriptor)
    }

    async fn stat_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        self.named(&path)?;
        types::HostDescriptor::stat_at(&mut self.wasi, directory, flags, path).await
    }

    async fn set_times_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.named(&path)?;
        self.refuse_special(&directory, &path)?;
        types::HostDescriptor::set_times_at(&mut self.wasi, directory, flags, path, accessed, modified).await
    }

    async fn readlink_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.named(&path)?;
        types::HostDescriptor::readlink_at(&mut self.wasi, directory, path).await
    }

    async fn metadata_hash_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        self.named(&path)?;
        types::HostDescriptor::metadata_hash_at(&mut self.wasi, directory, flags, path).await
    }

    async fn read(
        &mut self,
        file: Resource<Descriptor>,
        bytes: types::Filesize,
        offset: types::Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.counted()?;
        types::HostDescriptor::read(&mut self.wasi, file, bytes, offset).await
    }

    async fn advise(
        &mut self,
        file: Resource<Descriptor>,
        offset: types::Filesize,
        bytes: types::Filesize,
        advice: types::Advice,
    ) -> FsResult<()> {
        self.counted()?;
        types::HostDescriptor::advise(&mut self.wasi, file, offset, bytes, advice).await
    }

    async fn sync_data(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.counted()?;
        types::HostDescriptor::sync_data(&mut self.wasi, file).await
    }

    async fn sync(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.counted()?;
        types::HostDescriptor::sync(&mut self.wasi, file).await
    }

    async fn get_flags(&mut self, file: Resource<Descriptor>) -> FsResult<types::DescriptorFlags> {
        self.counted()?;
        types::HostDescriptor::get_flags(&mut self.wasi, file).await
    }

    async fn get_type(&mut self, file: Resource<Descriptor>) -> FsResult<types::DescriptorType> {
        self.counted()?;
        types::HostDescriptor::get_type(&mut self.wasi, file).await
    }

    async fn set_times(
        &mut self,
        file: Resource<Descriptor>,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.counted()?;
        types::HostDescriptor::set_times(&mut self.wasi, file, accessed, modified).await
    }

    async fn stat(&mut self, file: Resource<Descriptor>) -> FsResult<types::DescriptorStat> {
        self.counted()?;
        types::HostDescriptor::stat(&mut self.wasi, file).await
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.count()?;
        types::HostDescriptor::is_same_object(&mut self.wasi, one, other).await
    }

    async fn metadata_hash(&mut self, file: Resource<Descriptor>) -> FsResult<types::MetadataHashValue> {
        self.counted()?;
        types::HostDescriptor::metadata_hash(&mut self.wasi, file).await
    }
}
