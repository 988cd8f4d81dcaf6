//! Landlock: what a process may reach by name. The kernel's best is taken, whichever version that is.

use ::landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetError, RulesetStatus, Scope,
};

/// The newest version that the tests have met. A later one may refuse what a rule of today doesn't speak of.
const NEWEST: ABI = ABI::V7;

pub(super) fn reach_nothing() -> u32 {
    version(everything_refused().and_then(RulesetCreated::restrict_self))
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
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => ABI::from(status.landlock) as u32,
        Ok(_) | Err(_) => 0,
    }
}
