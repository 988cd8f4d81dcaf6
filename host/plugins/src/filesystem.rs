//! `wasi:filesystem` as guests get it: wasmtime's, behind limits and checks of our own.
//!
//! Wasmtime resolves names and holds guests to what was granted. What it doesn't do is done here, at the one place that every file operation
//! of every guest passes: it counts (bytes written, open files, operations), and refuses names and kinds of files that no honest tool needs.

mod at;
mod directory;
mod guard;
mod ledger;
mod names;
mod open_files;
mod quota;
mod special;
mod streams;
mod view;
mod walk;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use crate::error::limit;
use crate::limits::MAX_LISTED_ENTRIES;
pub(crate) use directory::{Directory, FileId};
use directory::{Growth, Write};
use guard::Purpose;
pub(crate) use ledger::FileLedger;
use ledger::Listing;
pub(crate) use open_files::OpenFiles;
pub(crate) use quota::Quota;
use special::Links;
use streams::CountedInput;
pub(crate) use view::FilesView;

/// Names the view below to the linker.
pub(crate) struct Files;

impl HasData for Files {
    type Data<'a> = FilesView<'a>;
}

/// What was counted for a write is looked at again when it is over, however it ended.
fn over<T>(write: Option<Write>, ended: FsResult<T>) -> FsResult<T> {
    if let Some(write) = write {
        write.landed();
    }
    ended
}

