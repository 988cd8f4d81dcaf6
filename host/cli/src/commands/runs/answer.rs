//! `sandbar runs answer`

use sandbar::Answered;
use sandbar::protocol::{Answer, Answerers, Error, ErrorKind, SuspensionId};

use super::{journal, left, open_runtime};
use crate::answer::given;
use crate::commands::run::follow;
use crate::consent::{ConsentFlags, Desk, TERMINAL};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::model_flags::ModelFlags;
use crate::options::Options;
use crate::terminal::Terminal;

/// Answer what a run waits for, and go on with it
///
/// The answer is a word such as `once`, `deny` and a reason, `retry`, `extend 20` or `done`; text or JSON where an agent asks. If
/// another process has the session, that one goes on with the run.
#[derive(Debug, clap::Args)]
pub(crate) struct AnswerQuestion {
    /// The question, as `sandbar runs list` shows it
    #[arg(value_name = "QUESTION", value_parser = SuspensionId::parse)]
    id: SuspensionId,
    /// The answer
    #[arg(required = true, allow_negative_numbers = true)]
    answer: Vec<String>,
    #[command(flatten)]
    consent: ConsentFlags,
    #[command(flatten)]
    model: ModelFlags,
}

impl AnswerQuestion {
    pub(super) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let presence = self.consent.presence()?;
        let store = journal(options)?;
        let found = store.suspension(&self.id)?.ok_or_else(|| not_found(&self.id))?;
        let value = given(&found.suspension, &self.answer.join(" "))?;
        let agent = store.run(&found.run)?.agent;
        drop(store);
        let config = self.model.config(options, Some(&agent))?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let runtime = open_runtime(config, &agent, terminal).await?;
            let mut desk = Desk::new(presence);
            let by = TERMINAL.to_owned();
            let answer = Answer { value, by };
            let answered = runtime
                .answer(&self.id, answer, Answerers::Operator, desk.attended())
                .await;
            match answered {
                Ok(Answered::Resumed(stream)) => follow(*stream, runtime, options, terminal, &mut desk).await,
                Ok(Answered::Left { holder }) => {
                    runtime.close().await;
                    left(holder.as_deref(), "goes on with the answer", terminal);
                    Ok(Exit::Ok)
                }
                Err(error) => {
                    runtime.close().await;
                    Err(error.into())
                }
            }
        })
    }
}

fn not_found(id: &SuspensionId) -> Error {
    let message = format!("nothing waits for an answer as `{id}`");
    Error::new(ErrorKind::NotFound, "suspension-not-found", message).with_hint("`sandbar runs list` names what waits")
}
