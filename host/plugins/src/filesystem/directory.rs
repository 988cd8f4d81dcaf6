//! A directory that guests change, as this process knows it: how much is in it, how much of that guests have added, and which of its files they
//! have open. Whoever sees the directory shares it; how much each may put there is its `Quota`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use super::walk::bytes_under;

/// What a file, a directory or a link counts besides its bytes: a million empty files fill a disk as well.
pub(super) const ENTRY_BYTES: u64 = 4 << 10;

/// A file or a directory, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    device: u64,
    number: u64,
}

/// What of a directory a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// All that is in it.
    Everything,
    /// What guests have added since the host opened it: what was there is its owner's business.
    Added,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) bytes: u64,
    pub(super) of: Counted,
}

#[derive(Debug)]
pub(crate) struct Directory {
    handle: File,
    books: Mutex<Books>,
    /// The greatest limit on everything in it; 0 where nobody has one, and what is there needs no counting.
    greatest: AtomicU64,
    /// Held while names are made, changed or removed, and while what is there is counted; says whether it has been.
    names: tokio::sync::Mutex<bool>,
}

#[derive(Debug, Default)]
struct Books {
    added: u64,
    held: u64,
    open: HashMap<FileId, OpenCount>,
    counting: Option<Counting>,
}

/// A file that guests have open. Its bytes are counted here, not where it lies: it takes room as long as it is open, also without a name.
#[derive(Debug)]
struct OpenCount {
    descriptors: usize,
    /// What it counts. It is never shorter on the disk than this says, unless somebody else than a guest made it longer.
    bytes: u64,
    /// Writes that have been counted and may not have happened yet.
    writing: usize,
    /// Some write was given up, and nobody knows whether it happens: the count goes up, not down.
    unsure: bool,
}

/// While the directory is counted.
#[derive(Debug)]
struct Counting {
    /// Files that were open at the beginning: the walk leaves their bytes out.
    skipped: Arc<HashSet<FileId>>,
    /// Bytes of those that were closed since.
    closed: u64,
}

/// All that this process has open, so that whoever opens one again shares it.
static KNOWN: LazyLock<Mutex<HashMap<FileId, Weak<Directory>>>> = LazyLock::new(Mutex::default);

impl FileId {
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: device(stat),
            number: stat.st_ino,
        }
    }

    fn of_metadata(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
        }
    }
}

#[cfg(target_os = "linux")]
fn device(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev
}

#[cfg(not(target_os = "linux"))]
fn device(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev as u64
}

impl Directory {
    pub(crate) fn of(handle: File) -> io::Result<Arc<Self>> {
        let id = FileId::of_metadata(&handle.metadata()?);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = known.get(&id).and_then(Weak::upgrade) {
            return Ok(directory);
        }
        known.retain(|_, directory| directory.strong_count() > 0);
        let directory = Arc::new(Self {
            handle,
            books: Mutex::default(),
            greatest: AtomicU64::new(0),
            names: tokio::sync::Mutex::new(false),
        });
        known.insert(id, Arc::downgrade(&directory));
        Ok(directory)
    }

    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// Somebody has a limit on all that is in it.
    pub(super) fn count_up_to(&self, limit: u64) {
        self.greatest.fetch_max(limit, Ordering::Relaxed);
    }

