//! What the name of a file must be before it is looked up. The look-up itself stays in the directory; this is the wall before it.

/// The longest name that is looked up, in bytes, as on Linux.
const MAX_NAME_BYTES: usize = 4_096;

/// Why a name isn't looked up, or a link isn't made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem {
    TooLong,
    /// It contains a zero, where the system's names end.
    Zero,
    /// It begins at the root of the file system, or leads above the directory, or can't be told not to.
    Outside,
}

/// Whether a name may be looked up: relative, and never above where it begins.
pub fn check_name(name: &str) -> Result<(), NameProblem> {
    check_text(name)?;
    stays_inside(name.split('/'))
}

/// Whether a link of that name may lead there: nowhere outside, for a guest or for the people who share the directory. The directories
/// in the name must be no links.
pub fn check_link(name: &str, target: &str) -> Result<(), NameProblem> {
    check_text(name)?;
    check_text(target)?;
    let directory = name
        .trim_end_matches('/')
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    stays_inside(directory.split('/').chain(target.split('/')))?;
    // What a part names may be a link itself, now or later: then `..` after it leads to somewhere that the names don't tell.
    let mut parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
    match parts.by_ref().find(|part| *part != "..") {
        Some(_) if parts.any(|part| part == "..") => Err(NameProblem::Outside),
        _ => Ok(()),
    }
}

fn check_text(name: &str) -> Result<(), NameProblem> {
    if name.len() > MAX_NAME_BYTES {
        return Err(NameProblem::TooLong);
    }
    if name.contains('\0') {
        return Err(NameProblem::Zero);
    }
    if name.starts_with('/') {
        return Err(NameProblem::Outside);
    }
    Ok(())
}

fn stays_inside<'a>(parts: impl Iterator<Item = &'a str>) -> Result<(), NameProblem> {
    let mut depth = 0_u32;
    for part in parts {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or(NameProblem::Outside)?,
            _ => depth += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::NameProblem::{Outside, TooLong, Zero};
    use super::*;

    #[test]
    fn names_stay_inside() {
        let check = |name: &str, expected| assert_eq!(check_name(name), expected, "{name:?}");
        check("a/b", Ok(()));
        check("", Ok(()));
        check(".", Ok(()));
        check("a/../b/", Ok(()));
        check("a/..", Ok(()));
        check("..", Err(Outside));
        check("a/../../b", Err(Outside));
        check("/etc/passwd", Err(Outside));
        check("a\0b", Err(Zero));
        check(&"x".repeat(4_097), Err(TooLong));
        check("...", Ok(()));
        check(r"..\..\x", Ok(()));
    }

    #[test]
    fn links_lead_nowhere_outside() {
        let check = |name: &str, target: &str, expected| {
            assert_eq!(check_link(name, target), expected, "{name:?} -> {target:?}");
        };
        check("l", "a", Ok(()));
        check("d/l", "../a", Ok(()));
        check("d/l/", "../a", Ok(()));
        check("d/e/l", ".././../a", Ok(()));
        check("d/l", "..", Ok(()));
        check("l", "../a", Err(Outside));
        check("d/l", "../../a", Err(Outside));
        check("d/l", "/etc", Err(Outside));
        check("d/../l", "../a", Err(Outside));
        check("l", "a\0b", Err(Zero));
        check("l", &"x".repeat(4_097), Err(TooLong));
    }

    /// Where `here` is a link to `.`, `here/../x` is outside.
    #[test]
    fn links_lead_through_no_other_link_and_back() {
        let check = |name: &str, target: &str, expected| {
            assert_eq!(check_link(name, target), expected, "{name:?} -> {target:?}");
        };
        check("here", ".", Ok(()));
        check("l", "here/x", Ok(()));
        check("l", "here/../x", Err(Outside));
        check("l", "here/..", Err(Outside));
        check("d/l", "../here/./..", Err(Outside));
        check("d/l", "../here//../x/", Err(Outside));
    }
}
