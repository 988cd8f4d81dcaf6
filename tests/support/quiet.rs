//! Tests that measure time run alone; all others run beside each other.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// A share of the machine. A test that has one may take it again.
#[derive(Debug, Clone)]
pub(crate) struct Share(#[expect(dead_code, reason = "held, not read")] Rc<Held>);

#[derive(Debug)]
enum Held {
    Beside { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

thread_local! {
    static MINE: RefCell<Weak<Held>> = const { RefCell::new(Weak::new()) };
}

/// Beside other tests.
pub(crate) fn share() -> Share {
    take(|| Held::Beside {
        _guard: MACHINE.read().unwrap_or_else(PoisonError::into_inner),
    })
}

/// Without other tests, so that what is measured is what is tested. To be taken first in a test.
pub(crate) fn alone() -> Share {
    take(|| Held::Alone {
        _guard: MACHINE.write().unwrap_or_else(PoisonError::into_inner),
    })
}

fn take(held: impl FnOnce() -> Held) -> Share {
    MINE.with_borrow_mut(|mine| {
        let held = mine.upgrade().unwrap_or_else(|| Rc::new(held()));
        *mine = Rc::downgrade(&held);
        Share(held)
    })
}
