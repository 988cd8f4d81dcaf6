//! What is left of a grant when the plugin's own request is applied: requested *and* granted.

use std::net::IpAddr;
use std::sync::Arc;

use super::address::{METADATA, meaning, special_range};
use super::http_rule::HttpRule;
use super::mend;
use super::power::{KvAccess, Origin, Power, PowerGrant, PowerSet, Rule, Ruling};
use super::refusal::{Refusal, shown};
use super::target::{Host, Target};
use crate::FileAccess;

/// A plugin's powers. Without a manifest the operator's word is both request and grant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    plugin: String,
    requested: Option<PowerSet>,
    granted: PowerGrant,
    /// The requests that both cover.
    http: Vec<HttpRule>,
    /// In a preview, which has none of the above: what the call itself will have.
    previewed: Option<Arc<Effective>>,
}

impl Effective {
    pub fn of(plugin: &str, requested: Option<PowerSet>, granted: PowerGrant) -> Self {
        let http = match &requested {
            None => granted.powers.http.clone(),
            Some(requested) => both(&requested.http, &granted.powers.http),
        };
        Self {
            plugin: plugin.to_owned(),
            requested,
            granted,
            http,
            previewed: None,
        }
    }

    /// For a preview of a call: no power is left, and a refusal of what the call itself may do says that it is one.
    pub fn for_preview(self: &Arc<Self>) -> Self {
        Self {
            previewed: Some(Arc::clone(self)),
            ..Self::of(&self.plugin, None, PowerGrant::default())
        }
    }

    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// None without a manifest.
    pub fn requested(&self) -> Option<&PowerSet> {
        self.requested.as_ref()
    }

    pub fn granted(&self) -> &PowerGrant {
        &self.granted
    }

    /// All that is both requested and granted.
    pub fn powers(&self) -> PowerSet {
        let secrets = &self.granted.powers.secrets;
        PowerSet {
            files: self.files(),
            http: self.http.clone(),
            secrets: secrets
                .iter()
                .filter(|name| self.may_use_secret(name))
                .cloned()
                .collect(),
            kv: self.kv(),
        }
    }

    pub fn files(&self) -> FileAccess {
        let granted = self.granted.powers.files;
        self.requested
            .as_ref()
            .map_or(granted, |requested| requested.files.min(granted))
    }

    pub fn kv(&self) -> KvAccess {
        let granted = self.granted.powers.kv;
        self.requested
            .as_ref()
            .map_or(granted, |requested| requested.kv.min(granted))
    }

    /// Whether some request at all could be allowed: then a tool is an outside sink.
    pub fn has_http(&self) -> bool {
        !self.http.is_empty()
    }

    /// The requests that are both requested and granted.
    pub fn http_rules(&self) -> &[HttpRule] {
        &self.http
    }

    pub fn may_use_secret(&self, name: &str) -> bool {
        let has = |powers: &PowerSet| powers.secrets.iter().any(|secret| secret == name);
        has(&self.granted.powers) && self.requested.as_ref().is_none_or(has)
    }

    /// Whether a request may be sent, its address aside; gives the rule that covers it. Each redirect is a request of its own.
    pub fn http(&self, method: &str, target: &Target) -> Result<&HttpRule, Refusal> {
        let place = format!("{} {}", shown(method), shown(&target.without_query()));
        if let Some(call) = &self.previewed {
            call.http(method, target)?;
            return Err(self.not_in_preview(Power::Http, place.clone(), &sending(&place), "nothing is sent"));
        }
        if self.rule_for(Power::Http) == Rule::Deny {
            return Err(self.denied(Power::Http, place));
        }
        self.http
            .iter()
            .find(|rule| rule.covers(method, target))
            .ok_or_else(|| self.refuse_http(method, target, &place))
    }

