//! The VFS: SQLite's calls, told to the disk of the file's directory and then done by the system's own VFS.
//!
//! One VFS is registered for the life of the process. It finds the disk by the directory of the file that is opened, so that nothing
//! here outlives what it points to: an open file holds its disk. This file decides nothing.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::Disk;
use super::names::FileNumber;

/// Under this name the store asks for it.
pub(crate) const NAME: &str = "sandbar-torture";

const C_NAME: &CStr = c"sandbar-torture";

/// The lock of the shared memory that the one writer holds.
const WRITER_LOCK: c_int = 0;

static DISKS: Mutex<BTreeMap<PathBuf, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// What SQLite has for an open file: this, and after it in memory the file of the system's VFS.
#[repr(C)]
struct File {
    base: sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    disk: Arc<Disk>,
    file: FileNumber,
    is_wal: bool,
    /// The first sync of a journal that was opened so that it may be made syncs its directory.
    syncs_directory: AtomicBool,
}

pub(super) fn mount(directory: PathBuf, disk: Arc<Disk>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    disks().insert(directory, disk);
}

pub(super) fn unmount(directory: &Path) {
    disks().remove(directory);
}

fn disks() -> std::sync::MutexGuard<'static, BTreeMap<PathBuf, Arc<Disk>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register() {
    // SAFETY: the system's VFS is there from SQLite's start to the end of the process, and what is registered is never freed. What
    // is copied of the system's VFS are functions that don't look at the VFS that they are called through.
    unsafe {
        let system = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(!system.is_null(), "SQLite has no VFS for this system");
        let ours = Box::new(sqlite3_vfs {
            szOsFile: (*system).szOsFile + size_of::<File>() as c_int,
            pNext: std::ptr::null_mut(),
            zName: C_NAME.as_ptr(),
            pAppData: system.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..*system
        });
        let code = ffi::sqlite3_vfs_register(Box::into_raw(ours), 0);
        assert_eq!(code, ffi::SQLITE_OK, "the VFS could not be registered");
    }
}

/// The disk and the name of a file; none where no disk is mounted.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn find(path: *const c_char) -> Option<(Arc<Disk>, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller promises it.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
    let disk = disks().get(path.parent()?).cloned()?;
    Some((disk, path.file_name()?.to_str()?.to_owned()))
}

/// The file of the system's VFS, and its methods.
///
/// # Safety
/// `file` was opened by `open` and is not closed.
unsafe fn system(file: *mut sqlite3_file) -> (*mut sqlite3_file, &'static sqlite3_io_methods) {
    // SAFETY: SQLite allocates `szOsFile` bytes, which is room for both; the methods of a VFS are statics.
    unsafe {
        let system = file.byte_add(size_of::<File>());
        (system, &*(*system).pMethods)
    }
}

/// # Safety
/// `file` was opened by `open` and is not closed.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a Handle {
    // SAFETY: `open` put it there, and `close` alone takes it away.
    unsafe { &*(*file.cast::<File>()).handle }
}

