//! What attackers are given: the lines of the configuration, the servers that they may ask, and what they must not get.

use std::io::Result;

use crate::attacks::{Attack, Ends, Given, HOARD, TIMES, WALL, Way};
use crate::loopback::Loopback;

/// The value of the secret, in the file [`Ground::SECRET_FILE`] beside the configuration.
pub const SECRET: &str = "canary-6f1d0c2a9b";

/// Servers for the attacks on the network.
#[derive(Debug)]
pub struct Ground {
    /// Granted, and the only one that gets the secret.
    pub home: Loopback,
    /// Granted, too.
    pub other: Loopback,
    /// Granted to nobody.
    pub shut: Loopback,
}

impl Ground {
    pub const SECRET_FILE: &str = "canary.txt";

    pub fn start() -> Result<Self> {
        let (home, other, shut) = (Loopback::start()?, Loopback::start()?, Loopback::start()?);
        home.look_for(SECRET);
        other.look_for(SECRET);
        Ok(Self { home, other, shut })
    }

    /// Tables of the configuration that give a plugin what its attack needs.
    #[must_use]
    pub fn grant(&self, plugin: &str, given: Given) -> String {
        let (home, other, shut) = (self.home.url(), self.other.url(), self.shut.url());
        let lines = match given {
            Given::Nothing | Given::Instance => return String::new(),
            Given::Files => "files = \"read-write\"\n".to_owned(),
            Given::Project => {
                "files = \"read-write\"\nmounts = [ { name = \"project\", path = \".\", access = \"read-write\" } ]\n"
                    .to_owned()
            }
            Given::Kv => "kv = \"session\"\n".to_owned(),
            Given::Network | Given::Secret => format!(
                "http = [{{ url = \"{home}/\", methods = [\"GET\", \"POST\"] }}, {{ url = \"{other}/\", methods = [\"GET\", \"POST\"] }}]\n\
                 config = {{ home = \"{home}\", other = \"{other}\", shut = \"{shut}\" }}\n"
            ),
        };
        let more = match given {
            Given::Secret => "secrets = [\"canary\"]\nfiles = \"read-write\"\nkv = \"session\"\n",
            _ => "",
        };
        format!("[grants.{plugin}]\n{lines}{more}")
    }

    /// The table of the secret, which is for the server at home.
    #[must_use]
    pub fn secret(&self) -> String {
        let (file, home) = (Self::SECRET_FILE, self.home.url());
        format!("[secrets.canary]\nvalue = \"file:{file}\"\nhosts = [\"{home}\"]\nheader = \"x-api-key\"\n")
    }
}

impl Attack {
    /// The manifest of its component, whose limits are near where it is they that end it; none where it needs none.
    #[must_use]
    pub fn manifest(&self, cpu_ms: u64, wall_ms: u64) -> Option<String> {
        let lifetime = matches!(
            self.way,
            Way::Called {
                given: Given::Instance,
                ..
            }
        );
        let limit = match self.meets {
            WALL => format!("[limits]\nwall_ms = {wall_ms}\n"),
            TIMES => format!("[limits]\ncpu_ms = {cpu_ms}\n"),
            // It goes on asking when it has all that it gets, and has to get there first.
            HOARD => format!("[limits]\ncpu_ms = {}\n", cpu_ms * 5),
            _ => String::new(),
        };
        let text = if lifetime { "lifetime = \"session\"\n" } else { "" }.to_owned() + &limit;
        (self.way != Way::Loaded && !text.is_empty()).then_some(text)
    }

    /// The codes of errors that it may end with where nobody else wants the machine.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        match (self.ends, self.meets) {
            (Ends::Error(_), WALL) => vec!["wall-limit"],
            (Ends::Error(codes), _) if self.way != Way::Loaded => {
                codes.iter().copied().filter(|code| *code != "wall-limit").collect()
            }
            (Ends::Error(codes), _) => codes.to_vec(),
            (Ends::Answer(_), _) => Vec::new(),
        }
    }
}