    /// Whether the address that a covered request's name led to may be connected to. Every answer has to pass: who answers with one
    /// public and one private address wants the second try.
    pub fn address(&self, method: &str, target: &Target, address: IpAddr) -> Result<(), Refusal> {
        self.http(method, target)?;
        let address = address.to_canonical();
        if let Host::Address(literal) = target.host {
            // A rule with that very address covers the request, or `http` had refused it.
            return if literal == address {
                Ok(())
            } else {
                Err(self.refuse_address(method, target, address, None))
            };
        }
        let Some(kind) = special_range(address) else {
            return Ok(());
        };
        let granted = |rule: &HttpRule| rule.covers(method, target) && rule.covers_address(address);
        if kind != METADATA && self.http.iter().any(granted) {
            Ok(())
        } else {
            Err(self.refuse_address(method, target, address, Some(kind)))
        }
    }

    /// Whether it wants files at all: its manifest requests them, or there is none that could.
    pub fn wants_files(&self) -> bool {
        let call = self.previewed.as_deref().unwrap_or(self);
        call.requested
            .as_ref()
            .is_none_or(|requested| requested.files > FileAccess::None)
    }

    /// Whether files may be used as far as `wanted`; `path` is for the sentence.
    pub fn use_files(&self, wanted: FileAccess, path: &str) -> Result<(), Refusal> {
        let does = if wanted == FileAccess::ReadWrite {
            "write"
        } else {
            "read"
        };
        let what = format!("{does} {}", shown(path));
        if let Some(call) = &self.previewed {
            call.use_files(wanted, path)?;
            return match wanted {
                FileAccess::ReadWrite => {
                    Err(self.not_in_preview(Power::Files, what.clone(), &what, "nothing is changed"))
                }
                FileAccess::ReadOnly | FileAccess::None => Ok(()),
            };
        }
        let line = format!("files = \"{}\"", mend::files(wanted));
        let granted = self.granted.powers.files;
        let requested = self.requested.as_ref().map(|requested| requested.files);
        self.use_level(Power::Files, (requested, granted, wanted), &what, &line)
    }

    pub fn use_kv(&self, wanted: KvAccess) -> Result<(), Refusal> {
        let pairs = if wanted == KvAccess::Shared {
            "key-value pairs of all sessions"
        } else {
            "key-value pairs"
        };
        let what = format!("use {pairs}");
        if let Some(call) = &self.previewed {
            call.use_kv(wanted)?;
            return Err(self.not_in_preview(Power::Kv, what.clone(), &what, "nothing that is kept is reached"));
        }
        let line = format!("kv = \"{}\"", mend::kv(wanted));
        let requested = self.requested.as_ref().map(|requested| requested.kv);
        self.use_level(Power::Kv, (requested, self.granted.powers.kv, wanted), &what, &line)
    }

    /// Whether requests may carry a secret. A preview sends none, and may know that there is one.
    pub fn use_secret(&self, name: &str) -> Result<(), Refusal> {
        if let Some(call) = &self.previewed {
            return call.use_secret(name);
        }
        if self.rule_for(Power::Secrets) == Rule::Deny {
            return Err(self.denied(Power::Secrets, shown(name)));
        }
        if self.may_use_secret(name) {
            return Ok(());
        }
        let lists = |powers: &PowerSet| powers.secrets.iter().any(|secret| secret == name);
        let with = |powers: &PowerSet| {
            mend::list(
                "secrets",
                powers
                    .secrets
                    .iter()
                    .map(String::as_str)
                    .chain([name])
                    .map(mend::string),
            )
        };
        let asked = self.requested.as_ref().is_none_or(lists);
        let given = lists(&self.granted.powers);
        let manifest = self.requested.as_ref().filter(|_| !asked).map(with);
        let config = (!given).then(|| with(&self.granted.powers));
        let what = format!("use the secret `{}`", shown(name));
        Err(self.refused(Power::Secrets, shown(name), &what, (manifest, config)))
    }

    /// What holds for a call from an origin, by the rules for all powers of the plugin.
    pub fn rule(&self, origin: Origin) -> Rule {
        self.tool_rule(origin, &self.powers().kinds()).rule
    }

