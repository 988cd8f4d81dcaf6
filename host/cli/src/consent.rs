//! Whether a tool may do something: who decides it, and how the questions of a run get to the person.

use std::sync::Arc;

use sandbar::Attended;
use sandbar::protocol::{
    Answer, Asker, Error, ErrorKind, Result, SessionId, SuspendedCall, Suspension, SuspensionKind, SystemClock,
};
use sandbar::protocol::{Approval, Clock as _};
use sandbar::store::Store;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Typed, shown, typed};
use crate::interrupts::Interrupts;
use crate::person::Person;
use crate::question;
use crate::sanitise::one_line;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};

/// Who answers at a terminal, as the journal names them.
pub(crate) const TERMINAL: &str = "terminal";
/// Who allows where `--yes` was given.
pub(crate) const YES: &str = "--yes";
/// Who allows where nobody is there and no rule wants anybody asked.
const CONFIGURATION: &str = sandbar::protocol::DecidedBy::CONFIGURATION;

/// Who decides. At a terminal the person is asked; elsewhere the configuration is the consent.
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

/// Who is there.
#[derive(Debug)]
pub(crate) enum Presence {
    Nobody,
    /// Somebody who allowed everything beforehand.
    Allowing,
    There(Person),
}

impl ConsentFlags {
    pub(crate) fn presence(self) -> Result<Presence> {
        if self.yes {
            return Ok(Presence::Allowing);
        }
        match Person::find() {
            Some(person) => Ok(Presence::There(person)),
            None if self.ask => {
                let message = "there is no terminal at which somebody could be asked";
                Err(Error::new(ErrorKind::InvalidInput, "no-terminal", message)
                    .with_hint("standard error must be a terminal; without `--ask` the configuration decides"))
            }
            None => Ok(Presence::Nobody),
        }
    }
}

/// Where the questions of runs arrive, one after the other.
pub(crate) struct Desk {
    presence: Presence,
    sender: mpsc::UnboundedSender<Question>,
    questions: mpsc::UnboundedReceiver<Question>,
    /// Questions of a run that is being stopped: they get no answer, so that nothing more happens in it.
    unanswered: Vec<Question>,
}

/// A run that waits. None as the answer: nobody here can say.
pub(crate) struct Question {
    suspension: Arc<Suspension>,
    answer: oneshot::Sender<Option<Answer>>,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    GoOn,
    Stop,
}

/// What a call may do that nobody is there to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unasked {
    Happens,
    Waits,
    Denied,
}

/// Where a question is put.
pub(crate) struct Scene<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) store: &'a Store,
    pub(crate) terminal: &'a Terminal,
}

/// Who wants to know of the calls of a run.
pub(crate) trait Calls {
    /// What holds for a call that nobody is there to be asked about.
    fn unasked(&self, call: &SuspendedCall) -> Unasked;

    /// Told of every call that was allowed here, before it happens.
    fn before(&mut self, session: &SessionId, call: &SuspendedCall);

    /// Told of every call that has begun, also of those that nobody had to allow.
    fn begun(&mut self, call_id: &str, tool: &str, arguments: &str);
}

/// Nobody.
pub(crate) struct Unobserved;

impl Calls for Unobserved {
    fn unasked(&self, _: &SuspendedCall) -> Unasked {
        Unasked::Waits
    }

    fn before(&mut self, _: &SessionId, _: &SuspendedCall) {}

    fn begun(&mut self, _: &str, _: &str, _: &str) {}
}

impl Desk {
    pub(crate) fn new(presence: Presence) -> Self {
        let (sender, questions) = mpsc::unbounded_channel();
        Self {
            presence,
            sender,
            questions,
            unanswered: Vec::new(),
        }
    }

    /// Whether a person is asked here.
    pub(crate) fn asks(&self) -> bool {
        matches!(self.presence, Presence::There(_))
    }

