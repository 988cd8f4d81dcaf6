//! Why a call of a provider failed: one sentence, and what mends it. No text here holds a key.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use sandbar_protocol::{Error, ErrorKind, Protected};
use serde_json::Value;

use crate::limits::MAX_REPLY_BYTES;
use crate::text::{cut, plain, redacted};

/// The most of a provider's own words that an error shows, in characters.
const SHOWN_CHARS: usize = 300;
/// The most of an unreadable answer that an error shows, in characters.
const GARBLED_CHARS: usize = 200;

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether another attempt may be made at once.
    pub(crate) again: bool,
    /// How long the provider asks to wait.
    pub(crate) wait: Option<Duration>,
}

impl Failure {
    /// What another attempt may mend.
    pub(crate) fn passing(error: Error) -> Self {
        Self {
            error: error.retryable(),
            again: true,
            wait: None,
        }
    }

    /// What another attempt won't mend.
    pub(crate) fn lasting(error: Error) -> Self {
        Self {
            error,
            again: false,
            wait: None,
        }
    }
}

/// Whom errors are about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The name in the configuration.
    pub(crate) name: String,
    /// The provider's name for the model.
    pub(crate) model: String,
    pub(crate) base_url: String,
    /// Where the key came from, such as `OPENAI_API_KEY`; none if no key is sent.
    pub(crate) key_from: Option<String>,
    /// How the server is started, if that is known.
    pub(crate) start: Option<&'static str>,
    /// The key, to take it out of what the provider says.
    pub(crate) secret: Option<Secret>,
    /// All that must not get out, the key among it: what the provider says is searched before it is cut.
    pub(crate) protected: Arc<Protected>,
}

/// A key. Nothing shows it.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a provider says in an error: its words, and its code for them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) message: String,
    pub(crate) code: String,
}

impl Complaint {
    /// From the body of an error, in any of the forms that are in use.
    pub(crate) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of(&value),
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let page = text.trim_start().starts_with('<');
                Self {
                    message: if page {
                        "a web page".to_owned()
                    } else {
                        text.into_owned()
                    },
                    code: String::new(),
                }
            }
        }
    }

    pub(crate) fn of(value: &Value) -> Self {
        let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let message = ["message", "detail"]
            .into_iter()
            .find_map(|key| inner.get(key))
            .unwrap_or(inner);
        let code = ["code", "type"]
            .into_iter()
            .find_map(|key| inner.get(key).filter(|code| !code.is_null()));
        Self {
            message: text(message),
            code: code.map(text).unwrap_or_default(),
        }
    }

    /// The status that an error within a stream stands for.
    pub(crate) fn status(&self) -> StatusCode {
        let number = self
            .code
            .parse()
            .ok()
            .and_then(|code: u16| StatusCode::from_u16(code).ok());
        number
            .filter(|status| !status.is_success())
            .unwrap_or(match self.code.as_str() {
                "model_not_found" => StatusCode::NOT_FOUND,
                "invalid_api_key" | "authentication_error" => StatusCode::UNAUTHORIZED,
                "rate_limit_exceeded" | "rate_limit_error" | "insufficient_quota" => StatusCode::TOO_MANY_REQUESTS,
                "overloaded_error" | "overloaded" => StatusCode::SERVICE_UNAVAILABLE,
                code if code.starts_with("invalid") || code.ends_with("BadRequestError") => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            })
    }

    pub(crate) fn is_about_model(&self, status: StatusCode) -> bool {
        status == StatusCode::NOT_FOUND || self.code == "model_not_found"
    }
}

impl Target {
    /// The error for a status that is no success. Which models there are is the caller's to add: it needs their list.
    pub(crate) fn refused(&self, status: StatusCode, complaint: &Complaint, wait: Option<Duration>) -> Failure {
        let number = status.as_u16();
        let words = match self.quoted(&complaint.message, SHOWN_CHARS) {
            words if words.is_empty() => String::new(),
            words => format!(": {words}"),
        };
        let server = &self.base_url;
        if complaint.is_about_model(status) {
            let message = format!(
                "the server at `{server}` has no model `{}` ({number}){words}",
                self.model
            );
            let hint = format!("check `model` of `[models.{}]`", self.name);
            return Failure::lasting(model_error("unknown-model", message).with_hint(hint));
        }
        match number {
            401 | 403 => {
                let message = format!("the server at `{server}` refuses the key ({number}){words}");
                Failure::lasting(model_error("model-unauthorized", message).with_hint(self.key_hint()))
            }
            429 if complaint.code == "insufficient_quota" => {
                let message = format!("the account at `{server}` is used up ({number}){words}");
                let hint = "check the plan and the billing of the account that the key belongs to";
                Failure::lasting(model_error("model-rate-limited", message).with_hint(hint))
            }
            429 => {
                let message = format!("the server at `{server}` is asked too often ({number}){words}");
                let hint = format!(
                    "wait a little; `max_retries` of `[models.{}]` says how often it is tried",
                    self.name
                );
                Failure {
                    wait,
                    ..Failure::passing(model_error("model-rate-limited", message).with_hint(hint))
                }
            }
            300..=399 => {
                let message = format!("the server at `{server}` has moved ({number}){words}");
                let hint = format!("write its new address as `base_url` of `[models.{}]`", self.name);
                Failure::lasting(model_error("model-failed", message).with_hint(hint))
            }
            _ => {
                let message = format!("the server at `{server}` failed with status {number}{words}");
                let error = model_error("model-failed", message).with_hint(self.status_hint(number, complaint));
                match number {
                    408 | 409 | 500.. => Failure {
                        wait,
                        ..Failure::passing(error)
                    },
                    _ => Failure::lasting(error),
                }
            }
        }
    }

