//! What several components share. They are in `samples/` and `hostile/`; `README.md` says what each is for.

use sandbar_sdk::http::{Request, Response};
use sandbar_sdk::{Context, Error};
use serde::Deserialize;

/// Servers that an attack on the network is told of: two that it may ask, and one that it may not.
#[derive(Debug, Deserialize)]
pub struct Servers {
    pub home: String,
    pub other: String,
    pub shut: String,
}

impl Servers {
    pub fn of(context: &Context) -> Result<Self, Error> {
        context.config()
    }
}

/// What went well is a way out.
pub fn report(attempts: &[(String, bool)]) -> Result<String, Error> {
    let through: Vec<&str> = attempts
        .iter()
        .filter(|(_, well)| *well)
        .map(|(name, _)| name.as_str())
        .collect();
    if through.is_empty() {
        return Err(Error::new("refused", format!("{} attempts", attempts.len())));
    }
    Ok(format!("went well: {}", through.join(", ")))
}

/// Whether there is a network at all: without one nothing would be refused. Where many ask, it may be busy.
pub fn ask_home(servers: &Servers) -> Result<(), Error> {
    match Request::get(format!("{}/", servers.home)).send() {
        Ok(Response { status: 200, .. }) => Ok(()),
        Ok(other) => Err(Error::new("no-network", other.status.to_string())),
        Err(error) if error.code == "too-many-requests" => Ok(()),
        Err(error) => Err(Error::new("no-network", error.code)),
    }
}