    /// Whether nobody is there, and nobody has allowed anything.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.presence, Presence::Nobody)
    }

    /// For one run.
    pub(crate) fn attended(&self) -> Attended {
        match self.presence {
            Presence::Nobody => Attended::Nobody,
            Presence::Allowing => Attended::Allowing,
            Presence::There(_) => self.observed(),
        }
    }

    /// The same for a run whose calls somebody wants to know of: each that may change something arrives here.
    pub(crate) fn observed(&self) -> Attended {
        let sender = self.sender.clone();
        let asker: Asker = Arc::new(move |suspension| {
            let (answer, answered) = oneshot::channel();
            // Where nobody listens any more, the answer is lost at once, and the run waits for another one.
            let _ = sender.send(Question { suspension, answer });
            Box::pin(async move { answered.await.unwrap_or_default() })
        });
        Attended::By(asker)
    }

    /// The next question that somebody still waits with.
    pub(crate) async fn next(&mut self) -> Question {
        loop {
            match self.questions.recv().await {
                Some(question) if question.answer.is_closed() => {}
                Some(question) => return question,
                // This has a sender of its own.
                None => std::future::pending().await,
            }
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
        mut question: Question,
        scene: &Scene<'_>,
        interrupts: &mut Interrupts,
        calls: &mut dyn Calls,
    ) -> Decision {
        let said = match &self.presence {
            Presence::There(person) => ask(person, &mut question, scene, interrupts).await,
            Presence::Allowing => unasked(&question.suspension, |_| Unasked::Happens, YES),
            Presence::Nobody => unasked(&question.suspension, |call| calls.unasked(call), CONFIGURATION),
        };
        let answer = match said {
            Said::Answer(answer) => answer,
            Said::Nothing => {
                let _ = question.answer.send(None);
                return Decision::GoOn;
            }
            Said::Stop => {
                self.leave(question);
                return Decision::Stop;
            }
        };
        let allows = question.suspension.kind == SuspensionKind::Approval && answer.decision() != Some(Approval::Deny);
        if let (true, Some(call)) = (allows, &question.suspension.call) {
            calls.before(scene.session, call);
        }
        // A question that was taken back needs no answer.
        let _ = question.answer.send(Some(answer));
        Decision::GoOn
    }
}

/// What came of asking.
enum Said {
    Answer(Answer),
    /// Nobody says anything here: the run waits.
    Nothing,
    Stop,
}

fn unasked(suspension: &Suspension, rule: impl Fn(&SuspendedCall) -> Unasked, by: &str) -> Said {
    let answer = |value: Value| {
        let by = by.to_owned();
        Said::Answer(Answer { value, by })
    };
    match &suspension.call {
        Some(call) if suspension.kind == SuspensionKind::Approval => match rule(call) {
            Unasked::Happens => answer(json!({ "decision": "once" })),
            Unasked::Denied => answer(json!({ "decision": "deny", "reason": "nobody is there to be asked" })),
            Unasked::Waits => Said::Nothing,
        },
        _ => Said::Nothing,
    }
}

/// Whether this program gave the answer itself: then it needs no line.
pub(crate) fn is_own(by: &str) -> bool {
    [TERMINAL, YES, CONFIGURATION].contains(&by)
}

async fn ask(person: &Person, question: &mut Question, scene: &Scene<'_>, interrupts: &mut Interrupts) -> Said {
    let (suspension, terminal) = (question.suspension.clone(), scene.terminal);
    let paint = terminal.paint(Stream::Err);
    for line in question::lines(&suspension, SystemClock.now_ms(), paint) {
        terminal.note(&line);
    }
    if let Some(consequences) = question::consequences(&suspension) {
        terminal.note(&format!("    {}", paint.with(Style::Dim, &consequences)));
    }
    person.forget_typed();
    loop {
        terminal.write(Stream::Err, question::prompt(&suspension));
        let line = tokio::select! {
            line = person.line() => line,
            () = interrupts.next() => {
                // The cursor is behind the question.
                terminal.note("");
                return Said::Stop;
            }
            () = question.answer.closed() => {
                terminal.note("");
                terminal.note(&format!("  {}", taken_back(&suspension, scene.store)));
                person.forget_typed();
                return Said::Nothing;
            }
        };
        let Ok(Some(line)) = line else {
            terminal.note("");
            return Said::Nothing;
        };
        match typed(&suspension, &line) {
            Typed::Answer(value) => {
                let by = TERMINAL.to_owned();
                return Said::Answer(Answer { value, by });
            }
            Typed::Quit => return Said::Stop,
            Typed::Unclear(why) => terminal.note(&format!("  {why}")),
        }
    }
}

