//! Who asks: a plugin in a call, with what it may do, and what is kept of what it did.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt};
use sandbar_protocol::policy::{Effective, Host, Power, Refusal, Target};
use sandbar_protocol::{AuditDecision, DecidedBy, DenialSink, Leak};
use tokio::time::timeout;

use crate::boundary::{Boundary, Told, Whose};
use crate::digest::sha256;
use crate::egress::Egress;
use crate::egress::failure::Failure;
use crate::egress::gate::Pass;
use crate::egress::inject::{Unsendable, outgoing};
use crate::egress::request::{Request, Response};
use crate::egress::{redact, redirect};
use crate::limits::{MAX_REFUSALS, MAX_REQUEST_TIME};
use crate::secrets::SecretEntry;

#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) egress: Arc<Egress>,
    pub(crate) boundary: Boundary,
    /// Whose share of places and requests it uses.
    session: Arc<str>,
    effective: Arc<Effective>,
    refusals: Refusals,
}

/// What one call was refused, each once, and who is told.
#[derive(Clone, Default)]
pub(crate) struct Refusals {
    told: Arc<Mutex<Vec<Refusal>>>,
    sink: Option<DenialSink>,
}

impl Refusals {
    pub(crate) fn to(sink: DenialSink) -> Self {
        Self {
            told: Arc::default(),
            sink: Some(sink),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn add(&self, refusal: Refusal) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MAX_REFUSALS && !told.contains(&refusal) {
            if let Some(sink) = &self.sink {
                sink((&refusal).into());
            }
            told.push(refusal);
        }
    }
}

impl Caller {
    pub(crate) fn new(egress: Arc<Egress>, plugin: Arc<str>, session: Arc<str>, effective: Arc<Effective>) -> Self {
        Self {
            boundary: Boundary::new(&egress.settings, plugin, Whose::default()),
            egress,
            session,
            effective,
            refusals: Refusals::default(),
        }
    }

    /// From now on it asks for this run, and its refusals go there.
    pub(crate) fn begin(&mut self, whose: Whose, refusals: Refusals) {
        self.boundary = Boundary::new(&self.egress.settings, self.boundary.plugin.clone(), whose);
        self.refusals = refusals;
    }

    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.effective.may_use_secret(name) && self.egress.settings.secrets.iter().any(|secret| secret.name() == name)
    }

    /// A place for a request, taken when a plugin begins one: it may begin many before it waits for the first.
    pub(crate) fn enter(&self) -> Result<Pass, Failure> {
        self.egress.gate.enter(&self.boundary.plugin, &self.session)
    }

