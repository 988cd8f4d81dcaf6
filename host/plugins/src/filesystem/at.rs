//! The name of one operation, and where wasmtime is to look it up: as the guest said, or where the guard has found it.

use std::fs::File;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types;

use super::guard::{Purpose, Stop};
use super::special::Links;
use super::view::FilesView;

/// A name in a directory.
pub(super) struct At {
    /// The guest's descriptor.
    base: u32,
    pub(super) name: String,
    /// The directory that the guard has found; none where nothing is guarded.
    found: Option<Dir>,
    wants_directory: bool,
}

/// A descriptor that wasmtime is given. It must be left again.
pub(super) struct Entered {
    descriptor: u32,
    is_ours: bool,
}

impl FilesView<'_> {
    /// Where a name of a guest's leads, if it may be used so. Counts, and looks at the name itself.
    pub(super) fn at(
        &mut self,
        directory: &Resource<Descriptor>,
        name: String,
        links: Links,
        purpose: Purpose,
    ) -> FsResult<At> {
        self.named(&name)?;
        if purpose == Purpose::Change {
            self.tell_of_write(directory)?;
        }
        let base = directory.rep();
        let as_said = |name| At {
            base,
            name,
            found: None,
            wants_directory: false,
        };
        let held = self.ledger.of(directory)?;
        let Some(guard) = held.quota.guard(&self.ledger.places) else {
            return Ok(as_said(name));
        };
        // Of a file wasmtime says that it is no directory.
        let Descriptor::Dir(dir) = self.wasi.table.get(directory)? else {
            return Ok(as_said(name));
        };
        let found = match guard.find(&dir.dir, &name, links, purpose) {
            Ok(found) => found,
            Err(Stop::Code(code)) => return Err(code.into()),
            Err(Stop::Own(touched)) => {
                if let Some(gatekeeper) = &self.ledger.gatekeeper {
                    gatekeeper.tell_own(&touched, purpose == Purpose::Change);
                }
                return Err(types::ErrorCode::NotPermitted.into());
            }
        };
        let mut directory = dir.clone();
        directory.dir = found.parent;
        if found.is_kept {
            directory.perms = FsPerms::ReadOnly;
        }
        Ok(At {
            base,
            name: found.name,
            found: Some(directory),
            wants_directory: found.wants_directory,
        })
    }

    /// The directory in which the name is looked up; none where the guest's descriptor is of a file.
    pub(super) fn directory_of(&self, at: &At) -> FsResult<Option<Arc<File>>> {
        if let Some(found) = &at.found {
            return Ok(Some(found.dir.clone()));
        }
        Ok(
            match self.wasi.table.get(&Resource::<Descriptor>::new_borrow(at.base))? {
                Descriptor::Dir(directory) => Some(directory.dir.clone()),
                Descriptor::File(_) => None,
            },
        )
    }

    pub(super) fn enter(&mut self, at: &At) -> FsResult<Entered> {
        let Some(directory) = &at.found else {
            return Ok(Entered {
                descriptor: at.base,
                is_ours: false,
            });
        };
        let ours = self.wasi.table.push(Descriptor::Dir(directory.clone()))?;
        Ok(Entered {
            descriptor: ours.rep(),
            is_ours: true,
        })
    }

    pub(super) fn leave(&mut self, entered: &Entered) -> FsResult<()> {
        if entered.is_ours {
            self.wasi
                .table
                .delete(Resource::<Descriptor>::new_own(entered.descriptor))?;
        }
        Ok(())
    }
}

impl Entered {
    pub(super) fn directory(&self) -> Resource<Descriptor> {
        Resource::new_borrow(self.descriptor)
    }
}

impl At {
    /// A link that the guard has followed is followed by nobody else: another may have its name by now.
    pub(super) fn flags(&self, path: types::PathFlags, open: types::OpenFlags) -> (types::PathFlags, types::OpenFlags) {
        match (&self.found, self.wants_directory) {
            (None, _) => (path, open),
            (Some(_), true) => (types::PathFlags::empty(), open | types::OpenFlags::DIRECTORY),
            (Some(_), false) => (types::PathFlags::empty(), open),
        }
    }
}