fn links(flags: types::PathFlags) -> Links {
    match flags.contains(types::PathFlags::SYMLINK_FOLLOW) {
        true => Links::Followed,
        false => Links::AsTheyAre,
    }
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.count()?;
        let directories = preopens::Host::get_directories(&mut self.wasi)?;
        for ((descriptor, _), quota) in directories.iter().zip(self.ledger.quotas.clone()) {
            let place = self
                .ledger
                .place()
                .map_err(|_| limit("open-files-limit", "stopped: it asked for its directories too often"))?;
            self.ledger.hold(descriptor, quota, place, None)?;
        }
        if directories.is_empty() {
            self.tell_of_no_files();
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
        let unlisted = self.ledger.listings.get(&stream.rep());
        let unlisted = unlisted.map(|listing| listing.unlisted.clone()).unwrap_or_default();
        loop {
            let stream = Resource::new_borrow(stream.rep());
            match types::HostDirectoryEntryStream::read_directory_entry(&mut self.wasi, stream).await? {
                Some(entry) if unlisted.iter().any(|name| **name == *entry.name) => {}
                found => return Ok(found),
            }
        }
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
        let creates = open_flags.contains(types::OpenFlags::CREATE);
        let changes =
            creates || open_flags.contains(types::OpenFlags::TRUNCATE) || flags.contains(types::DescriptorFlags::WRITE);
        let purpose = if changes { Purpose::Change } else { Purpose::Read };
        let links = links(path_flags);
        let at = self.at(&directory, path, links, purpose)?;
        self.refuse_special(&at)?;
        let (held, place) = (self.ledger.of(&directory)?, self.ledger.place()?);
        if changes {
            self.ledger.count(&held.quota).await;
        }
        let names = if changes {
            Some(held.quota.directory.names().await)
        } else {
            None
        };
        // What a file had before it is cut is known to whom it was opened for before.
        let target = if changes { self.target(&held, &at, links)? } else { None };
        let made = creates && target.is_none();
        if made {
            self.take_entry(&held)?;
        }
        let (path_flags, open_flags) = at.flags(path_flags, open_flags);
        let entered = self.enter(&at)?;
        let opened = types::HostDescriptor::open_at(
            &mut self.wasi,
            entered.directory(),
            path_flags,
            at.name,
            open_flags,
            flags,
        )
        .await;
        self.leave(&entered)?;
        let opened = if made { held.keep_entry(opened) } else { opened };
        let opened = opened?;
        let file = match self.wasi.table.get(&opened)? {
            Descriptor::File(file) => Some(file.file.clone()),
            Descriptor::Dir(_) => None,
        };
        self.ledger.hold(&opened, held.quota.clone(), place, file)?;
        drop(names);
        Ok(opened)
    }

    async fn write(
        &mut self,
        file: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: types::Filesize,
    ) -> FsResult<types::Filesize> {
        self.counted()?;
        let write = self.take(&file, Growth::To(offset.saturating_add(bytes.len() as u64)))?;
        let written = types::HostDescriptor::write(&mut self.wasi, file, bytes, offset).await;
        over(write, written)
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: types::Filesize) -> FsResult<()> {
        self.counted()?;
        // A sparse file takes no room yet, but whoever copies it finds out.
        let write = self.take(&file, Growth::To(size))?;
        let sized = types::HostDescriptor::set_size(&mut self.wasi, file, size).await;
        over(write, sized)
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: types::Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.counted()?;
        let held = self.ledger.of(&file)?;
        let stream = types::HostDescriptor::write_via_stream(&mut self.wasi, file, offset)?;
        self.output(stream, held, Some(offset))
    }

    fn append_via_stream(&mut self, file: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.counted()?;
        let held = self.ledger.of(&file)?;
        let stream = types::HostDescriptor::append_via_stream(&mut self.wasi, file)?;
        self.output(stream, held, None)
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
        let rest =
            MAX_LISTED_ENTRIES.saturating_sub(self.ledger.listings.values().map(|listing| listing.entries).sum());
        let listed = match self.wasi.table.get(&directory)? {
            Descriptor::Dir(found) => found.dir.clone(),
            Descriptor::File(_) => return Err(types::ErrorCode::NotDirectory.into()),
        };
        let entries = special::entries(listed.clone(), rest).await?;
        if entries > rest {
            return Err(types::ErrorCode::InsufficientMemory.into());
        }
        let held = self.ledger.of(&directory)?;
        let unlisted = held
            .quota
            .guard(&self.ledger.places)
            .map(|guard| guard.unlisted(&listed))
            .unwrap_or_default();
        let listing = types::HostDescriptor::read_directory(&mut self.wasi, directory).await?;
        self.ledger.listings.insert(
            listing.rep(),
            Listing {
                entries,
                unlisted: unlisted.into(),
            },
        );
        Ok(listing)
    }

    async fn create_directory_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<()> {
        let at = self.at(&directory, path, Links::AsTheyAre, Purpose::Change)?;
        let held = self.ledger.of(&directory)?;
        self.ledger.count(&held.quota).await;
        let _names = held.quota.directory.names().await;
        self.take_entry(&held)?;
        let entered = self.enter(&at)?;
        let made = types::HostDescriptor::create_directory_at(&mut self.wasi, entered.directory(), at.name).await;
        self.leave(&entered)?;
        held.keep_entry(made)
    }

    async fn symlink_at(&mut self, directory: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        let at = self.at(&directory, path.clone(), Links::AsTheyAre, Purpose::Change)?;
        self.refuse_leading_link(&directory, &path, &target)?;
        let held = self.ledger.of(&directory)?;
        self.ledger.count(&held.quota).await;
        let _names = held.quota.directory.names().await;
        self.take_entry(&held)?;
        let entered = self.enter(&at)?;
        let made = types::HostDescriptor::symlink_at(&mut self.wasi, entered.directory(), target, at.name).await;
        self.leave(&entered)?;
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
        // Who has a second name of a file can write it by that.
        let from = self.at(&directory, path, links(flags), Purpose::Change)?;
        let onto = self.at(&to, to_path, Links::AsTheyAre, Purpose::Change)?;
        self.refuse_special(&from)?;
        let held = self.within_one(&directory, &to)?;
        self.ledger.count(&held.quota).await;
        let _names = held.quota.directory.names().await;
        self.take_entry(&held)?;
        let (one, other) = (self.enter(&from)?, self.enter(&onto)?);
        let (directory, to) = (one.directory(), other.directory());
        let made = types::HostDescriptor::link_at(&mut self.wasi, directory, flags, from.name, to, onto.name).await;
        self.leave(&one)?;
        self.leave(&other)?;
        held.keep_entry(made)
    }

    async fn unlink_file_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<()> {
        let at = self.at(&directory, path, Links::AsTheyAre, Purpose::Change)?;
        let held = self.ledger.of(&directory)?;
        let _names = held.quota.directory.names().await;
        // Its bytes are given back when nobody has it open any more, which may be at the end of this.
        let _target = self.target(&held, &at, Links::AsTheyAre)?;
        let entered = self.enter(&at)?;
        let removed = types::HostDescriptor::unlink_file_at(&mut self.wasi, entered.directory(), at.name).await;
        self.leave(&entered)?;
        removed?;
        held.quota.directory.give_back_entry();
        Ok(())
    }

    async fn remove_directory_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<()> {
        let at = self.at(&directory, path, Links::AsTheyAre, Purpose::Change)?;
        let held = self.ledger.of(&directory)?;
        let _names = held.quota.directory.names().await;
        let entered = self.enter(&at)?;
        let removed = types::HostDescriptor::remove_directory_at(&mut self.wasi, entered.directory(), at.name).await;
        self.leave(&entered)?;
        removed?;
        held.quota.directory.give_back_entry();
        Ok(())
    }

    async fn rename_at(
        &mut self,
        from: Resource<Descriptor>,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        let old = self.at(&from, path, Links::AsTheyAre, Purpose::Change)?;
        let new = self.at(&to, to_path, Links::AsTheyAre, Purpose::Change)?;
        let held = self.within_one(&from, &to)?;
        let _names = held.quota.directory.names().await;
        let moved = self.target(&held, &old, Links::AsTheyAre)?;
        let replaced = self.target(&held, &new, Links::AsTheyAre)?;
        let (one, other) = (self.enter(&old)?, self.enter(&new)?);
        let (from, to) = (one.directory(), other.directory());
        let renamed = types::HostDescriptor::rename_at(&mut self.wasi, from, old.name, to, new.name).await;
        self.leave(&one)?;
        self.leave(&other)?;
        renamed?;
        // Two names of one file stay as they are; else one name is gone.
        let is_gone = match (&moved, &replaced) {
            (Some((moved, _)), Some((replaced, _))) => moved.id != replaced.id,
            _ => false,
        };
        if is_gone {
            held.quota.directory.give_back_entry();
        }
        Ok(())
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
        let at = self.at(&directory, path, links(flags), Purpose::Look)?;
        let (flags, _) = at.flags(flags, types::OpenFlags::empty());
        let entered = self.enter(&at)?;
        let stat = types::HostDescriptor::stat_at(&mut self.wasi, entered.directory(), flags, at.name).await;
        self.leave(&entered)?;
        stat
    }

    async fn set_times_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let at = self.at(&directory, path, links(flags), Purpose::Change)?;
        self.refuse_special(&at)?;
        let (flags, _) = at.flags(flags, types::OpenFlags::empty());
        let entered = self.enter(&at)?;
        let directory = entered.directory();
        let set =
            types::HostDescriptor::set_times_at(&mut self.wasi, directory, flags, at.name, accessed, modified).await;
        self.leave(&entered)?;
        set
    }

    async fn readlink_at(&mut self, directory: Resource<Descriptor>, path: String) -> FsResult<String> {
        let at = self.at(&directory, path, Links::AsTheyAre, Purpose::Look)?;
        let entered = self.enter(&at)?;
        let target = types::HostDescriptor::readlink_at(&mut self.wasi, entered.directory(), at.name).await;
        self.leave(&entered)?;
        target
    }

    async fn metadata_hash_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        let at = self.at(&directory, path, links(flags), Purpose::Look)?;
        let (flags, _) = at.flags(flags, types::OpenFlags::empty());
        let entered = self.enter(&at)?;
        let hash = types::HostDescriptor::metadata_hash_at(&mut self.wasi, entered.directory(), flags, at.name).await;
        self.leave(&entered)?;
        hash
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