    /// Sends a request whose body may still be on its way, and gives the whole response. Dropping it closes the connection.
    pub(crate) fn fetch<'a>(
        &'a self,
        pass: Pass,
        prepared: impl Future<Output = Result<Request, Failure>> + Send + 'a,
    ) -> BoxFuture<'a, Result<Response, Failure>> {
        async move {
            let _pass = pass;
            let late = |ms: u128| Failure::Timeout(format!("no whole response within {ms} ms"));
            let request = match timeout(MAX_REQUEST_TIME, prepared).await {
                Ok(request) => request?,
                Err(_) => return Err(late(MAX_REQUEST_TIME.as_millis())),
            };
            let patience = request.patience.min(MAX_REQUEST_TIME);
            match timeout(patience, self.follow(request)).await {
                Ok(response) => response,
                Err(_) => Err(late(patience.as_millis())),
            }
        }
        .boxed()
    }

    async fn follow(&self, mut request: Request) -> Result<Response, Failure> {
        let most = request.redirects;
        for hop in 0_u8.. {
            let target = Target::parse(&request.url).map_err(Failure::Invalid)?;
            let response = self.send(&request, &target).await?;
            if most == 0 {
                return Ok(response);
            }
            match redirect::next(&request, &target, response.status, &response.headers)? {
                None => return Ok(response),
                Some(_) if hop == most => return Err(Failure::TooManyRedirects(most)),
                Some(next) => request = next,
            }
        }
        unreachable!("the number of redirects has a limit")
    }

    /// One request, wherever its address came from.
    async fn send(&self, request: &Request, target: &Target) -> Result<Response, Failure> {
        request.check()?;
        let egress = &self.egress;
        egress
            .gate
            .count(&self.boundary.plugin, &self.session, Instant::now())?;
        let method = request.method.as_str();
        let rule = match self.effective.http(method, target) {
            Ok(rule) => rule.to_string(),
            Err(refusal) => return Err(self.refuse(refusal)),
        };
        egress
            .gate
            .count_host(&self.boundary.plugin, target.origin(), Instant::now())?;
        let protected = &egress.settings.protected;
        let secrets = self.secrets_for(target);
        let sent = outgoing(request, target, &secrets, protected).map_err(|unsendable| match unsendable {
            Unsendable::Leak(leak) => self.refuse_leak(method, target, &leak),
            Unsendable::Failed(failure) => failure,
        })?;
        let carries_secret = sent.carries_secret;
        let addresses = self.addresses(method, target).await?;
        let digest = sha256(&[method.as_bytes(), request.url.as_bytes(), &request.body].concat());
        let place = format!("{method} {}", target.without_query());
        self.audit(
            "http.request",
            &place,
            Some(digest),
            AuditDecision::Allowed,
            DecidedBy::Rule(rule),
        );
        for secret in secrets {
            let place = format!("{} to {}", secret.name(), target.origin());
            let granted = DecidedBy::Rule(format!("secrets = [{:?}]", secret.name()));
            self.audit("secret.use", &place, None, AuditDecision::Allowed, granted);
        }

        let mut held = egress.gate.hold();
        let received = egress.transport.exchange(target, &addresses, sent, &mut held).await?;
        if carries_secret {
            redact::check_encoding(&received.headers)?;
        }
        let (headers, in_headers) = redact::headers(&received.headers, protected);
        let (body, in_body) = redact::body(received.body, protected);
        if in_headers || in_body {
            self.boundary
                .tell_redacted(&format!("the response from {}", target.origin()));
        }
        Ok(Response {
            status: received.status,
            headers,
            body,
            url: protected.redact(&target.to_string()).into_owned(),
            held,
        })
    }

    fn secrets_for(&self, target: &Target) -> Vec<&SecretEntry> {
        let all = self.egress.settings.secrets.iter();
        all.filter(|secret| secret.is_for(target) && self.effective.may_use_secret(secret.name()))
            .collect()
    }

    /// Where to connect to. One address that isn't allowed refuses all: who answers with one public and one private address wants the
    /// second try.
    async fn addresses(&self, method: &str, target: &Target) -> Result<Vec<std::net::IpAddr>, Failure> {
        let addresses = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(_) if self.egress.transport.has_proxy() => return Ok(Vec::new()),
            Host::Name(name) => self.egress.settings.resolver.resolve(name).await?,
        };
        for address in &addresses {
            if let Err(refusal) = self.effective.address(method, target, *address) {
                return Err(self.refuse(refusal));
            }
        }
        Ok(addresses)
    }

    fn refuse_leak(&self, method: &str, target: &Target, leak: &Leak) -> Failure {
        let place = format!("{method} {}", target.without_query());
        let entry = format!("`{}` to {}", leak.name, target.origin());
        self.audit("leak", &entry, None, AuditDecision::Denied, DecidedBy::Default);
        let plugin = &self.boundary.plugin;
        self.refuse(Refusal {
            power: Some(Power::Secrets),
            plugin: plugin.to_string(),
            sentence: format!(
                "the plugin `{plugin}` may not send {place}: the request holds the value of `{}` ({}), which only the host may add",
                leak.name, leak.form
            ),
            target: place,
            mend: None,
        })
    }

    /// Tells everybody but the plugin.
    fn refuse(&self, refusal: Refusal) -> Failure {
        let protected = &self.egress.settings.protected;
        let hide = |text: &str| protected.redact(text).into_owned();
        let refusal = Refusal {
            target: hide(&refusal.target),
            sentence: hide(&refusal.sentence),
            mend: refusal.mend.as_deref().map(hide),
            ..refusal
        };
        self.audit(
            "http.request",
            &refusal.target,
            None,
            AuditDecision::Denied,
            DecidedBy::Default,
        );
        tracing::warn!(plugin = %self.boundary.plugin, mend = refusal.mend.as_deref().unwrap_or_default(), "{}", refusal.sentence);
        self.refusals.add(refusal);
        Failure::Denied
    }

    fn audit(&self, action: &str, target: &str, digest: Option<String>, decision: AuditDecision, by: DecidedBy) {
        self.boundary.tell(Told {
            action,
            target,
            digest,
            decision,
            by,
        });
    }
}
