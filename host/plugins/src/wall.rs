//! The kernel's wall around a process of ours: Landlock for files, network and signals, seccomp for everything else that a kernel offers.
//!
//! What the kernel lacks is left out and said. Leaves out who is put behind the wall, which is for the callers.

mod enclosure;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod seccomp;

pub use enclosure::{Access, Enclosure, Reach, enclose, enclosure};
use serde::{Deserialize, Serialize};

/// What the kernel gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// The version of Landlock's interface whose rules hold; 0 if none do.
    pub landlock: u32,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

impl Wall {
    /// Puts this thread, and all that it starts from now on, behind the wall of a compile worker: it can compute, and read and write
    /// what is open already. There is no way back, so the process must have no other thread yet.
    #[must_use]
    pub fn around_compiler() -> Self {
        // Landlock comes first: the filter would not let it be entered.
        Self {
            landlock: reach_nothing(),
            seccomp: only_compute(),
        }
    }
}

/// Takes away every path, the network, and signals to others. Returns the version of Landlock's interface; 0: nothing was taken.
#[must_use]
pub fn reach_nothing() -> u32 {
    #[cfg(target_os = "linux")]
    return landlock::reach_nothing();
    #[cfg(not(target_os = "linux"))]
    return 0;
}

/// Leaves the system calls that computing needs. What no compiler has a reason to ask for ends the process; what a C library may try
/// in passing is refused. Returns whether the filter holds.
#[must_use]
pub fn only_compute() -> bool {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    return seccomp::only_compute();
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    return false;
}
