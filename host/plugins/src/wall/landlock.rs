//! Landlock: what a process may reach by name. The kernel's best is taken, whichever version that is.

use ::landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::enclosure::{Access, Reach};

/// The newest version that the tests have met. A later one may refuse what a rule of today doesn't speak of.
const NEWEST: ABI = ABI::V7;

/// What of an access is about files that are no directories.
const OF_FILES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});

pub(super) fn reach_nothing() -> u32 {
    version(everything_refused().and_then(RulesetCreated::restrict_self))
}

/// Whether the kernel knows of it at all, and has it switched on.
pub(super) fn is_there() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .is_ok()
}

/// Files and directories that are named, and no others; TCP is left open. Starting a program is refused everywhere.
pub(super) fn reach_only(reach: &[Reach]) -> u32 {
    let rules = || {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        for reach in reach {
            for path in &reach.paths {
                // What can't be opened by this user can't be reached by this process either.
                let Ok(place) = PathFd::new(path) else { continue };
                let allowed = match path.is_dir() {
                    true => rights(reach.access),
                    false => rights(reach.access) & OF_FILES,
                };
                rules = rules.add_rule(PathBeneath::new(place, allowed))?;
            }
        }
        rules.restrict_self()
    };
    version(rules())
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    match access {
        Access::Read => read,
        Access::Device => read | make_bitflags!(AccessFs::{WriteFile | IoctlDev}),
        Access::Keep => {
            read | make_bitflags!(AccessFs::{
                WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
            })
        }
        Access::Change => rights(Access::Keep) | AccessFs::MakeSym,
    }
}

/// Rules that name all that the kernel can refuse, and allow none of it.
fn everything_refused() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()
}

/// The version in force; 0 where the kernel has none, has it switched off, or didn't take the rules.
fn version(status: Result<RestrictionStatus, RulesetError>) -> u32 {
    match status {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => {
            (ABI::from(status.landlock) as u32).min(NEWEST as u32)
        }
        Ok(_) | Err(_) => 0,
    }
}
