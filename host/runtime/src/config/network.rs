//! `[network]`: how plugins' requests leave this machine.

use sandbar_protocol::policy::Target;
use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Resolution;

/// How requests of plugins leave this machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileNetwork {
    /// The proxy that plugins' requests go through, such as `http://proxy.example.com:3128`. It resolves the hosts' names itself, so that
    /// their addresses can't be checked here. Variables such as `HTTPS_PROXY` are not looked at. Default: none. Environment:
    /// `SANDBAR__NETWORK__PROXY`.
    proxy: Option<String>,
}

impl FileNetwork {
    pub(super) fn resolve(self, resolution: &mut Resolution) -> Option<String> {
        const HINT: &str = "write it as `\"http://proxy.example.com:3128\"`";
        let proxy = self.proxy?;
        let why = match Target::parse(&proxy) {
            Ok(target) if target.path == "/" && target.query.is_none() => return Some(proxy),
            Ok(_) => "it has a path".to_owned(),
            Err(why) => why,
        };
        let message = format!("`network.proxy` is no address of a proxy: {why}");
        resolution.problem("network.proxy", "bad-url", &message, HINT);
        None
    }
}
