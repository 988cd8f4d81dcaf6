//! seccomp: which system calls a process may make.
//!
//! Three filters, of whose answers the kernel takes the strictest. One ends the process for calls that only an attacker makes, one keeps
//! the C library from a call that can't be looked into, and one refuses whatever isn't known to be needed.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

pub(super) fn only_compute() -> bool {
    // Made before the first holds: making them takes memory, and the last must not refuse what the others are installed with.
    let Ok(filters) = filters() else { return false };
    filters.iter().all(|filter| apply_filter(filter).is_ok())
}

/// In the order in which they are installed: the last one refuses to install more.
fn filters() -> Result<[BpfProgram; 3], BackendError> {
    let refuse = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let filter = |rules, otherwise, action| SeccompFilter::new(rules, otherwise, action, ARCHITECTURE)?.try_into();
    // The flags of `clone3` are in memory, where a filter can't see them. Without it the C library takes `clone`.
    let opaque = Rules::from([(libc::SYS_clone3, Vec::new())]);
    Ok([
        filter(hostile()?, SeccompAction::Allow, SeccompAction::KillProcess)?,
        filter(opaque, SeccompAction::Allow, refuse(libc::ENOSYS))?,
        filter(needed()?, refuse(libc::EPERM), SeccompAction::Allow)?,
    ])
}

/// What no compiler asks for: other programs, other processes, the network, and the kernel's own workings.
///
/// Two are left out, and so refused: the C library opens a file when it gives memory back, and musl aborts with `tkill`.
fn hostile() -> Result<Rules, BackendError> {
    const PROGRAMS: &[c_long] = &[
        libc::SYS_execve,
        libc::SYS_execveat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ];
    const OTHERS: &[c_long] = &[
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_kill,
    ];
    const NETWORK: &[c_long] = &[
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
    ];
    const MOUNTS: &[c_long] = &[
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_mount_setattr,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
    ];
    const KERNEL: &[c_long] = &[
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_capset,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
    ];
    let mut rules = always([PROGRAMS, OTHERS, NETWORK, MOUNTS, KERNEL].concat().as_slice());
    // A thread shares everything with who starts it; whatever else `clone` makes is another process.
    rules.insert(libc::SYS_clone, vec![bits(0, libc::CLONE_THREAD, 0)?]);
    Ok(rules)
}

/// Memory, threads, time, what is open already, and an orderly end.
fn needed() -> Result<Rules, BackendError> {
    const CALLS: &[c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_membarrier,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut rules = always(CALLS);
    rules.insert(libc::SYS_clone, vec![bits(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?]);
    // Machine code is an answer here, and nothing that is run.
    rules.insert(libc::SYS_mmap, vec![bits(2, libc::PROT_EXEC, 0)?]);
    rules.insert(libc::SYS_mprotect, vec![bits(2, libc::PROT_EXEC, 0)?]);
    // The names of threads and of memory, which a debugger shows.
    let names = [libc::PR_SET_NAME, libc::PR_SET_VMA].map(|option| equal(0, option.unsigned_abs().into()));
    rules.insert(libc::SYS_prctl, names.into_iter().collect::<Result<_, _>>()?);
    // An abort is a signal to oneself.
    rules.insert(libc::SYS_tgkill, vec![equal(0, std::process::id().into())?]);
    // A new thread asks for the size of its stack; a limit can't be set.
    rules.insert(libc::SYS_prlimit64, vec![equal(2, 0)?]);
    Ok(rules)
}

fn always(calls: &[c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn bits(argument: u8, mask: i32, wanted: i32) -> Result<SeccompRule, BackendError> {
    let operator = SeccompCmpOp::MaskedEq(u64::from(mask.unsigned_abs()));
    let condition = SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Qword,
        operator,
        u64::from(wanted.unsigned_abs()),
    )?;
    SeccompRule::new(vec![condition])
}

fn equal(argument: u8, wanted: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, wanted)?;
    SeccompRule::new(vec![condition])
}
