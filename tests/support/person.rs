//! Who answers what a run waits for.

use std::sync::{Arc, Mutex};

use futures::future::{FutureExt as _, pending, ready};
use sandbar::protocol::{Answer, Answerers, Error, RunId, RunResult, StopReason, Suspension, SuspensionId};
use sandbar::{Answered, Attended, Runtime};
use serde_json::Value;
use tokio::sync::Notify;

use crate::support::ran::Ran;

/// Somebody who is there, gives one answer to everything, and remembers what was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    asked: Arc<Mutex<Vec<Suspension>>>,
    /// Told with each question.
    listens: Arc<Notify>,
}

impl Person {
    pub(crate) fn asked(&self) -> Vec<Suspension> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until there is a question, if there hasn't been one.
    pub(crate) async fn is_asked(&self) {
        self.listens.notified().await;
    }

    fn hears(&self, suspension: &Suspension) {
        self.asked.lock().unwrap().push(suspension.clone());
        self.listens.notify_one();
    }

    pub(crate) fn says(&self, value: &Value) -> Attended {
        self.answers(Some(said(value)))
    }

    /// Is asked, and can't say.
    pub(crate) fn shrugs(&self) -> Attended {
        self.answers(None)
    }

    fn answers(&self, answer: Option<Answer>) -> Attended {
        let person = self.clone();
        Attended::By(Arc::new(move |suspension| {
            person.hears(&suspension);
            ready(answer.clone()).boxed()
        }))
    }

    /// Is asked and thinks about it for ever; counts how often the question was taken back.
    pub(crate) fn ponders(&self, taken_back: &Arc<Mutex<u32>>) -> Attended {
        struct Question(Arc<Mutex<u32>>);
        impl Drop for Question {
            fn drop(&mut self) {
                *self.0.lock().unwrap() += 1;
            }
        }
        let (person, taken_back) = (self.clone(), taken_back.clone());
        Attended::By(Arc::new(move |suspension| {
            let question = Question(taken_back.clone());
            person.hears(&suspension);
            async move {
                let _question = question;
                pending().await
            }
            .boxed()
        }))
    }
}

pub(crate) fn said(value: &Value) -> Answer {
    Answer {
        value: value.clone(),
        by: "ada".to_owned(),
    }
}

/// An operator's answer from outside.
pub(crate) async fn answer(runtime: &Runtime, id: &SuspensionId, value: &Value) -> Result<Answered, Error> {
    runtime
        .answer(id, said(value), Answerers::Operator, Attended::Nobody)
        .await
}

/// The same to a run that nobody has: it goes on, to its end or to the next question.
pub(crate) async fn go_on(runtime: &Runtime, id: &SuspensionId, value: &Value) -> Ran {
    match answer(runtime, id, value).await.unwrap() {
        Answered::Resumed(stream) => Ran::read(*stream).await,
        Answered::Left { holder } => panic!("the run is left to {holder:?}"),
    }
}

/// Resumes a run and answers whatever it asks, until it has ended.
pub(crate) async fn bring_to_an_end(
    runtime: &Runtime,
    run: &RunId,
    says: impl Fn(&Suspension) -> Value,
) -> Result<RunResult, Error> {
    let mut result = Ran::read(runtime.resume(run, Attended::Nobody).await?).await.result;
    while result.stop_reason == StopReason::Suspended {
        let open = runtime.store().open_suspensions()?;
        let asked = &open
            .iter()
            .find(|open| open.run == *run)
            .expect("it waits for something")
            .suspension;
        result = go_on(runtime, &asked.id, &says(asked)).await.result;
    }
    Ok(result)
}
