//! What a plugin wanted in a call and may not: decided by the policy, kept from the plugin, and told to everybody else.

use std::sync::{Arc, Mutex, PoisonError};

use sandbar_protocol::policy::{Effective, KvAccess, Power, Refusal};
use sandbar_protocol::{AuditDecision, DecidedBy, DenialSink, FileAccess};

use crate::boundary::{Boundary, Told};
use crate::limits::MAX_REFUSALS;
use crate::own_places::Touched;

/// What one call was refused, each once, and who is told.
#[derive(Clone, Default)]
pub(crate) struct Refusals {
    told: Arc<Mutex<Vec<Refusal>>>,
    sink: Option<DenialSink>,
}

/// Asked before a plugin uses a power other than requests, which the egress decides on.
#[derive(Clone)]
pub(crate) struct Gatekeeper {
    pub(crate) effective: Arc<Effective>,
    pub(crate) boundary: Boundary,
    pub(crate) refusals: Refusals,
}

/// The plugin hears nothing else, so that it can't feel its way along the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied;

impl Refusals {
    pub(crate) fn to(sink: DenialSink) -> Self {
        Self {
            told: Arc::default(),
            sink: Some(sink),
        }
    }

    /// Where what no policy decides is told.
    pub(crate) fn sink(&self) -> Option<DenialSink> {
        self.sink.clone()
    }

    /// What was refused in a few words, for the model: which line would allow it is between the host and the operator.
    pub(crate) fn in_short(&self) -> Option<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let was_refused = |power| told.iter().any(|refusal| refusal.power == Some(power));
        let words = [
            (Power::Http, "network access"),
            (Power::Files, "access to files"),
            (Power::Secrets, "a secret"),
            (Power::Kv, "keeping values"),
        ];
        let words: Vec<&str> = words
            .into_iter()
            .filter_map(|(power, word)| was_refused(power).then_some(word))
            .collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }

    /// Puts a refusal down and audits it, however often it happens.
    pub(crate) fn tell(&self, boundary: &Boundary, action: &str, refusal: Refusal) {
        let refusal = hidden(boundary, refusal);
        audit(boundary, action, &refusal);
        self.add(boundary, refusal);
    }

    /// The same once in a call, for what a plugin can ask without end.
    fn tell_once(&self, boundary: &Boundary, action: &str, refusal: Refusal) {
        let refusal = hidden(boundary, refusal);
        let target = refusal.clone();
        if self.add(boundary, refusal) {
            audit(boundary, action, &target);
        }
    }

    /// Whether it is a new one.
    fn add(&self, boundary: &Boundary, refusal: Refusal) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_REFUSALS || told.contains(&refusal) {
            return false;
        }
        let mend = refusal.mend.as_deref().unwrap_or_default();
        tracing::warn!(plugin = %boundary.plugin, mend, "{}", refusal.sentence);
        if let Some(sink) = &self.sink {
            sink((&refusal).into());
        }
        told.push(refusal);
        true
    }
}

impl Gatekeeper {
    /// Whether files may be used as far as `wanted`. Only the calls of tools have files at all. No name is told: many tools write into a
    /// file of another name first, and the call's arguments have the one that somebody meant.
    pub(crate) fn files(&self, wanted: FileAccess) -> Result<(), Denied> {
        if self.refusals.sink.is_none() {
            return Ok(());
        }
        self.decided("files.use", self.effective.use_files(wanted, "files"))
    }

    /// Whether there is no reason why a plugin that looks for files finds none.
    pub(crate) fn any_files(&self) -> Result<(), Denied> {
        match self.effective.wants_files() {
            true => self.files(FileAccess::ReadOnly),
            false => Ok(()),
        }
    }

    /// That a change was refused which the plugin's powers would allow.
    pub(crate) fn tell_read_only(&self) {
        let plugin = self.effective.plugin();
        let refusal = Refusal {
            power: Some(Power::Files),
            plugin: plugin.to_owned(),
            target: "write files".to_owned(),
            sentence: format!(
                "the plugin `{plugin}` may not write files here: the tool says of itself that it only reads, or the directory may only be read"
            ),
            mend: None,
        };
        self.refusals.tell_once(&self.boundary, "files.use", refusal);
    }

    /// That a plugin wanted to have something of Sandbar's own in its hands. No line of the configuration would allow it.
    pub(crate) fn tell_own(&self, touched: &Touched, changes: bool) {
        let plugin = self.effective.plugin();
        let verb = if changes { "change" } else { "read" };
        let place = format!("{} (`{}`)", touched.what, touched.path.display());
        let refusal = Refusal {
            power: Some(Power::Files),
            plugin: plugin.to_owned(),
            target: format!("{verb} {place}"),
            sentence: format!("the plugin `{plugin}` may not {verb} {place}, wherever it lies"),
            mend: None,
        };
        self.refusals.tell_once(&self.boundary, "files.use", refusal);
    }

    pub(crate) fn kv(&self, wanted: KvAccess) -> Result<(), Denied> {
        self.decided("kv.use", self.effective.use_kv(wanted))
    }

    pub(crate) fn secret(&self, name: &str) -> Result<(), Denied> {
        self.decided("secret.use", self.effective.use_secret(name))
    }

    fn decided(&self, action: &str, decision: Result<(), Refusal>) -> Result<(), Denied> {
        decision.map_err(|refusal| {
            self.refusals.tell_once(&self.boundary, action, refusal);
            Denied
        })
    }
}

/// Without protected values: the plugin chose what is named in it.
fn hidden(boundary: &Boundary, refusal: Refusal) -> Refusal {
    let hide = |text: &str| boundary.protected.redact(text).into_owned();
    Refusal {
        target: hide(&refusal.target),
        sentence: hide(&refusal.sentence),
        mend: refusal.mend.as_deref().map(hide),
        ..refusal
    }
}

fn audit(boundary: &Boundary, action: &str, refusal: &Refusal) {
    boundary.tell(Told {
        action,
        target: &refusal.target,
        digest: None,
        decision: AuditDecision::Denied,
        by: DecidedBy::Default,
    });
}
