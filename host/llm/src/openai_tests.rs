//! The model over real HTTP on this machine: what is sent, what comes, and what each failure becomes.

use sandbar_protocol::{Message, ModelPart, ModelReply, Role};

use super::*;
use crate::test_server::{Reply, TestServer};

const KEY: &str = "sk-test-abcdefgh";

fn settings(base_url: &str) -> OpenAiSettings {
    OpenAiSettings {
        name: "main".to_owned(),
        model: "m".to_owned(),
        server: Server::OpenAi,
        base_url: base_url.to_owned(),
        key: ApiKey::Known {
            value: KEY.to_owned(),
            from: "`OPENAI_API_KEY`".to_owned(),
        },
        protected: Arc::default(),
        sampling: Sampling::default(),
        headers: Vec::new(),
        extra: Map::new(),
        max_retries: 2,
        idle: DEFAULT_IDLE,
        entropy: Arc::new(|| 0),
    }
}

fn request(text: &str) -> ModelRequest {
    ModelRequest {
        instructions: "Be brief.".to_owned(),
        thread: "main".to_owned(),
        messages: vec![Arc::new(Message::new(Role::User, text))],
        tools: Vec::new(),
        schema: None,
    }
}

/// The texts that were shown, and the answer.
async fn ask(settings: OpenAiSettings) -> (String, Result<ModelReply>) {
    let mut model = OpenAiModel::new(settings).unwrap();
    model.attempts.backoff = Duration::ZERO;
    collect(model.call(request("hello"))).await
}

async fn collect(mut stream: ModelStream) -> (String, Result<ModelReply>) {
    let mut shown = String::new();
    while let Some(part) = stream.next().await {
        match part {
            Ok(ModelPart::Text(text)) => shown.push_str(&text),
            Ok(ModelPart::Finished(reply)) => return (shown, Ok(*reply)),
            Ok(_) => {}
            Err(error) => return (shown, Err(error)),
        }
    }
    panic!("the stream ended without an answer");
}

fn line((shown, result): &(String, Result<ModelReply>), server: &TestServer) -> String {
    let line = match result {
        Ok(reply) => format!("{:?} {}", reply.message.text, reply.finish_reason),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Model);
            assert!(!format!("{error:?} {}", error.text()).contains("abcdefgh"), "{error:?}");
            format!(
                "{}{}: {}",
                error.code,
                if error.retryable { "" } else { "!" },
                error.text()
            )
        }
    };
    let line = line.replace(&server.base_url, "URL");
    if shown.is_empty() {
        line
    } else {
        format!("{shown} > {line}")
    }
}

fn events(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn text(text: &str) -> String {
    events(&[&json!({"choices": [{"delta": {"content": text}}]}).to_string()])
}

fn whole(answer: &str) -> String {
    format!(
        "{}{}",
        text(answer),
        events(&[r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, "[DONE]"])
    )
}

fn status(status: u16, body: &str) -> Reply {
    Reply::Status(status, "Retry-After: 0\r\n", body.to_owned())
}

async fn check(replies: &[Reply], expected: &str) {
    check_with(settings, replies, expected).await;
}

async fn check_with(settings: impl Fn(&str) -> OpenAiSettings, replies: &[Reply], expected: &str) {
    let server = TestServer::start(replies.iter().cloned()).await;
    let got = ask(settings(&server.base_url)).await;
    assert_eq!(line(&got, &server), expected, "{replies:?}");
    assert_eq!(server.requests().len(), replies.len(), "{replies:?}");
}

#[tokio::test]
async fn a_request_says_what_is_configured() {
    let server = TestServer::start([Reply::Stream(whole("Hi!"))]).await;
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(1.0),
        seed: Some(-7),
        max_tokens: Some(100),
        reasoning_effort: Some("low".to_owned()),
    };
    let extra = json!({"top_k": 5, "stop": ["END"]}).as_object().cloned().unwrap();
    let headers = vec![("X-Title".to_owned(), "Sandbar".to_owned())];
    let base_url = format!("{}/", server.base_url);
    let got = ask(OpenAiSettings {
        sampling,
        extra,
        headers,
        ..settings(&base_url)
    })
    .await;
    assert_eq!(line(&got, &server), r#"Hi! > "Hi!" stop"#);
    let sent = server.requests().remove(0);
    let expected = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true},
        "temperature": 0.5, "top_p": 1.0, "seed": -7, "max_tokens": 100, "reasoning_effort": "low", "top_k": 5, "stop": ["END"],
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
    });
    assert_eq!(sent.body, expected);
    let head = sent.head.to_lowercase();
    assert!(head.starts_with("post /v1/chat/completions http/1.1"), "{head}");
    for header in [
        "authorization: bearer sk-test-abcdefgh",
        "x-title: sandbar",
        "content-type: application/json",
        "user-agent: sandbar/",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let official = fields(
        &OpenAiSettings {
            sampling: Sampling {
                max_tokens: Some(5),
                ..Sampling::default()
            },
            ..settings("")
        },
        "https://api.openai.com/v1",
    );
    assert_eq!(
        (official.get("max_completion_tokens"), official.get("max_tokens")),
        (Some(&json!(5)), None)
    );
}

