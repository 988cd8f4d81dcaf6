//! What attackers are given: the lines of the configuration, the servers that they may ask, and what they must not get.

use std::io::Result;

use crate::attacks::Given;
use crate::loopback::Loopback;

/// The value of the secret, in the file [`Ground::SECRET_FILE`] beside the configuration.
pub const SECRET: &str = "canary-6f1d0c2a9b";
/// The same of a secret that no plugin is granted, in [`Ground::TOKEN_FILE`].
pub const TOKEN: &str = "a token that nobody may read";

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
    pub const TOKEN_FILE: &str = "token.txt";
    /// What lies beside the configuration: names and contents.
    pub const FILES: [(&str, &str); 2] = [(Self::SECRET_FILE, SECRET), (Self::TOKEN_FILE, TOKEN)];

    pub fn start() -> Result<Self> {
        Ok(Self {
            home: Loopback::start(SECRET)?,
            other: Loopback::start(SECRET)?,
            shut: Loopback::start(SECRET)?,
        })
    }

    /// Tables of the configuration that give a plugin what its attack needs.
    #[must_use]
    pub fn grant(&self, plugin: &str, given: Given) -> String {
        let (home, other, shut) = (self.home.url(), self.other.url(), self.shut.url());
        let more = match given {
            Given::Nothing | Given::Instance => return String::new(),
            Given::Files | Given::Kv => String::new(),
            Given::Project => "mounts = [ { name = \"project\", path = \".\", access = \"read-write\" } ]\n".to_owned(),
            Given::Network | Given::Secret => {
                format!("config = {{ home = \"{home}\", other = \"{other}\", shut = \"{shut}\" }}\n")
            }
        };
        format!("[grants.{plugin}]\n{}{more}", self.powers(given))
    }

    /// What it needs, as it stands in a grant and in the requests of a manifest.
    #[must_use]
    pub fn powers(&self, given: Given) -> String {
        let http = || {
            let rule = |server: &Loopback| format!("{{ url = \"{}/\", methods = [\"GET\", \"POST\"] }}", server.url());
            format!("http = [{}, {}]\n", rule(&self.home), rule(&self.other))
        };
        match given {
            Given::Nothing | Given::Instance => String::new(),
            Given::Files | Given::Project => "files = \"read-write\"\n".to_owned(),
            Given::Kv => "kv = \"session\"\n".to_owned(),
            Given::Network => http(),
            Given::Secret => http() + "secrets = [\"canary\"]\nfiles = \"read-write\"\nkv = \"session\"\n",
        }
    }

    /// The tables of the secrets: one is for the server at home, the other for nobody here.
    #[must_use]
    pub fn secrets(&self) -> String {
        let (secret, token, home) = (Self::SECRET_FILE, Self::TOKEN_FILE, self.home.url());
        format!(
            "[secrets.canary]\nvalue = \"file:{secret}\"\nhosts = [\"{home}\"]\nheader = \"x-api-key\"\n\
             [secrets.token]\nvalue = \"file:{token}\"\nhosts = [\"https://api.example.com\"]\nheader = \"authorization\"\n"
        )
    }
}
