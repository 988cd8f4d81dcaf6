//! Whether a tool may change something: who decides it, and how the question gets from a run to the person.

use std::sync::Arc;

use sandbar::protocol::{Approval, ApprovalRequest, Approver, Error, ErrorKind, Result, SessionId};
use tokio::sync::{mpsc, oneshot};

use crate::interrupts::Interrupts;
use crate::person::Person;
use crate::question::{self, Answer};
use crate::terminal::{Stream, Terminal};

/// Who decides. At a terminal the person is asked; elsewhere what was granted is allowed, since the configuration is the consent.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub(crate) struct ConsentFlags {
    /// Allow every change that the grants allow, and don't ask
    #[arg(long, short)]
    yes: bool,
    /// Ask before every change, and don't start where there is no terminal to ask at
    #[arg(long)]
    ask: bool,
}

impl ConsentFlags {
    /// None: what was granted is allowed.
    pub(crate) fn person(self) -> Result<Option<Person>> {
        if self.yes {
            return Ok(None);
        }
        let person = Person::find();
        if self.ask && person.is_none() {
            let message = "there is no terminal at which somebody could be asked";
            return Err(Error::new(ErrorKind::InvalidInput, "no-terminal", message)
                .with_hint("standard error must be a terminal; without `--ask` what was granted is allowed"));
        }
        Ok(person)
    }
}

/// Where the questions of a run arrive, one after the other.
pub(crate) struct Desk {
    person: Option<Person>,
    /// Whether the person has allowed the rest of this run.
    all: bool,
    sender: mpsc::UnboundedSender<Question>,
    questions: mpsc::UnboundedReceiver<Question>,
    /// Questions of a run that is being stopped: they get no answer, so that nothing more happens in it.
    unanswered: Vec<Question>,
}

/// A call that waits.
pub(crate) struct Question {
    pub(crate) request: ApprovalRequest,
    answer: oneshot::Sender<Approval>,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    GoOn,
    Stop,
}

/// Told of every call that was allowed, before it happens.
pub(crate) type BeforeCall<'a> = &'a mut dyn FnMut(&SessionId, &ApprovalRequest);

impl Desk {
    pub(crate) fn new(person: Option<Person>) -> Self {
        let (sender, questions) = mpsc::unbounded_channel();
        Self {
            person,
            all: false,
            sender,
            questions,
            unanswered: Vec::new(),
        }
    }

    pub(crate) fn asks(&self) -> bool {
        self.person.is_some()
    }

    /// For one run.
    pub(crate) fn approver(&mut self) -> Approver {
        self.all = false;
        let sender = self.sender.clone();
        Arc::new(move |request| {
            let (answer, answered) = oneshot::channel();
            // Where nobody listens any more, the answer is lost at once, and the call is not made.
            let _ = sender.send(Question { request, answer });
            Box::pin(async move {
                answered.await.unwrap_or_else(|_| Approval::Deny {
                    reason: "nobody was there to be asked".to_owned(),
                })
            })
        })
    }

    pub(crate) async fn next(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            // This has a sender of its own.
            None => std::future::pending().await,
        }
    }

    /// Leaves a question without an answer.
    pub(crate) fn leave(&mut self, question: Question) {
        self.unanswered.push(question);
    }

    /// To be called when a run has ended.
    pub(crate) fn clear(&mut self) {
        self.unanswered.clear();
    }

    pub(crate) async fn decide(
        &mut self,
        question: Question,
        session: &SessionId,
        interrupts: &mut Interrupts,
        terminal: &Terminal,
        before_call: BeforeCall<'_>,
    ) -> Decision {
        let answer = match &self.person {
            Some(person) if !self.all => ask(person, &question.request, interrupts, terminal).await,
            _ => Answer::Yes,
        };
        self.all |= answer == Answer::All;
        let approval = match answer {
            Answer::Yes | Answer::All => {
                before_call(session, &question.request);
                Approval::Allow
            }
            Answer::No(reason) if reason.is_empty() => Approval::Deny {
                reason: "they gave no reason".to_owned(),
            },
            Answer::No(reason) => Approval::Deny { reason },
            Answer::Stop => {
                self.leave(question);
                return Decision::Stop;
            }
        };
        // A call that is gone needs no answer.
        let _ = question.answer.send(approval);
        Decision::GoOn
    }
}

async fn ask(person: &Person, request: &ApprovalRequest, interrupts: &mut Interrupts, terminal: &Terminal) -> Answer {
    for line in question::lines(request, terminal.paint(Stream::Err)) {
        terminal.note(&line);
    }
    person.forget_typed();
    let mut choices = question::CHOICES;
    loop {
        terminal.write(Stream::Err, choices);
        let line = tokio::select! {
            line = person.line() => line,
            () = interrupts.next() => Ok(None),
        };
        let Ok(Some(line)) = line else {
            // An interrupt, or the end of the input, leaves the cursor behind the question.
            terminal.note("");
            return Answer::Stop;
        };
        match question::parse(&line) {
            Some(answer) => return answer,
            None => choices = question::CHOICES_AGAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::cli::Cli;

    fn request(call: usize) -> ApprovalRequest {
        ApprovalRequest {
            call_id: call.to_string(),
            tool: "t__change".to_owned(),
            arguments: Arc::new(json!({})),
            destructive: false,
            preview: None,
        }
    }

    /// Three calls at once, and what is typed: what becomes of each call, and which were told of before they happened.
    async fn check(keys: Option<&str>, expected: &[&str]) {
        let terminal = Terminal::new(&Cli::parse_from(["sandbar"]).options);
        let session = SessionId::from_entropy(1);
        let mut interrupts = Interrupts::new().unwrap();
        let mut desk = Desk::new(keys.map(Person::who_types));
        let approver = desk.approver();
        let waiting: Vec<_> = (0..3).map(|call| approver(request(call))).collect();
        let before = Mutex::new(Vec::new());
        let mut outcomes = Vec::new();
        for answered in waiting {
            let question = desk.next().await;
            let mut before_call = |_: &SessionId, request: &ApprovalRequest| {
                before.lock().unwrap().push(request.call_id.clone());
            };
            let decision = desk
                .decide(question, &session, &mut interrupts, &terminal, &mut before_call)
                .await;
            if decision == Decision::Stop {
                outcomes.push("stop".to_owned());
                break;
            }
            outcomes.push(match answered.await {
                Approval::Allow => format!("allow {}", before.lock().unwrap().concat()),
                Approval::Deny { reason } => reason,
            });
        }
        assert_eq!(outcomes, expected, "{keys:?}");
    }

    #[tokio::test]
    async fn questions_are_answered_one_after_the_other() {
        check(None, &["allow 0", "allow 01", "allow 012"]).await;
        check(Some("y\nn not that\ny\n"), &["allow 0", "not that", "allow 02"]).await;
        check(Some("\nwhat?\nn\na\n"), &["they gave no reason", "allow 1", "allow 12"]).await;
        check(Some("y\ns\n"), &["allow 0", "stop"]).await;
        check(Some(""), &["stop"]).await;
    }

    #[tokio::test]
    async fn all_is_for_one_run() {
        let mut desk = Desk::new(Some(Person::who_types("a\n")));
        desk.approver();
        desk.all = true;
        desk.approver();
        assert!(!desk.all);
    }
}