    pub(crate) fn unreachable(&self, why: &str) -> Error {
        let message = format!(
            "the server at `{}` can't be reached: {}",
            self.base_url,
            self.quoted(why, SHOWN_CHARS)
        );
        let start = self
            .start
            .map(|start| format!("start it with `{start}`; "))
            .unwrap_or_default();
        let address = format!("its address is `base_url` of `[models.{}]`", self.name);
        model_error("model-unreachable", message).with_hint(format!("is the server running? {start}{address}"))
    }

    pub(crate) fn cut_off(&self) -> Error {
        model_error(
            "model-cut-off",
            format!("the answer of {} ended in the middle", self.shown()),
        )
        .with_hint("the connection was lost, or the server stopped; ask again")
        .retryable()
    }

    pub(crate) fn garbled(&self, found: &str) -> Error {
        let found = match self.quoted(found, GARBLED_CHARS) {
            found if found.is_empty() => "nothing".to_owned(),
            found => format!("`{found}`"),
        };
        let message = format!("the answer of {} can't be read, it has {found}", self.shown());
        let hint = format!(
            "`base_url` of `[models.{}]` must be an OpenAI-compatible API; it often ends in `/v1`",
            self.name
        );
        model_error("model-garbled", message).with_hint(hint).retryable()
    }

    pub(crate) fn too_large(&self) -> Error {
        let message = format!(
            "the answer of {} is larger than {} MiB",
            self.shown(),
            MAX_REPLY_BYTES >> 20
        );
        model_error("reply-too-large", message)
            .with_hint(format!("set `max_tokens` of `[models.{}]`, or ask for less", self.name))
    }

    pub(crate) fn too_many_calls(&self, calls: usize) -> Error {
        let message = format!(
            "the answer of {} asks for more than {} tool calls at once",
            self.shown(),
            calls - 1
        );
        model_error("too-many-calls", message).with_hint(format!(
            "the model has lost its way: ask again, offer fewer tools, or set another `model` in `[models.{}]`",
            self.name
        ))
    }

    pub(crate) fn stalled(&self, waited: Duration) -> Error {
        let message = format!(
            "nothing of an answer came from {} for {} seconds",
            self.shown(),
            waited.as_secs_f64()
        );
        model_error("model-stalled", message)
            .with_hint(format!(
                "raise `idle_seconds` of `[models.{}]` if the model needs longer to begin",
                self.name
            ))
            .retryable()
    }

    /// "the model `gpt-4o` at `https://…`"
    fn shown(&self) -> String {
        format!("the model `{}` at `{}`", self.model, self.base_url)
    }

    /// A text of the provider, which is there as a whole.
    pub(crate) fn quoted(&self, text: &str, most: usize) -> String {
        let secret = self.secret.as_ref().map(|secret| secret.0.as_str());
        // Once it is the line that is shown: what was between the characters of a value is gone.
        let line = redacted(&plain(text), secret);
        cut(&self.protected.redact(&line), most)
    }

    /// The beginning of a text of the provider whose rest nobody has read, without what could be the beginning of a protected value.
    pub(crate) fn beginning<'a>(&self, read: &'a [u8]) -> &'a [u8] {
        &read[..self.protected.settled(read)]
    }

    fn key_hint(&self) -> String {
        match &self.key_from {
            Some(from) => format!("check {from}"),
            None => format!(
                "no key was sent: set `api_key = \"env:NAME\"` in `[models.{}]`",
                self.name
            ),
        }
    }

    fn status_hint(&self, number: u16, complaint: &Complaint) -> String {
        if complaint.code == "context_length_exceeded" {
            return "the conversation is longer than the model can read: start a new session".to_owned();
        }
        match number {
            500.. | 408 | 409 => "the provider has a problem of its own; ask again later".to_owned(),
            _ => format!(
                "the server doesn't accept the request: check the keys of `[models.{}]`",
                self.name
            ),
        }
    }
}

