//! Who asks: a plugin in a call, with what it may do, and what is kept of what it did.

use std::sync::Arc;
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt};
use sandbar_protocol::policy::{Effective, Host, Power, Refusal, Target};
use sandbar_protocol::{AuditDecision, DecidedBy, Error, Leak};
use tokio::time::timeout;

use crate::boundary::{Boundary, Told, Whose};
use crate::digest::sha256;
use crate::egress::Egress;
use crate::egress::failure::Failure;
use crate::egress::gate::Pass;
use crate::egress::inject::{Unsendable, outgoing};
use crate::egress::request::{Request, Response};
use crate::egress::{redact, redirect};
use crate::limits::MAX_REQUEST_TIME;
use crate::refusals::{Gatekeeper, Refusals};
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

    /// For the powers that need no request.
    pub(crate) fn gatekeeper(&self) -> Gatekeeper {
        Gatekeeper {
            effective: self.effective.clone(),
            boundary: self.boundary.clone(),
            refusals: self.refusals.clone(),
        }
    }

    pub(crate) fn has_secret(&self, name: &str) -> bool {
        let known = &self.egress.settings.secrets;
        self.gatekeeper().secret(name).is_ok() && known.iter().any(|secret| secret.name() == name)
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
            Err(refusal) => {
                // The sentence of a refusal shows the beginning of a long URL: a value across its end would be told in part.
                return Err(match egress.settings.protected.find(request.url.as_bytes()) {
                    Some(leak) => self.refuse_leak(method, target, &leak),
                    None => self.refuse(refusal),
                });
            }
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
        let carries_secret = !sent.added.is_empty();
        let addresses = self.addresses(method, target).await?;
        self.put_down(request, target, rule, &sent.added).await?;

        let mut held = egress.gate.hold();
        let received = egress.transport.exchange(target, &addresses, sent, &mut held).await?;
        if carries_secret {
            redact::check_encoding(&received.headers)?;
        }
        let (headers, in_headers) = redact::headers(&received.headers, protected);
        let (body, in_body) = redact::body(received.body, protected).await?;
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
        all.filter(|secret| secret.is_for(target) && self.effective.use_secret(secret.name()).is_ok())
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
        self.boundary.tell_denied("leak", &entry);
        let plugin = &self.boundary.plugin;
        self.refuse(Refusal {
            power: Some(Power::Http),
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
        self.refusals.tell(&self.boundary, "http.request", refusal);
        Failure::Denied
    }

    /// Puts a request and the secrets in it down, and waits until that is on disk: nothing is sent that nobody will know of.
    async fn put_down(
        &self,
        request: &Request,
        target: &Target,
        rule: String,
        added: &[String],
    ) -> Result<(), Failure> {
        let method = request.method.as_str();
        let place = format!("{method} {}", target.without_query());
        let digest = sha256(&[method.as_bytes(), request.url.as_bytes(), &request.body].concat());
        let allowed = |action, target, digest, rule| Told {
            action,
            target,
            digest,
            decision: AuditDecision::Allowed,
            by: DecidedBy::Rule(rule),
        };
        let places: Vec<String> = added
            .iter()
            .map(|name| format!("{name} to {}", target.origin()))
            .collect();
        let uses = added.iter().zip(&places);
        let uses = uses.map(|(name, place)| allowed("secret.use", place, None, format!("secrets = [{name:?}]")));
        let entries = std::iter::once(allowed("http.request", &place, Some(digest), rule)).chain(uses);
        let written = self.boundary.tell_first(entries.collect()).await;
        written.map_err(|error| self.unwritten(place.clone(), &error))
    }

    /// Whoever runs the program has to mend what keeps the audit from being written.
    fn unwritten(&self, place: String, error: &Error) -> Failure {
        let plugin = &self.boundary.plugin;
        let refusal = Refusal {
            power: None,
            plugin: plugin.to_string(),
            sentence: format!(
                "what the plugin `{plugin}` wanted to send, {place}, was not sent: the audit can't be written: {}",
                error.message
            ),
            target: place,
            mend: None,
        };
        self.refusals.tell(&self.boundary, "http.request", refusal);
        Failure::NotRecorded
    }
}
