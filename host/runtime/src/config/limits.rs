//! `[limits]`: what guests may use, and whether the kernel holds us.

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Resolution;

const MEMORY_MIB: u32 = 64;
const CPU_MS: u32 = 5_000;
const WALL_MS: u32 = 30_000;
const MAX_INSTANCES: u32 = 256;
const WORKSPACE_MIB: u32 = 4_096;

/// What one guest may use in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestLimits {
    pub memory_bytes: u64,
    pub cpu_ms: u64,
    pub wall_ms: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_bytes: bytes(MEMORY_MIB),
            cpu_ms: CPU_MS.into(),
            wall_ms: WALL_MS.into(),
        }
    }
}

/// Limits of guests, for all plugins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileLimits {
    /// Memory of one instance, in MiB. Default: 64. Environment: `SANDBAR__LIMITS__MEMORY_MIB`.
    #[schemars(range(min = 1, max = 4096))]
    memory_mib: Option<u32>,
    /// Processor time of one call, in milliseconds. Default: 5000. Environment: `SANDBAR__LIMITS__CPU_MS`.
    #[schemars(range(min = 1))]
    cpu_ms: Option<u32>,
    /// Time on the clock of one call, in milliseconds. Default: 30000. Environment: `SANDBAR__LIMITS__WALL_MS`.
    #[schemars(range(min = 1))]
    wall_ms: Option<u32>,
    /// Memory of all instances together, in MiB. Default: 0, which means a quarter of the machine's. Environment:
    /// `SANDBAR__LIMITS__GUEST_MEMORY_MIB`.
    guest_memory_mib: Option<u32>,
    /// Instances at once, of all plugins together. Default: 256. Environment: `SANDBAR__LIMITS__MAX_INSTANCES`.
    #[schemars(range(min = 1, max = 100_000))]
    max_instances: Option<u32>,
    /// What plugins may add to a workspace, or to a mount without a `quota_mib`, in MiB; each file or directory counts 4 KiB besides its
    /// bytes. In the own directory of a session everything counts. Default: 4096. Environment: `SANDBAR__LIMITS__WORKSPACE_MIB`.
    #[schemars(range(min = 1))]
    workspace_mib: Option<u32>,
    /// Whether the kernel holds the processes of Sandbar itself: those that compile plugins reach no file, no network and no other
    /// process; the program `sandbar` reaches the files that the configuration names, and starts nothing else (Linux: Landlock and
    /// seccomp, as far as the kernel has them; `sandbar doctor` says what it gave). Default: true. Environment:
    /// `SANDBAR__LIMITS__KERNEL_SANDBOX`.
    kernel_sandbox: Option<bool>,
    /// Whether a plugin that fails again and again - it crashes, meets a limit, or answers what is no answer - is put aside until
    /// `sandbar plugins enable`: after 5 failures in a row, or 10 within ten minutes. Default: true. Environment:
    /// `SANDBAR__LIMITS__PUT_ASIDE`.
    put_aside: Option<bool>,
}

/// What `[limits]` means.
#[derive(Debug)]
pub(super) struct HostLimits {
    pub(super) guest: GuestLimits,
    pub(super) guest_memory_bytes: Option<u64>,
    pub(super) max_instances: u32,
    pub(super) workspace_bytes: u64,
    pub(super) kernel_sandbox: bool,
    pub(super) put_aside: bool,
}

impl FileLimits {
    pub(super) fn resolve(self, resolution: &mut Resolution) -> HostLimits {
        let guest = GuestLimits {
            memory_bytes: bytes(resolution.or_default("limits.memory_mib", self.memory_mib, MEMORY_MIB)),
            cpu_ms: resolution.or_default("limits.cpu_ms", self.cpu_ms, CPU_MS).into(),
            wall_ms: resolution.or_default("limits.wall_ms", self.wall_ms, WALL_MS).into(),
        };
        let sum = resolution.or_default("limits.guest_memory_mib", self.guest_memory_mib, 0);
        HostLimits {
            guest,
            guest_memory_bytes: (sum > 0).then(|| bytes(sum)),
            max_instances: resolution.or_default("limits.max_instances", self.max_instances, MAX_INSTANCES),
            workspace_bytes: bytes(resolution.or_default("limits.workspace_mib", self.workspace_mib, WORKSPACE_MIB)),
            kernel_sandbox: resolution.or_default("limits.kernel_sandbox", self.kernel_sandbox, true),
            put_aside: resolution.or_default("limits.put_aside", self.put_aside, true),
        }
    }
}

pub(super) fn bytes(mib: u32) -> u64 {
    u64::from(mib) * 1024 * 1024
}
