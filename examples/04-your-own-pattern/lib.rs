//! Asks the model three times, each time without the others' answers, and gives the answer that came most often.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Change, Decision, ModelAction, View};

sandbar_sdk::pattern_plugin!(step);

fn step(view: &View) -> Result<Decision, Error> {
    if let Some(question) = view.request() {
        let ask = |thread| ModelAction::on(thread).user(question);
        return Ok(Decision::new().then(ask("first")).then(ask("second")).then(ask("third")));
    }
    let answers: Vec<&str> = view.changes.iter().filter_map(answer).collect();
    let votes = |wanted: &&&str| answers.iter().filter(|answer| answer == wanted).count();
    let most = answers.iter().max_by_key(votes).map(|answer| (*answer).to_owned());
    Ok(Decision::new().finish(most, "voted"))
}

fn answer(change: &Change) -> Option<&str> {
    if let Change::Reply(reply) = change { Some(reply.head.trim()) } else { None }
}