pub(crate) fn model_error(code: &str, message: String) -> Error {
    Error::new(ErrorKind::Model, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_read_in_every_form() {
        for (body, message, code) in [
            (r#"{"error":{"message":"no","type":"t","code":"c"}}"#, "no", "c"),
            (r#"{"error":{"message":"no","type":"t","code":null}}"#, "no", "t"),
            (r#"{"error":"no such model"}"#, "no such model", ""),
            (
                r#"{"object":"error","message":"no","type":"BadRequestError","code":400}"#,
                "no",
                "400",
            ),
            (r#"{"detail":"Not Found"}"#, "Not Found", ""),
            (r#"{"detail":[{"msg":"bad"}]}"#, r#"[{"msg":"bad"}]"#, ""),
            ("Bad Gateway", "Bad Gateway", ""),
            ("\n<html><body>x", "a web page", ""),
            ("", "", ""),
        ] {
            let expected = Complaint {
                message: message.to_owned(),
                code: code.to_owned(),
            };
            assert_eq!(Complaint::read(body.as_bytes()), expected, "{body}");
        }
    }

    /// However long the text before it is, and in whichever form it is written.
    #[test]
    fn what_a_provider_says_is_searched_before_it_is_cut() {
        let value = "Kx7mQ2vN9rTz4LwB";
        let target = Target {
            name: "main".to_owned(),
            model: "m".to_owned(),
            base_url: "http://h/v1".to_owned(),
            key_from: None,
            start: None,
            secret: None,
            protected: Arc::new(Protected::new([("key".to_owned(), value.to_owned())])),
        };
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        // Marks that an error doesn't show, between the characters that it does.
        let marked: String = value.chars().map(|c| format!("{c}\u{200e}")).collect();
        for (written, start) in [(value, "Kx7"), (&hex, "4b7"), (&marked, "Kx7")] {
            for before in 280..300 {
                let quoted = target.quoted(&format!("{}{written} and more", "-".repeat(before)), SHOWN_CHARS);
                assert!(!quoted.contains(start), "{quoted}");
                let read = format!("{}{written}", "-".repeat(before));
                let beginning = target.beginning(&read.as_bytes()[..read.len().min(300) - 3]);
                let quoted = target.quoted(&String::from_utf8_lossy(beginning), SHOWN_CHARS);
                assert!(!quoted.contains(start), "{quoted}");
            }
        }
    }

    #[test]
    fn statuses_become_errors() {
        let target = Target {
            name: "main".to_owned(),
            model: "m".to_owned(),
            base_url: "http://h/v1".to_owned(),
            key_from: Some("`OPENAI_API_KEY`".to_owned()),
            start: None,
            secret: Some(Secret("sk-test-1234".to_owned())),
            protected: Arc::default(),
        };
        let refuses = "model-unauthorized refuses the key";
        let failed = "model-failed failed with status";
        for (status, message, code, expected, again) in [
            (
                401,
                "bad key sk-test-1234",
                "",
                format!("{refuses} (401): bad key …"),
                false,
            ),
            (403, "", "", format!("{refuses} (403)"), false),
            (
                404,
                "gone",
                "",
                "unknown-model has no model `m` (404): gone".to_owned(),
                false,
            ),
            (
                400,
                "no",
                "model_not_found",
                "unknown-model has no model `m` (400): no".to_owned(),
                false,
            ),
            (
                429,
                "slow",
                "",
                "model-rate-limited is asked too often (429): slow".to_owned(),
                true,
            ),
            (307, "", "", "model-failed has moved (307)".to_owned(), false),
            (400, "a\nb", "", format!("{failed} 400: a b"), false),
            (408, "", "", format!("{failed} 408"), true),
            (409, "", "", format!("{failed} 409"), true),
            (503, "", "", format!("{failed} 503"), true),
            (529, "", "", format!("{failed} 529"), true),
        ] {
            let complaint = Complaint {
                message: message.to_owned(),
                code: code.to_owned(),
            };
            let failure = target.refused(StatusCode::from_u16(status).unwrap(), &complaint, None);
            let said = failure.error.message.replace("the server at `http://h/v1` ", "");
            let got = (
                format!("{} {said}", failure.error.code),
                failure.again,
                failure.error.retryable,
            );
            assert_eq!(got, (expected, again, again));
        }
        let paid = Complaint {
            message: String::new(),
            code: "insufficient_quota".to_owned(),
        };
        let failure = target.refused(StatusCode::TOO_MANY_REQUESTS, &paid, None);
        assert!(
            !failure.again && failure.error.message.contains("is used up (429)"),
            "{failure:?}"
        );
        assert!(!format!("{target:?}").contains("1234"));
    }
}