/// A method that the system's VFS always has: it is of version 3.
macro_rules! on_system {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: SQLite calls methods on open files alone, with the arguments that it would give the system's VFS.
        unsafe {
            let (file, methods) = system($file);
            match methods.$method {
                Some(method) => method(file $(, $argument)*),
                None => panic!(concat!("the system's VFS has no ", stringify!($method))),
            }
        }
    }};
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a VFS that `register` made, a path that is null or a C string, and `szOsFile` bytes for the file.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let system_vfs: *mut sqlite3_vfs = (*vfs).pAppData.cast();
        let Some(system_open) = (*system_vfs).xOpen else {
            return ffi::SQLITE_CANTOPEN;
        };
        let Some((disk, name)) = find(path) else {
            // A temporary file: its methods are the system's own.
            return system_open(system_vfs, path, file, flags, out_flags);
        };
        if let Err(code) = disk.open() {
            return code;
        }
        let code = system_open(system_vfs, path, file.byte_add(size_of::<File>()), flags, out_flags);
        if code != ffi::SQLITE_OK {
            return code;
        }
        let journals = ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL;
        let handle = Handle {
            file: disk.opened(&name),
            is_wal: flags & ffi::SQLITE_OPEN_WAL != 0,
            syncs_directory: AtomicBool::new(flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & journals != 0),
            disk,
        };
        (*file.cast::<File>()).handle = Box::into_raw(Box::new(handle));
        (*file).pMethods = &METHODS;
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, path: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: as for `open`.
    unsafe {
        if let Some((disk, name)) = find(path)
            && let Err(code) = disk.delete(&name, sync_directory != 0)
        {
            return code;
        }
        let system_vfs: *mut sqlite3_vfs = (*vfs).pAppData.cast();
        match (*system_vfs).xDelete {
            // The directory is synced on the disk that is played, not on the real one.
            Some(system_delete) => system_delete(system_vfs, path, 0),
            None => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let code = on_system!(file, xClose);
    // SAFETY: `open` made it, and SQLite closes a file once.
    unsafe {
        drop(Box::from_raw((*file.cast::<File>()).handle));
        (*file).pMethods = std::ptr::null();
    }
    code
}

unsafe extern "C" fn read(file: *mut sqlite3_file, bytes: *mut c_void, count: c_int, offset: sqlite3_int64) -> c_int {
    // SAFETY: SQLite reads open files alone.
    match unsafe { handle(file) }.disk.read() {
        Ok(()) => on_system!(file, xRead, bytes, count, offset),
        Err(code) => code,
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite writes to open files alone, and gives `count` bytes.
    let (handle, written) = unsafe {
        let written = std::slice::from_raw_parts(bytes.cast::<u8>(), count as usize);
        (handle(file), written)
    };
    match handle.disk.write(handle.file, offset as usize, written) {
        Ok(()) => {
            if handle.is_wal && offset == 0 {
                handle.disk.began_wal();
            }
            on_system!(file, xWrite, bytes, count, offset)
        }
        Err((0, code)) => code,
        Err((done, code)) => {
            let partial = on_system!(file, xWrite, bytes, done as c_int, offset);
            if partial == ffi::SQLITE_OK { code } else { partial }
        }
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: SQLite truncates open files alone.
    let handle = unsafe { handle(file) };
    match handle.disk.truncate(handle.file, size as usize) {
        Ok(()) => on_system!(file, xTruncate, size),
        Err(code) => code,
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite syncs open files alone.
    let handle = unsafe { handle(file) };
    let directory_too = handle.syncs_directory.load(Ordering::Relaxed);
    // What is durable is known to the disk that is played: the real one isn't asked.
    match handle.disk.sync(handle.file, directory_too) {
        Ok(()) => {
            handle.syncs_directory.store(false, Ordering::Relaxed);
            ffi::SQLITE_OK
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    on_system!(file, xFileSize, size)
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    on_system!(file, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    on_system!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, reserved: *mut c_int) -> c_int {
    on_system!(file, xCheckReservedLock, reserved)
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    on_system!(file, xFileControl, operation, argument)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    on_system!(file, xSectorSize)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // Whatever else the real disk can do, the one that is played can't.
    on_system!(file, xDeviceCharacteristics) & ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite maps the memory of open files alone.
    let allowed = unsafe { handle(file) }.disk.map();
    match allowed {
        Ok(()) => on_system!(file, xShmMap, region, size, extend, out),
        Err(code) => code,
    }
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    if offset == WRITER_LOCK && flags == ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE {
        // SAFETY: SQLite locks open files alone.
        unsafe { handle(file) }.disk.gate.pass();
    }
    on_system!(file, xShmLock, offset, count, flags)
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    on_system!(file, xShmBarrier);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    on_system!(file, xShmUnmap, delete)
}

unsafe extern "C" fn fetch(
    file: *mut sqlite3_file,
    offset: sqlite3_int64,
    count: c_int,
    out: *mut *mut c_void,
) -> c_int {
    on_system!(file, xFetch, offset, count, out)
}

unsafe extern "C" fn unfetch(file: *mut sqlite3_file, offset: sqlite3_int64, page: *mut c_void) -> c_int {
    on_system!(file, xUnfetch, offset, page)
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
