//! The checks of `sandbar_protocol::policy` on names, in the words of WASI.

use sandbar_protocol::policy::{self, NameProblem};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

/// Whether a name may be looked up.
pub(super) fn check(name: &str) -> Result<(), ErrorCode> {
    policy::check_name(name).map_err(code)
}

/// Whether a link of that name may lead there.
pub(super) fn check_link(name: &str, target: &str) -> Result<(), ErrorCode> {
    policy::check_link(name, target).map_err(code)
}

fn code(problem: NameProblem) -> ErrorCode {
    match problem {
        NameProblem::TooLong => ErrorCode::NameTooLong,
        NameProblem::Zero => ErrorCode::Invalid,
        NameProblem::Outside => ErrorCode::NotPermitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Result<(), ErrorCode>, expected: Result<(), ErrorCode>) {
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_wasi() {
        check(super::check("a/../b"), Ok(()));
        check(super::check("a/../../b"), Err(ErrorCode::NotPermitted));
        check(super::check("a\0b"), Err(ErrorCode::Invalid));
        check(super::check(&"x".repeat(4_097)), Err(ErrorCode::NameTooLong));
        check(check_link("d/l", "../a"), Ok(()));
        check(check_link("d/l", "../../a"), Err(ErrorCode::NotPermitted));
    }
}
