//! What a plugin wanted in a call and may not: decided by the policy, kept from the plugin, and told to everybody else.

use std::sync::{Arc, Mutex, PoisonError};

use sandbar_protocol::policy::{Effective, KvAccess, Power, Refusal};
use sandbar_protocol::{DenialSink, FileAccess};

use crate::boundary::Boundary;
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
        boundary.tell_denied(action, &refusal.target);
        self.add(boundary, &refusal);
    }

    /// The same once in a call, for what a plugin can ask without end.
    fn tell_once(&self, boundary: &Boundary, action: &str, refusal: Refusal) {
        let refusal = hidden(boundary, refusal);
        if self.add(boundary, &refusal) {
            boundary.tell_denied(action, &refusal.target);
        }
    }

    /// Whether it is a new one.
    fn add(&self, boundary: &Boundary, refusal: &Refusal) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_REFUSALS || told.contains(refusal) {
            return false;
        }
        let mend = refusal.mend.as_deref().unwrap_or_default();
        tracing::warn!(plugin = %boundary.plugin, mend, "{}", refusal.sentence);
        if let Some(sink) = &self.sink {
            sink(refusal.into());
        }
        told.push(refusal.clone());
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
        // The plugin may ask for any name, and the sentence of a refusal shows the beginning of a long one: a value across its end would be
        // told in part. A name that somebody has granted is told to nobody.
        let decision = self.effective.use_secret(name);
        let decision = decision.or_else(|_| self.effective.use_secret(&self.boundary.protected.redact(name)));
        self.decided("secret.use", decision)
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

#[cfg(test)]
mod tests {
    use sandbar_protocol::policy::{PowerGrant, PowerSet};
    use sandbar_protocol::{AuditEntry, Denial, Protected};

    use super::*;
    use crate::boundary::Whose;
    use crate::egress::EgressSettings;

    const VALUE: &str = "Kx7mQ2vN9rTz4LwB8sYd";

    type Told<T> = Arc<Mutex<Vec<T>>>;

    /// Asks for a plugin that was granted these secrets, and what is told of it.
    fn gatekeeper(secrets: &[&str]) -> (Gatekeeper, Told<AuditEntry>, Told<Denial>) {
        let (audited, denied) = (Told::<AuditEntry>::default(), Told::<Denial>::default());
        let (audit, denials) = (audited.clone(), denied.clone());
        let settings = EgressSettings {
            protected: Arc::new(Protected::new([("key".to_owned(), VALUE.to_owned())])),
            audit: Arc::new(move |entry| audit.lock().unwrap().push(entry)),
            ..EgressSettings::default()
        };
        let granted = PowerGrant {
            powers: PowerSet {
                secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
                ..PowerSet::default()
            },
            ..PowerGrant::default()
        };
        let gatekeeper = Gatekeeper {
            effective: Arc::new(Effective::of("weather", None, granted)),
            boundary: Boundary::new(&settings, "weather".into(), Whose::default()),
            refusals: Refusals::to(Arc::new(move |denial| denials.lock().unwrap().push(denial))),
        };
        (gatekeeper, audited, denied)
    }

    /// Wherever the place lies where a sentence cuts a name: in a value, before it, behind it.
    #[test]
    fn the_name_of_a_secret_is_searched_before_it_is_cut() {
        let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
        for value in [VALUE, &hex] {
            for before in (150..=210).chain([0, 195]) {
                let name = format!("{}{value}", "-".repeat(before));
                let (gatekeeper, audited, denied) = gatekeeper(&["weather-key"]);
                assert_eq!(gatekeeper.secret(&name), Err(Denied));
                let (audited, denied) = (audited.lock().unwrap(), denied.lock().unwrap());
                assert_eq!((audited.len(), denied.len()), (1, 1));
                let told = format!("{audited:?} {denied:?}");
                let mut parts = value.as_bytes().windows(8).map(|part| str::from_utf8(part).unwrap());
                assert!(!parts.any(|part| told.contains(part)), "{told}");
                assert!(denied[0].reason.contains("may not use the secret `"), "{told}");
            }
        }
    }

    /// However often it asks, and whatever a name has in it.
    #[test]
    fn what_is_asked_again_is_told_once() {
        let granted = format!("for-{VALUE}");
        let (gatekeeper, audited, denied) = gatekeeper(&[&granted]);
        for (name, expected, told) in [
            (granted.as_str(), Ok(()), 0),
            ("other", Err(Denied), 1),
            ("other", Err(Denied), 1),
            (&format!("{granted}."), Err(Denied), 2),
            (&format!("{granted}."), Err(Denied), 2),
        ] {
            assert_eq!(gatekeeper.secret(name), expected, "{name}");
            assert_eq!(audited.lock().unwrap().len(), told, "{name}");
            assert_eq!(denied.lock().unwrap().len(), told, "{name}");
        }
        let targets: Vec<_> = audited
            .lock()
            .unwrap()
            .iter()
            .map(|entry| entry.target.clone())
            .collect();
        assert_eq!(targets, ["other", "for-[redacted]."]);
    }
}