fn taken_back(suspension: &Suspension, store: &Store) -> String {
    let found = store.suspension(&suspension.id).ok().flatten();
    match found.and_then(|found| found.answer) {
        Some(answer) => format!(
            "the question is taken back: `{}` has answered it elsewhere, with {}",
            one_line(&answer.by, 100),
            shown(answer.value.get("decision").unwrap_or(&answer.value))
        ),
        None => "the question is taken back: its run no longer waits for an answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use sandbar::store::StoreOptions;

    use super::*;
    use crate::answer::tests::suspension;
    use crate::cli::Cli;

    /// Remembers which calls it was told of.
    struct Observer(Unasked, String);

    impl Calls for Observer {
        fn unasked(&self, _: &SuspendedCall) -> Unasked {
            self.0
        }

        fn before(&mut self, _: &SessionId, call: &SuspendedCall) {
            self.1.push_str(&call.call_id);
        }

        fn begun(&mut self, _: &str, _: &str, _: &str) {}
    }

    fn approval(call: usize) -> Arc<Suspension> {
        let mut asked = suspension(SuspensionKind::Approval);
        asked.call.as_mut().unwrap().call_id = call.to_string();
        Arc::new(asked)
    }

    /// Three calls at once: what becomes of each, and which were told of before they happened.
    async fn check(presence: Presence, rule: Unasked, expected: &[&str]) {
        let terminal = Terminal::new(&Cli::parse_from(["sandbar"]).options);
        let (session, store) = (
            SessionId::from_entropy(1),
            Store::in_memory(StoreOptions::default()).unwrap(),
        );
        let scene = Scene {
            session: &session,
            store: &store,
            terminal: &terminal,
        };
        let mut interrupts = Interrupts::new().unwrap();
        let mut desk = Desk::new(presence);
        let Attended::By(asker) = desk.observed() else {
            panic!("it is attended");
        };
        let waiting: Vec<_> = (0..3).map(|call| asker(approval(call))).collect();
        let mut calls = Observer(rule, String::new());
        let mut outcomes = Vec::new();
        for answered in waiting {
            let question = desk.next().await;
            if desk.decide(question, &scene, &mut interrupts, &mut calls).await == Decision::Stop {
                outcomes.push("stop".to_owned());
                break;
            }
            outcomes.push(match answered.await {
                Some(answer) => format!(
                    "{}{} by {} {}",
                    answer.value["decision"].as_str().unwrap(),
                    answer
                        .text("reason")
                        .map_or_else(String::new, |reason| format!(" ({reason})")),
                    answer.by,
                    calls.1
                ),
                None => "nothing".to_owned(),
            });
        }
        assert_eq!(outcomes, expected);
    }

    #[tokio::test]
    async fn questions_are_answered_one_after_the_other() {
        let there = |keys| Presence::There(Person::who_types(keys));
        let check = async |keys, expected: &[&str]| check(there(keys), Unasked::Happens, expected).await;
        check(
            "y\nn not that\ny\n",
            &[
                "once by terminal 0",
                "deny (not that) by terminal 0",
                "once by terminal 02",
            ],
        )
        .await;
        check(
            "\na\nn\ns\nalways\n",
            &["deny by terminal ", "session by terminal 1", "always by terminal 12"],
        )
        .await;
        check("y\nq\n", &["once by terminal 0", "stop"]).await;
        // The end of the input leaves the questions for later.
        check("y\n", &["once by terminal 0", "nothing", "nothing"]).await;
    }

    #[tokio::test]
    async fn without_a_person_the_flag_or_the_rules_decide() {
        check(
            Presence::Allowing,
            Unasked::Denied,
            &["once by --yes 0", "once by --yes 01", "once by --yes 012"],
        )
        .await;
        let nobody = async |rule, expected: &str| check(Presence::Nobody, rule, &[expected; 3]).await;
        nobody(Unasked::Waits, "nothing").await;
        nobody(Unasked::Denied, "deny (nobody is there to be asked) by configuration ").await;
    }

    #[tokio::test]
    async fn a_question_that_was_answered_elsewhere_is_taken_back() {
        let terminal = Terminal::new(&Cli::parse_from(["sandbar"]).options);
        let (session, store) = (
            SessionId::from_entropy(1),
            Store::in_memory(StoreOptions::default()).unwrap(),
        );
        let scene = Scene {
            session: &session,
            store: &store,
            terminal: &terminal,
        };
        let (person, keys) = Person::who_thinks();
        let mut desk = Desk::new(Presence::There(person));
        let Attended::By(asker) = desk.observed() else {
            panic!("it is attended");
        };
        let asked = asker(approval(0));
        let question = desk.next().await;
        drop(asked);
        let mut interrupts = Interrupts::new().unwrap();
        let decision = desk.decide(question, &scene, &mut interrupts, &mut Unobserved).await;
        assert_eq!(decision, Decision::GoOn);
        drop(keys);
    }
}
