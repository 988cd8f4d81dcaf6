//! `[limits]`: what guests may use, and whether the kernel holds us.

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Resolution;

const MEMORY_MIB: u32 = 64;
const CPU_MS: u32 = 5_000;
const WALL_MS: u32 = 30_000;
const MAX_INSTANCES: u32 = 256;

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
    /// Whether the kernel holds the processes of Sandbar itself: those that compile plugins reach no file, no network and no other
    /// process (Linux: Landlock and seccomp, as far as the kernel has them; `sandbar doctor` says what it gave). Default: true.
    /// Environment: `SANDBAR__LIMITS__KERNEL_SANDBOX`.
    kernel_sandbox: Option<bool>,
}

/// What `[limits]` means.
#[derive(Debug)]
pub(super) struct HostLimits {
    pub(super) guest: GuestLimits,
    pub(super) guest_memory_bytes: Option<u64>,
    pub(super) max_instances: u32,
    pub(super) kernel_sandbox: bool,
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
            kernel_sandbox: resolution.or_default("limits.kernel_sandbox", self.kernel_sandbox, true),
        }
    }
}

fn bytes(mib: u32) -> u64 {
    u64::from(mib) * 1024 * 1024
}