    /// What holds for a call from an origin, by the rules for the powers that the call's own instance gets: the strictest counts.
    pub fn tool_rule(&self, origin: Origin, powers: &[Power]) -> Ruling {
        let by_power = powers
            .iter()
            .filter_map(|power| Some((*self.granted.rules.get(power)?, format!("rules.{power}"))));
        let by_origin = self
            .granted
            .origins
            .get(&origin)
            .map(|rule| (*rule, format!("origins.{origin}")));
        let strictest = by_power
            .chain(by_origin)
            .reduce(|one, other| if other.0 > one.0 { other } else { one });
        match strictest {
            None => Ruling::default(),
            Some((rule, line)) => Ruling {
                rule,
                line: Some(format!("grants.{}.{line}", self.plugin)),
            },
        }
    }

    /// Why a call is refused for which `tool_rule` gave `Rule::Deny`.
    pub fn refuse_call(&self, tool: &str, origin: Origin, powers: &[Power]) -> Refusal {
        let power = powers.iter().copied().find(|power| self.rule_for(*power) == Rule::Deny);
        let tool = shown(tool);
        if let Some(power) = power {
            return self.denied(power, format!("tool {tool}"));
        }
        let origins = self.granted.origins.iter();
        let lines = origins.map(|(key, rule)| (key.as_str(), if *key == origin { Rule::Allow } else { *rule }));
        Refusal {
            power: None,
            plugin: self.plugin.clone(),
            sentence: format!(
                "the tool `{tool}` of the plugin `{}` may not be called: `origins.{origin}` is `deny`",
                self.plugin
            ),
            target: format!("tool {tool}"),
            mend: Some(mend::config(&self.plugin, &mend::rules("origins", lines))),
        }
    }

    fn rule_for(&self, power: Power) -> Rule {
        self.granted.rules.get(&power).copied().unwrap_or_default()
    }

    /// For powers that are more or less of the same: requested, granted and wanted.
    fn use_level<T: Ord + Copy>(
        &self,
        power: Power,
        (requested, granted, wanted): (Option<T>, T, T),
        what: &str,
        line: &str,
    ) -> Result<(), Refusal> {
        if self.rule_for(power) == Rule::Deny {
            return Err(self.denied(power, what.to_owned()));
        }
        let manifest = requested
            .is_some_and(|requested| requested < wanted)
            .then(|| line.to_owned());
        let config = (granted < wanted).then(|| line.to_owned());
        if manifest.is_none() && config.is_none() {
            return Ok(());
        }
        Err(self.refused(power, what.to_owned(), what, (manifest, config)))
    }

    fn refuse_http(&self, method: &str, target: &Target, place: &str) -> Refusal {
        let covers = |powers: &PowerSet| powers.http.iter().any(|rule| rule.covers(method, target));
        // The rule that would do: the whole host, since who may ask for one path mostly needs the next as well.
        let methods = if matches!(method, "GET" | "HEAD") {
            Vec::new()
        } else {
            vec![method.to_owned()]
        };
        let rule = HttpRule::parse(&format!("{}/", target.origin()), &methods, &[]).ok();
        let with = |powers: &PowerSet| {
            let rules = powers.http.iter().chain(&rule);
            rule.as_ref().map(|_| mend::list("http", rules.map(HttpRule::to_toml)))
        };
        let asked = self.requested.as_ref().is_none_or(covers);
        let given = covers(&self.granted.powers);
        let manifest = self.requested.as_ref().filter(|_| !asked);
        let config = Some(&self.granted.powers).filter(|_| !given);
        let lines = (manifest.and_then(with), config.and_then(with));
        let mut refusal = self.refused(Power::Http, place.to_owned(), &sending(place), lines);
        if let Host::Address(address) = target.host
            && let Some(kind) = special_range(address)
        {
            refusal = warned(refusal, address, kind);
        }
        refusal.sentence = match self.almost(method, target) {
            true => format!(
                "{}, since its path can be read in more than one way, and only a rule for the whole host covers it",
                refusal.sentence
            ),
            false => refusal.sentence,
        };
        refusal
    }

    /// Whether only the ambiguity of its path keeps a request from being covered.
    fn almost(&self, method: &str, target: &Target) -> bool {
        let place = |rule: &HttpRule| rule.covers_place(target) && rule.methods.iter().any(|allowed| allowed == method);
        target.path_is_ambiguous() && self.http.iter().any(place)
    }

