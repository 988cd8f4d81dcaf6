//! Exit codes: how a script tells one failure from another.

use std::process::ExitCode;

use sandbar::protocol::{Error, ErrorKind, RunResult, StopReason};

/// The end of `sandbar --help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0  ok
    1  failure
    2  wrong usage or configuration, or a name that isn't there
    3  denied by a policy or a grant
    4  a limit was met: steps, tool calls, a budget, the time for an answer
    5  the run's time is over
    6  the model failed
    7  a plugin or pattern failed
    8  the journal or a file could not be read or written
    9  the run waits for an answer: `sandbar runs list` names it
  130  interrupted or cancelled";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    Denied = 3,
    Limit = 4,
    Timeout = 5,
    Model = 6,
    Plugin = 7,
    Storage = 8,
    Waits = 9,
    Interrupted = 130,
}

impl Exit {
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind {
            ErrorKind::InvalidInput | ErrorKind::Config | ErrorKind::NotFound => Self::Usage,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Limit => Self::Limit,
            ErrorKind::Plugin => Self::Plugin,
            ErrorKind::Model => Self::Model,
            ErrorKind::Storage => Self::Storage,
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::Busy | ErrorKind::Unsupported | ErrorKind::Internal => Self::Failure,
        }
    }

    pub(crate) fn of_result(result: &RunResult) -> Self {
        match result.stop_reason {
            StopReason::Finished => Self::Ok,
            StopReason::MaxSteps | StopReason::MaxToolCalls | StopReason::Expired => Self::Limit,
            StopReason::Suspended => Self::Waits,
            StopReason::Timeout => Self::Timeout,
            StopReason::Cancelled => Self::Interrupted,
            StopReason::ModelFailed => Self::Model,
            StopReason::PatternFailed => Self::Plugin,
            StopReason::HostFailed => result.error.as_ref().map_or(Self::Failure, Self::of_error),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::{RunId, SessionId, Usage};

    use super::*;

    #[test]
    fn every_kind_of_error_has_a_code() {
        let cases = [
            (ErrorKind::InvalidInput, 2),
            (ErrorKind::Config, 2),
            (ErrorKind::NotFound, 2),
            (ErrorKind::Denied, 3),
            (ErrorKind::Limit, 4),
            (ErrorKind::Busy, 1),
            (ErrorKind::Plugin, 7),
            (ErrorKind::Model, 6),
            (ErrorKind::Storage, 8),
            (ErrorKind::Cancelled, 130),
            (ErrorKind::Unsupported, 1),
            (ErrorKind::Internal, 1),
        ];
        for (kind, expected) in cases {
            assert_eq!(Exit::of_error(&Error::new(kind, "x", "x")) as u8, expected, "{kind:?}");
        }
    }

    #[test]
    fn every_end_of_a_run_has_a_code() {
        let check = |stop_reason, kind: Option<ErrorKind>, expected: u8| {
            let result = RunResult {
                session: SessionId::from_entropy(1),
                run: RunId::from_entropy(1),
                stop_reason,
                finish_reason: None,
                text: String::new(),
                error: kind.map(|kind| Error::new(kind, "x", "x")),
                steps: 0,
                tool_calls: 0,
                model_calls: 0,
                usage: Usage::default(),
                wall_ms: 0,
            };
            assert_eq!(Exit::of_result(&result) as u8, expected, "{stop_reason:?} {kind:?}");
        };
        check(StopReason::Finished, None, 0);
        check(StopReason::MaxSteps, Some(ErrorKind::Limit), 4);
        check(StopReason::MaxToolCalls, Some(ErrorKind::Limit), 4);
        check(StopReason::Expired, Some(ErrorKind::Limit), 4);
        check(StopReason::Suspended, None, 9);
        check(StopReason::Timeout, Some(ErrorKind::Limit), 5);
        check(StopReason::Cancelled, Some(ErrorKind::Cancelled), 130);
        check(StopReason::ModelFailed, Some(ErrorKind::Model), 6);
        check(StopReason::PatternFailed, Some(ErrorKind::Limit), 7);
        check(StopReason::HostFailed, Some(ErrorKind::Storage), 8);
        check(StopReason::HostFailed, None, 1);
    }
}