    /// Names stay what they are until this is dropped, as far as guests are concerned.
    pub(super) async fn names(&self) -> tokio::sync::MutexGuard<'_, bool> {
        self.names.lock().await
    }

    /// Counts what is there, once, or `again`.
    pub(super) async fn count(self: &Arc<Self>, again: bool) {
        let limit = self.greatest.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        let mut counted = self.names.lock().await;
        if *counted && !again {
            return;
        }
        let (directory, skipped) = (self.clone(), self.books().begin_counting());
        let walked = tokio::task::spawn_blocking(move || bytes_under(&directory.handle, &skipped, limit)).await;
        self.books().end_counting(walked.unwrap_or(u64::MAX));
        *counted = true;
    }

    pub(super) fn take_entry(&self, limit: Limit) -> bool {
        self.books().take(ENTRY_BYTES, limit)
    }

    pub(super) fn give_back_entry(&self) {
        self.books().give_back(ENTRY_BYTES);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn take(&mut self, bytes: u64, limit: Limit) -> bool {
        let used = match limit.of {
            Counted::Everything => self.held,
            Counted::Added => self.added,
        };
        // What makes nothing longer is allowed where there is too much already.
        if bytes > 0 && used.checked_add(bytes).is_none_or(|sum| sum > limit.bytes) {
            return false;
        }
        self.added = self.added.saturating_add(bytes);
        self.held = self.held.saturating_add(bytes);
        true
    }

    /// What a user had there before is not the guest's to spend.
    fn give_back(&mut self, bytes: u64) {
        self.added = self.added.saturating_sub(bytes);
        self.held = self.held.saturating_sub(bytes);
    }

    /// Gives back what an open file was made shorter, to this length, and what was counted and not written.
    fn settle(&mut self, id: FileId, length: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        if open.writing > 0 || open.unsure {
            return;
        }
        let less = open.bytes.saturating_sub(length);
        open.bytes = length;
        self.give_back(less);
    }

    fn begin_counting(&mut self) -> Arc<HashSet<FileId>> {
        let skipped: Arc<HashSet<FileId>> = Arc::new(self.open.keys().copied().collect());
        self.counting = Some(Counting {
            skipped: skipped.clone(),
            closed: 0,
        });
        skipped
    }

    /// Files that were opened since are such as nobody writes to: who opens one to write needs the lock on names.
    fn end_counting(&mut self, walked: u64) {
        let Some(counting) = self.counting.take() else { return };
        let open = self.open.iter().filter(|(id, _)| counting.skipped.contains(id));
        let open = open.fold(0_u64, |sum, (_, open)| sum.saturating_add(open.bytes));
        self.held = walked.saturating_add(counting.closed).saturating_add(open);
    }
}

/// A file of a directory that a guest has open, or the host for it.
#[derive(Debug)]
pub(super) struct OpenNode {
    directory: Arc<Directory>,
    pub(super) id: FileId,
    file: Arc<File>,
}

/// A write that has been counted; what it was counted is looked at again when it has `landed`.
#[derive(Debug)]
pub(super) struct Write {
    node: Arc<OpenNode>,
    landed: bool,
}

/// Where the bytes of a write go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Growth {
    /// So that the file has at least so many.
    To(u64),
    /// So many, wherever the file ends.
    By(u64),
}

impl OpenNode {
    pub(super) fn of(directory: &Arc<Directory>, file: Arc<File>) -> io::Result<Arc<Self>> {
        let mut books = directory.books();
        let metadata = file.metadata()?;
        let id = FileId::of_metadata(&metadata);
        let open = books.open.entry(id).or_insert_with(|| OpenCount {
            descriptors: 0,
            bytes: metadata.len(),
            writing: 0,
            unsure: false,
        });
        open.descriptors += 1;
        books.settle(id, metadata.len());
        drop(books);
        Ok(Arc::new(Self {
            directory: directory.clone(),
            id,
            file,
        }))
    }

    /// Room for a write; none if there isn't any.
    pub(super) fn write(self: &Arc<Self>, growth: Growth, limit: Limit) -> Option<Write> {
        let mut books = self.directory.books();
        let bytes = books.open.get(&self.id)?.bytes;
        let end = match growth {
            Growth::To(end) => end.max(bytes),
            Growth::By(more) => bytes.saturating_add(more),
        };
        if !books.take(end - bytes, limit) {
            return None;
        }
        let open = books.open.get_mut(&self.id)?;
        open.bytes = end;
        open.writing += 1;
        Some(Write {
            node: self.clone(),
            landed: false,
        })
    }
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        let mut books = self.directory.books();
        let metadata = self.file.metadata();
        if let Ok(metadata) = &metadata {
            books.settle(self.id, metadata.len());
        }
        let is_gone = metadata.is_ok_and(|metadata| metadata.nlink() == 0);
        let Some(open) = books.open.get_mut(&self.id) else {
            return;
        };
        open.descriptors -= 1;
        if open.descriptors > 0 {
            return;
        }
        let bytes = open.bytes;
        books.open.remove(&self.id);
        if is_gone {
            books.give_back(bytes);
        } else if let Some(counting) = &mut books.counting
            && counting.skipped.contains(&self.id)
        {
            counting.closed = counting.closed.saturating_add(bytes);
        }
    }
}

impl Write {
    pub(super) fn landed(mut self) {
        self.landed = true;
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        let mut books = self.node.directory.books();
        let Some(open) = books.open.get_mut(&self.node.id) else {
            return;
        };
        open.writing -= 1;
        open.unsure |= !self.landed;
        if let Ok(metadata) = self.node.file.metadata() {
            books.settle(self.node.id, metadata.len());
        }
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
