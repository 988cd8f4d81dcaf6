//! References to secrets, and secrets where a reference is wanted.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::config::secrets::SecretRef;

#[test]
fn references_are_told_from_secrets() {
    for (text, expected) in [
        ("env:OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("file:keys/openai", "file:keys/openai"),
        ("sk-12345", "a reference to a secret is wanted, not a secret"),
        ("env:sk-12345", "what follows `env:` is not the name of a variable"),
        ("file:", "no path follows `file:`"),
        ("vault:sk-12345", "a reference to a secret is wanted, not a secret"),
        ("", "a reference to a secret is wanted, not a secret"),
    ] {
        let got = text
            .parse::<SecretRef>()
            .map_or_else(|error| error.message, |reference| reference.to_string());
        assert_eq!(got, expected, "{text}");
    }
}

#[test]
fn secrets_are_read_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key"), "sk-12345\n").unwrap();
    std::fs::write(directory.path().join("empty"), "\n").unwrap();
    let read = |text: &str| text.parse::<SecretRef>().unwrap().read(directory.path());
    let secret = read("file:key").unwrap();
    assert_eq!(
        (secret.expose(), format!("{secret:?}").as_str()),
        ("sk-12345", "Secret(…)")
    );
    for (reference, expected) in [
        ("file:empty", "the file `empty` should hold a secret, but is empty"),
        (
            "file:none",
            "the file `none` should hold a secret, but can't be read: entity not found",
        ),
        (
            "env:SANDBAR_TEST_NO_SUCH_VARIABLE",
            "the variable `SANDBAR_TEST_NO_SUCH_VARIABLE` should hold a secret, but is not set to a text",
        ),
    ] {
        assert_eq!(read(reference).unwrap_err().message, expected);
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_printed() {
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Provider {
        api_key: SecretRef,
    }
    let schema = serde_json::to_value(schemars::schema_for!(Provider)).unwrap();
    for (text, expected) in [
        ("api_key = 'env:KEY'", ""),
        (
            "api_key = 'sk-12345'",
            "sandbar.toml:1:11: `api_key` is wrong: a reference to a secret is wanted, not a secret\n\
             hint: write `env:NAME` or `file:PATH`, and put the secret there",
        ),
        (
            "api_key = 12345",
            "sandbar.toml:1:11: `api_key` is a number, but a reference to a secret is wanted\n\
             hint: write `env:NAME` or `file:PATH` in quotes",
        ),
    ] {
        let base = Path::new("/project");
        let mut document = document::Document::parse(text, sources::embedded(base)).unwrap();
        assert_eq!(shown(&check::check(&mut document, &schema), base), expected);
    }
}