#[tokio::test]
async fn answers_come_however_they_are_sent() {
    let long = "größer 🦀 ".repeat(200);
    check(&[Reply::Stream(whole(&long))], &format!("{long} > {long:?} stop")).await;
    let document = r#"{"choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}"#;
    check(
        &[Reply::Status(
            200,
            "Content-Type: text/event-stream\r\n",
            document.to_owned(),
        )],
        r#"whole > "whole" stop"#,
    )
    .await;
    // What was whole stays whole when the connection ends badly.
    let ended = format!(
        "{}{}",
        text("a"),
        events(&[r#"{"choices":[{"finish_reason":"stop"}]}"#])
    );
    check(&[Reply::Broken(ended)], r#"a > "a" stop"#).await;
    // The connection stays open after the end.
    check(&[Reply::Stuck(whole("a"))], r#"a > "a" stop"#).await;
}

#[tokio::test]
async fn attempts_are_made_until_one_is_answered() {
    let limited = status(429, r#"{"error":{"message":"slow down"}}"#);
    for first in [408, 409, 429, 500, 503, 529].map(|code| status(code, "")) {
        check(&[first, Reply::Stream(whole("ok"))], r#"ok > "ok" stop"#).await;
    }
    let overloaded = Reply::Stream(events(&[r#"{"error":{"message":"busy","type":"server_error"}}"#]));
    for first in [Reply::Close, Reply::Broken(String::new()), overloaded] {
        check(&[first, Reply::Stream(whole("ok"))], r#"ok > "ok" stop"#).await;
    }
    let error = "model-rate-limited: the server at `URL` is asked too often (429): slow down (3 attempts)\n\
                 hint: wait a little; `max_retries` of `[models.main]` says how often it is tried";
    check(&[limited.clone(), limited.clone(), limited], error).await;
}

#[tokio::test]
async fn nothing_is_tried_again_once_something_was_shown() {
    let cut_off = "a > model-cut-off: the answer of the model `m` at `URL` ended in the middle\n\
                   hint: the connection was lost, or the server stopped; ask again";
    check(&[Reply::Broken(text("a"))], cut_off).await;
    check(&[Reply::Stream(text("a"))], cut_off).await;
    let failed = format!("{}{}", text("a"), events(&[r#"{"error":{"message":"busy"}}"#]));
    let error = "a > model-failed: the server at `URL` failed with status 500: busy\n\
                 hint: the provider has a problem of its own; ask again later";
    check(&[Reply::Stream(failed)], error).await;
}

#[tokio::test]
async fn failures_say_what_mends_them() {
    let quoted = r#"{"error":{"message":"Incorrect API key provided: sk-test-abcdefgh, or sk-te****efgh."}}"#;
    check(
        &[status(401, quoted)],
        "model-unauthorized!: the server at `URL` refuses the key (401): Incorrect API key provided: …, or …\nhint: check `OPENAI_API_KEY`",
    )
    .await;
    let keyless = |base_url: &str| OpenAiSettings {
        key: ApiKey::None,
        ..settings(base_url)
    };
    let error = "model-unauthorized!: the server at `URL` refuses the key (403)\n\
                 hint: no key was sent: set `api_key = \"env:NAME\"` in `[models.main]`";
    check_with(keyless, &[status(403, "")], error).await;
    check(
        &[status(
            400,
            r#"{"error":{"message":"bad\u001b[31m temperature","code":"x"}}"#,
        )],
        "model-failed!: the server at `URL` failed with status 400: bad [31m temperature\n\
         hint: the server doesn't accept the request: check the keys of `[models.main]`",
    )
    .await;
    check(
        &[Reply::Status(302, "Location: http://evil.example/\r\n", String::new())],
        "model-failed!: the server at `URL` has moved (302)\nhint: write its new address as `base_url` of `[models.main]`",
    )
    .await;
    check(
        &[Reply::Status(200, "", "<!doctype html>\n<title>Hi</title>".to_owned())],
        "model-garbled: the answer of the model `m` at `URL` can't be read, it has `<!doctype html> <title>Hi</title>`\n\
         hint: `base_url` of `[models.main]` must be an OpenAI-compatible API; it often ends in `/v1`",
    )
    .await;
    check(
        &[Reply::Stream(events(&["{\"choices\": nonsense"]))],
        "model-garbled: the answer of the model `m` at `URL` can't be read, it has `{\"choices\": nonsense`\n\
         hint: `base_url` of `[models.main]` must be an OpenAI-compatible API; it often ends in `/v1`",
    )
    .await;
}

#[tokio::test]
async fn unknown_models_name_the_nearest() {
    let models = r#"{"data":[{"id":"o1"},{"id":"gpt-4o"},{"id":"gpt-4o-mini"},{"id":"gpt-4"}]}"#;
    let reply = status(404, r#"{"error":{"message":"no such model","code":"model_not_found"}}"#);
    let server = TestServer::with_models([reply.clone()], Some(models)).await;
    let got = ask(OpenAiSettings {
        model: "gpt-4o-mimi".to_owned(),
        ..settings(&server.base_url)
    })
    .await;
    let expected = "unknown-model!: the server at `URL` has no model `gpt-4o-mimi` (404): no such model\n\
                    hint: the nearest that it has: `gpt-4o-mini`, `gpt-4o`, `gpt-4`; write one as `model` of `[models.main]`";
    assert_eq!(line(&got, &server), expected);
    check(
        &[reply],
        "unknown-model!: the server at `URL` has no model `m` (404): no such model\n\
         hint: check `model` and `base_url` of `[models.main]`; `URL/models` lists no models",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let server = TestServer::start([]).await;
    let base_url = server.base_url.clone();
    drop(server);
    // The port is free once the task that listened on it is gone.
    tokio::task::yield_now().await;
    let model = OpenAiModel::new(OpenAiSettings {
        server: Server::Ollama,
        ..settings(&base_url)
    })
    .unwrap();
    // Before another attempt it would say that one follows. Nothing listens there: waiting doesn't help.
    let said = model.call(request("hello")).next().await.unwrap();
    let error = said.unwrap_err();
    let expected = format!("the server at `{base_url}` can't be reached: Connection refused (os error 111)");
    assert_eq!((error.code.as_str(), error.retryable), ("model-unreachable", true));
    if cfg!(target_os = "linux") {
        assert_eq!(error.message, expected);
    }
    let hint = "is the server running? start it with `ollama serve`; its address is `base_url` of `[models.main]`";
    assert_eq!(error.hint.as_deref(), Some(hint));
}

/// A request that is refused for now is told before the next one is made, with the wait that the server asks for.
#[tokio::test]
async fn retries_are_told_before_they_are_made() {
    for (header, wait) in [("Retry-After: 7\r\n", 7000), ("Retry-After: 0\r\n", 0)] {
        let busy = Reply::Status(429, header, String::new());
        let server = TestServer::start([busy, Reply::Stream(whole("a"))]).await;
        let mut stream = OpenAiModel::new(settings(&server.base_url))
            .unwrap()
            .call(request("hello"));
        let Some(Ok(ModelPart::Retrying {
            request,
            error,
            wait_ms,
        })) = stream.next().await
        else {
            panic!("a retry is told first")
        };
        assert_eq!((request, error.code.as_str(), wait_ms), (1, "model-rate-limited", wait));
        assert_eq!(server.requests().len(), 1);
        if wait == 0 {
            assert_eq!(line(&collect(stream).await, &server), "a > \"a\" stop");
            assert_eq!(server.requests().len(), 2);
        }
    }
}

#[tokio::test]
async fn silent_servers_are_given_up() {
    let stalled = "model-stalled: nothing of an answer came from the model `m` at `URL` for 120 seconds\n\
                   hint: raise `idle_seconds` of `[models.main]` if the model needs longer to begin";
    // Time stands still until nothing else is left to do, and then jumps to the deadline.
    for reply in [Reply::Hang, Reply::Stuck(": ping\n\n".to_owned())] {
        let server = TestServer::start([reply]).await;
        let (got, ()) = tokio::join!(ask(settings(&server.base_url)), async {
            server.asked().await;
            tokio::time::pause();
        });
        assert_eq!(line(&got, &server), stalled);
        tokio::time::resume();
    }
    let server = TestServer::start([Reply::Stuck(text("a"))]).await;
    let mut stream = OpenAiModel::new(settings(&server.base_url))
        .unwrap()
        .call(request("hello"));
    assert_eq!(stream.next().await, Some(Ok(ModelPart::Text("a".to_owned()))));
    tokio::time::pause();
    assert_eq!(line(&collect(stream).await, &server), stalled);
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let large = "reply-too-large!: the answer of the model `m` at `URL` is larger than 4 MiB\n\
                 hint: set `max_tokens` of `[models.main]`, or ask for less";
    // A line without end, a document without end, and more than ten megabytes at once.
    check(&[Reply::Endless("x".repeat(1 << 16))], large).await;
    check(&[Reply::Endless(format!("{{{}", " ".repeat(1 << 16)))], large).await;
    check(&[Reply::Status(200, "", format!("{{{}", "x".repeat(10 << 20)))], large).await;
    let server = TestServer::start([Reply::Endless(text(&"x".repeat(1 << 16)))]).await;
    let (shown, result) = ask(settings(&server.base_url)).await;
    assert_eq!(
        (result.unwrap_err().code.as_str(), shown.len()),
        ("reply-too-large", 4 << 20)
    );
}

#[tokio::test]
async fn signs_of_life_are_not_progress() {
    let server = TestServer::start([Reply::Endless(": ping\n\n".to_owned())]).await;
    let model = OpenAiModel::new(settings(&server.base_url)).unwrap();
    let mut stream = model.call(request("hello"));
    let error = tokio::select! {
        part = stream.next() => part.unwrap().unwrap_err(),
        () = async {
            server.asked().await;
            tokio::time::pause();
            loop {
                tokio::time::advance(Duration::from_millis(100)).await;
            }
        } => unreachable!("time goes on until the stream ends"),
    };
    assert_eq!(error.code, "model-stalled");
    assert!(error.message.ends_with("for 600 seconds"), "{}", error.message);
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let server = TestServer::start([Reply::Stuck(text("a"))]).await;
    let model = OpenAiModel::new(settings(&server.base_url)).unwrap();
    let mut stream = model.call(request("hello"));
    assert_eq!(stream.next().await, Some(Ok(ModelPart::Text("a".to_owned()))));
    drop(stream);
    server.closed().await;
}

#[tokio::test]
async fn a_missing_key_is_told_when_the_model_is_used() {
    let missing = Error::new(ErrorKind::Config, "config-missing-secret", "no key");
    let (_, result) = ask(OpenAiSettings {
        key: ApiKey::Missing(missing.clone()),
        ..settings("http://127.0.0.1:1")
    })
    .await;
    assert_eq!(result, Err(missing));
}

#[test]
fn settings_are_checked_and_keys_not_shown() {
    let wrong = |settings: OpenAiSettings| OpenAiModel::new(settings).unwrap_err().message;
    let base = || settings("http://h/v1");
    for (settings, expected) in [
        (settings("h/v1"), "`base_url` is not an address, in `[models.main]`"),
        (
            OpenAiSettings {
                headers: vec![("a b".to_owned(), "c".to_owned())],
                ..base()
            },
            "the header `a b` has no usable name, in `[models.main]`",
        ),
        (
            OpenAiSettings {
                headers: vec![("a".to_owned(), "b\nc".to_owned())],
                ..base()
            },
            "the header `a` has no usable text, in `[models.main]`",
        ),
        (
            OpenAiSettings {
                key: ApiKey::Known {
                    value: "sk\n".to_owned(),
                    from: "`K`".to_owned(),
                },
                ..base()
            },
            "the key from `K` has characters that no key has, in `[models.main]`",
        ),
    ] {
        assert_eq!(wrong(settings), expected);
    }
    let headers = vec![("X-Secret".to_owned(), KEY.to_owned())];
    let settings = OpenAiSettings { headers, ..base() };
    let shown = format!("{settings:?} {:?}", OpenAiModel::new(settings.clone()).unwrap());
    assert!(!shown.contains("abcdefgh"), "{shown}");
}
