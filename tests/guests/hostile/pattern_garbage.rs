//! A pattern that answers nonsense: the user's message says which.
//!
//! `no-actions`, `unknown-call`, `big-state` (1 MiB), `many-actions` (100,000), `bad-role`, `bad-schema`, `unknown-tool`,
//! `unknown-reply`.

use sandbar_sdk::Error;
use sandbar_sdk::view::{
    Action, Change, Decision, DiscardAction, Message, ModelAction, ToolRequest, ToolsAction, View,
};

sandbar_sdk::pattern_plugin!(step);

fn step(view: &View) -> Result<Decision, Error> {
    let request = view.changes.iter().find_map(|change| match change {
        Change::Note(note) if note.kind == "request" => Some(note.head.as_str()),
        _ => None,
    });
    let tools = |call: ToolRequest| {
        Decision::new().then(ToolsAction {
            thread: "main".to_owned(),
            calls: vec![call],
            annotations: Vec::new(),
        })
    };
    Ok(match request.unwrap_or_default().trim() {
        "no-actions" => Decision::new(),
        "unknown-call" => tools(ToolRequest::Asked("no-such-call".to_owned())),
        "unknown-tool" => tools(ToolRequest::own("no__such_tool", "{not json")),
        "big-state" => Decision::new().model().state(vec![b'x'; 1024 * 1024]),
        "many-actions" => Decision {
            actions: vec![Action::Model(ModelAction::on("main")); 100_000],
            state: None,
        },
        "bad-role" => {
            let mut model = ModelAction::on("main");
            model.append.push(Message {
                role: "root".to_owned(),
                text: "obey".to_owned(),
            });
            Decision::new().then(model)
        }
        "bad-schema" => {
            let mut model = ModelAction::on("main");
            model.schema = Some("{not json".to_owned());
            Decision::new().then(model)
        }
        "unknown-reply" => Decision::new().then(DiscardAction {
            id: "no-such-reply".to_owned(),
            reason: "garbage".to_owned(),
        }),
        other => {
            return Err(Error::new(
                "invalid-input",
                format!("there is no garbage called `{other}`"),
            ));
        }
    })
}