    fn refuse_address(&self, method: &str, target: &Target, address: IpAddr, kind: Option<&str>) -> Refusal {
        let host = &target.host;
        let why = match kind {
            Some(kind) => format!("that address is special ({kind}), {}", meaning(kind)),
            None => "that isn't the address in the URL".to_owned(),
        };
        // One more range in the first granted rule that covers the request.
        let mut rules = self.granted.powers.http.clone();
        let rule = rules.iter_mut().find(|rule| rule.covers(method, target));
        let widened = rule.zip(kind.filter(|kind| *kind != METADATA)).map(|(rule, kind)| {
            rule.addresses.push(address.into());
            kind
        });
        let lines = || mend::config(&self.plugin, &mend::list("http", rules.iter().map(HttpRule::to_toml)));
        let mend = widened.map(|kind| mend::careful(&what_is(address, kind), &lines()));
        Refusal {
            power: Some(Power::Http),
            plugin: self.plugin.clone(),
            target: format!("{} {}", shown(method), shown(&target.without_query())),
            sentence: format!(
                "the plugin `{}` may not connect to {address}, to which `{host}` leads: {why}",
                self.plugin
            ),
            mend,
        }
    }

    /// Refused by a rule.
    fn denied(&self, power: Power, target: String) -> Refusal {
        let rules = self.granted.rules.iter();
        let lines = rules.map(|(key, rule)| (key.as_str(), if *key == power { Rule::Allow } else { *rule }));
        Refusal {
            power: Some(power),
            sentence: format!(
                "the plugin `{}` may not use `{power}` for {target}: `rules.{power}` is `deny`",
                self.plugin
            ),
            plugin: self.plugin.clone(),
            target,
            mend: Some(mend::config(&self.plugin, &mend::rules("rules", lines))),
        }
    }

    /// Refused in a preview, where the call itself may do it: no line is missing.
    fn not_in_preview(&self, power: Power, target: String, what: &str, why: &str) -> Refusal {
        Refusal {
            power: Some(power),
            sentence: format!(
                "the plugin `{}` may not {what} yet: in a preview of a call {why}",
                self.plugin
            ),
            plugin: self.plugin.clone(),
            target,
            mend: None,
        }
    }

    /// Refused since the manifest, the configuration, or both lack the line.
    fn refused(&self, power: Power, target: String, what: &str, lines: (Option<String>, Option<String>)) -> Refusal {
        let why = match &lines {
            (Some(_), Some(_)) => "its manifest doesn't request it, and nothing grants it",
            (Some(_), None) => "its manifest doesn't request it",
            (None, _) => "nothing grants it",
        };
        let parts = [
            lines.0.map(|line| mend::manifest(&self.plugin, &line)),
            lines.1.map(|line| mend::config(&self.plugin, &line)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Refusal {
            power: Some(power),
            plugin: self.plugin.clone(),
            target,
            sentence: format!("the plugin `{}` may not {what}: {why}", self.plugin),
            mend: (!parts.is_empty()).then(|| parts.join("\n")),
        }
    }
}

/// A method and a place, as something that may be done.
fn sending(place: &str) -> String {
    format!("send {}", place.replacen(' ', " to ", 1))
}

/// A refusal of a request to a special address. No line is offered for what gives credentials away: whoever wants that knows how to write it.
fn warned(refusal: Refusal, address: IpAddr, kind: &str) -> Refusal {
    let what = what_is(address, kind);
    Refusal {
        mend: refusal
            .mend
            .filter(|_| kind != METADATA)
            .map(|lines| mend::careful(&what, &lines)),
        sentence: format!("{}; {what}", refusal.sentence),
        ..refusal
    }
}

fn what_is(address: IpAddr, kind: &str) -> String {
    format!("{address} is {}", meaning(kind))
}

/// What some rule of each covers.
fn both(requested: &[HttpRule], granted: &[HttpRule]) -> Vec<HttpRule> {
    let mut rules: Vec<HttpRule> = Vec::new();
    for granted in granted {
        for requested in requested {
            let rule = HttpRule::intersection(requested, granted);
            rules.extend(rule.filter(|rule| !rules.contains(rule)));
        }
    }
    rules
}
